import { beforeAll, describe, expect, it } from '@jest/globals';
import { mediaWorkflowId, signalNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { StepLimits } from '../../src/domain/operation/retries.js';
import type { ClusterFacts } from '../../src/activities/api.js';
import { type Activities, type Case, HOST, Lab, childrenOf, failure, failureOfWorkflow } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { planOf, wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const gone = () => failure('storage-unreachable', 'the bucket does not answer', true);

/** The facts of a cluster whose host has these limits, and whose people are told of failures. */
const facts = (limits: StepLimits = {}, more: Partial<ClusterFacts> = {}): Partial<Activities> => ({
  describeCluster: async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    heartbeatSeconds: { [HOST]: 1 },
    stepLimits: { [HOST]: limits },
    tells: ['failure', 'waiting-approval'],
    ...more,
  }),
});

const nightly = { order: { policy: 'nightly', type: 'auto' }, requester: 'schedule', operationId: 'op' };

async function backup(activities: Partial<Activities>): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', nightly);
  return one;
}

/** What happened in a workflow, of one kind of event. */
async function activitiesOf({ workflow }: Case) {
  const { events } = await workflow.fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: one }) => one ?? []);
}

const toldOf = async (one: Case): Promise<readonly string[]> =>
  (await childrenOf(one.workflow)).map((id) => id.split('/').at(-1) ?? '');

describe('L8: a host that is away', () => {
  it('L8: no activity of a recovery has a limit for its start; plan and second look may take as long as the preview', async () => {
    const recovery = await startRecovery(lab, {}, { thaw: { tier: 'Bulk', days: 7 } as never });
    await recovery.approved();
    await recovery.result();
    const asked = await activitiesOf(recovery.seen);
    expect(asked.map(({ scheduleToStartTimeout }) => Number(scheduleToStartTimeout?.seconds ?? 0))).toEqual(
      asked.map((one) => Number(one.scheduleToCloseTimeout?.seconds ?? 0)),
    );
    const limitOf = (name: string) =>
      Number(asked.find((one) => one.activityType?.name === name)?.startToCloseTimeout?.seconds);
    expect([limitOf('planRecovery'), limitOf('recheckPlan')]).toEqual([7 * 86_400, 7 * 86_400]);
  });

  it('L8: the same of media, backups, adoption and verification', async () => {
    const media = lab.case();
    await media.start(workflowTypes.media, mediaWorkflowId('CLUSTER', 'op'), {
      order: { media: 'files', task: { kind: 'recover', at: '2026-11-21T08:00:00Z' }, into: { kind: 'in-place' } },
      operationId: 'op',
      requester: 'ops',
    });
    await media.called('planMedia');
    const taken = await backup({});
    await taken.workflow.result();
    const adopted = lab.case();
    await adopted.start(workflowTypes.adopt, 'adopt/CLUSTER', {
      order: { restore: false },
      operationId: 'op',
      requester: 'ops',
    });
    await adopted.workflow.result();
    for (const one of [media, taken, adopted]) {
      const limited = (await activitiesOf(one)).filter(
        ({ scheduleToStartTimeout: start, scheduleToCloseTimeout: whole }) =>
          Number(start?.seconds ?? 0) !== Number(whole?.seconds ?? 0),
      );
      expect(limited.map(({ activityType }) => activityType?.name)).toEqual([]);
      const plan = (await activitiesOf(one)).find(({ activityType }) => activityType?.name === 'planMedia');
      if (plan) expect(Number(plan.startToCloseTimeout?.seconds)).toBe(7 * 86_400);
    }
  });

  it('L8: what fails for good after the approval pauses: continue goes on, and the backup is unpinned at the end', async () => {
    const recovery = await startRecovery(lab, {
      ...facts(),
      recheckPlan: async ({ plan }) => {
        if (recovery.seen.of('recheckPlan').length === 1) throw failure('path-refused', 'the data directory is gone');
        return { digest: plan, changed: [] };
      },
    });
    await recovery.approved();
    const { waitingFor } = await recovery.seen.state('paused');
    expect(waitingFor).toMatch(
      /"check that the plan is still valid" failed: .*reprise continue recover\/.*reprise reject/,
    );
    expect(await toldOf(recovery.seen)).toContain('2-paused');
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.names.at(-1)).toBe('unpin');
  });

  it('L8: reject ends such a pause as a rejection: nothing was changed', async () => {
    const recovery = await startRecovery(lab, {
      recheckPlan: async () => {
        throw failure('path-refused', 'the data directory is gone');
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', rejectedBecause: 'dba: seen' });
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.names.slice(-2)).toEqual(['recordRejection', 'unpin']);
  });

  it('L8: the next plan of an approved recovery cannot be made: it pauses, too', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => {
        if (recovery.seen.of('planRecovery').length === 2) throw failure('no-usable-backup', 'none is left');
        return planOf({ cluster, operationId, port: 5000 + recovery.seen.of('planRecovery').length });
      },
      recheckPlan: async ({ plan }) =>
        recovery.seen.of('recheckPlan').length === 1
          ? { digest: null, changed: ['gone'] }
          : { digest: plan, changed: [] },
    });
    await recovery.approved();
    expect((await recovery.seen.state('paused')).waitingFor).toContain('no-usable-backup');
    await recovery.signal(signalNames.continue, person);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('L8: a first plan that is refused ends the recovery at once: whoever asked for it waits', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async () => {
        throw failure('target-after-wal', 'there is no WAL up to there');
      },
    });
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'target-after-wal' });
  });
});

describe('L9: a reason that passes', () => {
  it.each(['preflightBackup', 'runBackup', 'proveBackup', 'rotateBackups', 'readBackups'] as const)(
    'L9: a nightly backup outlives it in %s, with pauses that grow; people are told once, early',
    async (name) => {
      const one = await backup({
        ...facts(),
        [name]: async (input: never) => {
          if (one.of(name).length <= 8) throw gone();
          return (wellBehaved[name] as (input: never) => unknown)(input);
        },
      });
      await passUntil(one, 'paused');
      expect((await one.status()).waitingFor).toMatch(
        /fails and is tried again at .*Z, until .*Z: the bucket does not answer \(storage-unreachable\).*reprise continue backup\//,
      );
      expect(one.of(name).length).toBeLessThanOrEqual(6);
      await lab.pass('5 minutes');
      expect(await one.workflow.result()).toMatchObject({ backups: [{ id: 'b1' }] });
      expect(await toldOf(one)).toEqual(['1-paused']);
    },
  );

  it('L9: it gives up after the time that the config of the host gives, and says so', async () => {
    const one = await backup({ ...facts({ retryForSeconds: 3 }), runBackup: async () => Promise.reject(gone()) });
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'storage-unreachable' });
    expect(one.of('runBackup').length).toBeGreaterThanOrEqual(3);
    expect(one.of('recordFailed')).toMatchObject([{ code: 'storage-unreachable' }]);
    expect(await toldOf(one)).toEqual(['1-failed']);
  });

  it('L9: a short one wakes nobody', async () => {
    const one = await backup({
      ...facts(),
      runBackup: async () => {
        if (one.of('runBackup').length < 4) throw gone();
        return ['b1'];
      },
    });
    await one.workflow.result();
    expect(await toldOf(one)).toEqual([]);
  });

  it('L9: continue tries it now; reject ends it', async () => {
    const one = await backup({ ...facts(), runBackup: async () => Promise.reject(gone()) });
    await passUntil(one, 'paused');
    const { length } = one.of('runBackup');
    await one.workflow.signal(signalNames.continue, person);
    await one.called('runBackup', length + 1);
    await one.workflow.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'storage-unreachable' });
    expect(one.names).toContain('releaseLock');
  });

  it('L9: a step of a recovery is tried again by itself, and meanwhile people may decide', async () => {
    let back = false;
    const recovery = await startRecovery(lab, {
      ...facts(),
      replayWal: async (input) => {
        if (!back) throw gone();
        return wellBehaved.replayWal(input);
      },
    });
    await recovery.approved();
    await passUntil(recovery.seen, 'paused');
    expect((await recovery.seen.status()).waitingFor).toMatch(/"replay WAL.*tried again at/);
    back = true;
    await lab.pass('5 minutes');
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('replayWal').map(({ retry }) => retry)).toEqual(
      recovery.seen.of('replayWal').map(() => undefined),
    );
  });

  it('L9: rejected between two attempts, it gives up', async () => {
    const recovery = await startRecovery(lab, { ...facts(), restoreFiles: async () => Promise.reject(gone()) });
    await recovery.approved();
    await passUntil(recovery.seen, 'paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'approval-refused',
      message: 'rejected at step "restore files" by dba: seen',
    });
  });
});

/** Lets time pass until a state is reached. */
async function passUntil(one: Case, state: 'paused'): Promise<void> {
  await one.until(
    async () => {
      if ((await one.status()).state === state) return true;
      await lab.pass('20 seconds');
      return null;
    },
    () => one.status().then((status) => JSON.stringify(status)),
  );
}
