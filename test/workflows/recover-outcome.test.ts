import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import { HOST, Lab, failure, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

/** Seconds of real time that a test may take on a busy machine beside the hours it lets pass. */
const SLACK = 60;
const at = async (hours: number) => new Date((await lab.now()) - hours * 3_600_000).toISOString();

describe('the figures of the incident document (K6)', () => {
  it('RTO runs from the first failed check to validated, without the hours people took to decide', async () => {
    const recovery = await startRecovery(lab, {}, {}, { firstFailedAt: await at(1) });
    await recovery.plan();
    await lab.pass('5 hours');
    await recovery.approved();
    const { outcome } = await recovery.result();
    expect(outcome?.waitedForPeopleSeconds).toBeGreaterThanOrEqual(5 * 3600);
    expect(outcome?.rtoSeconds).toBeGreaterThanOrEqual(3600);
    expect(outcome?.rtoSeconds).toBeLessThan(3600 + SLACK);
  });

  it('waiting at the target and after a failed step is waiting too', async () => {
    const recovery = await startRecovery(
      lab,
      {
        putAside: async () => {
          if (recovery.seen.of('putAside').length === 1) throw failure('path-refused', 'in use');
        },
      },
      { pause: true },
      { firstFailedAt: await at(0) },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await lab.pass('2 hours');
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('runChecks');
    await recovery.seen.state('paused');
    await lab.pass('3 hours');
    await recovery.signal(signalNames.promote, person);
    const { outcome } = await recovery.result();
    expect(outcome?.waitedForPeopleSeconds).toBeGreaterThanOrEqual(5 * 3600);
    expect(outcome?.rtoSeconds).toBeLessThan(SLACK);
  });

  it('waiting under a plan that another one replaced is waiting too', async () => {
    const recovery = await startRecovery(
      lab,
      {
        planRecovery: async ({ cluster, operationId }) =>
          planOf({ cluster, operationId, port: 5000 + recovery.seen.of('planRecovery').length }),
        recheckPlan: async ({ plan }) => ({ digest: plan, changed: [] }),
        putAside: async () => {
          if (recovery.seen.of('putAside').length === 1) throw failure('path-refused', 'in use');
        },
        restoreFiles: async () => {
          if (recovery.seen.of('restoreFiles').length === 1) throw failure('backup-corrupt', 'damaged');
          return undefined as never;
        },
      },
      {},
      { firstFailedAt: await at(0) },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await lab.pass('2 hours');
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('planRecovery', 2);
    await recovery.approved();
    const { outcome } = await recovery.result();
    expect(outcome?.waitedForPeopleSeconds).toBeGreaterThanOrEqual(2 * 3600);
    expect(outcome?.rtoSeconds).toBeLessThan(SLACK);
  });

  it('hours after the server was validated change its RTO neither way', async () => {
    const recovery = await startRecovery(
      lab,
      {
        freshBackup: async () => {
          if (recovery.seen.of('freshBackup').length === 1) throw failure('storage-full', 'no space left');
          return ['b2'];
        },
      },
      {},
      { firstFailedAt: await at(1) },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await lab.pass('4 hours');
    await recovery.signal(signalNames.continue, person);
    const { outcome } = await recovery.result();
    expect(outcome?.rtoSeconds).toBeGreaterThanOrEqual(3600);
    expect(outcome?.rtoSeconds).toBeLessThan(3600 + SLACK);
  });

  it('the time that the work itself took is not taken for waiting', async () => {
    const backup = {
      operationId: 'b',
      kind: 'backup',
      policy: 'nightly',
      engine: 'logical',
      repository: 'local',
      workflowId: 'backup/c/nightly',
      runId: 'first',
      since: await at(1),
      token: 1,
    } as const;
    const recovery = await startRecovery(lab, {
      acquireLock: async () =>
        recovery.seen.of('acquireLock').length <= 1 ? { granted: false, holder: backup } : { granted: true, token: 2 },
    });
    await recovery.approved();
    await recovery.seen.called('acquireLock');
    await lab.pass('12 seconds');
    await recovery.signal(signalNames.leaseGranted, undefined);
    const { outcome } = await recovery.result();
    expect(outcome?.rtoSeconds).toBeGreaterThanOrEqual(10);
    expect(outcome?.waitedForPeopleSeconds).toBeLessThan(10);
  });

  it.each([
    [
      '0 where the last valid WAL record of the source was replayed, however old its commit',
      { complete: true, lastCommitAt: '2020-01-01T00:00:00Z' },
      0,
    ],
    ['first failed check less last recovered commit', { complete: false, lastCommitAt: '2026-11-21T01:59:15Z' }, 45],
    ['never less than nothing', { complete: false, lastCommitAt: '2026-11-21T02:00:10Z' }, 0],
    ['unknown where no commit is known', { complete: false, lastCommitAt: null }, null],
  ])('RPO: %s', async (_name, found, rpoSeconds) => {
    const recovery = await startRecovery(
      lab,
      { replayWal: async () => ({ reached: 'there', lastLsn: '0/5000000', ...found }) },
      {},
      { firstFailedAt: '2026-11-21T02:00:00Z' },
    );
    await recovery.approved();
    expect((await recovery.result()).outcome).toMatchObject({
      rpoSeconds,
      lastCommitAt: found.lastCommitAt,
      lastLsn: '0/5000000',
    });
  });

  it('S5: every phase with its time, the target asked for and the one reached', async () => {
    const recovery = await startRecovery(lab, {}, { target: { kind: 'lsn', lsn: '0/4000000' } });
    await recovery.approved();
    const { outcome } = await recovery.result();
    expect(outcome).toMatchObject({
      target: { requested: 'lsn:0/4000000', reached: 'the end of the WAL' },
      checks: [{ name: 'tables', status: 'passed' }],
    });
    expect(outcome?.phases.map(({ name }) => name)).toEqual([
      ...[
        'plan',
        'wait for approval',
        'check that the plan is still valid',
        'stop the old server',
        'salvage WAL that was not archived',
        'move the old data',
      ],
      ...[
        'restore files',
        'replay WAL',
        'run checks',
        'promote',
        'start archiving again',
        'take and verify a fresh backup',
      ],
    ]);
    expect(recovery.seen.of('finishRecovery')).toMatchObject([{ plan: (await recovery.result()).plan.digest }]);
  });
});

describe('D7: a host without a worker', () => {
  it('is said, and waited for; then it goes on', async () => {
    const there = gate();
    const recovery = await startRecovery(lab, { hostAnswers: async () => false, awaitHost: () => there.passed });
    const { waitingFor } = await recovery.seen.state('waiting-worker');
    expect(waitingFor).toContain(`reprise worker --host ${HOST}`);
    expect(recovery.seen.names).not.toContain('planRecovery');
    there.open();
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('declined meanwhile: the decision is kept for the plan', async () => {
    const there = gate();
    const recovery = await startRecovery(lab, { hostAnswers: async () => false, awaitHost: () => there.passed });
    await recovery.seen.state('waiting-worker');
    await recovery.signal(signalNames.reject, person);
    there.open();
    expect(await recovery.result()).toMatchObject({ state: 'rejected' });
    expect(recovery.steps).toEqual([]);
  });
});

describe('the incident that asked for it', () => {
  it('is confirmed by the approval of the plan', async () => {
    const parent = lab.case();
    const incident = await parent.start('incident', 'incident/CLUSTER/instance-loss/op', {
      scenario: 'instance-loss',
      operationId: 'op',
      requester: 'ops',
    });
    await parent.called('recordIncident', 2);
    const recovery = await startRecovery(lab, {}, {}, { incident: incident.workflowId });
    await recovery.approved();
    await recovery.result();
    await parent.until(
      async () =>
        parent.of('recordIncident').some(({ state, by }) => state === 'confirmed' && by === 'approval') || null,
      async () => JSON.stringify(parent.of('recordIncident')),
    );
  });

  it('one that is closed already keeps nothing from going on', async () => {
    const recovery = await startRecovery(lab, {}, {}, { incident: 'incident/gone/instance-loss/op' });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});
