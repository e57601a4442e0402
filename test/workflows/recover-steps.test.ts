import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import type { LockHolder } from '../../src/domain/operation/locks.js';
import { signalNames } from '../../src/domain/operation/names.js';
import { HOST, Lab, failure, failureOfWorkflow, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const holder: LockHolder = {
  operationId: 'b',
  kind: 'backup',
  policy: 'nightly',
  engine: 'logical',
  repository: 'local',
  workflowId: 'backup/c/nightly',
  since: '2026-11-21T01:30:00Z',
  token: 1,
};

describe('the runbook, in its order', () => {
  it('S2, S4, K2: a physical backup into the data directory', async () => {
    const recovery = await startRecovery(lab, {}, { hooks: ['stop-applications', 'start-applications'] });
    await recovery.approved();
    await recovery.result();
    expect(recovery.seen.names.filter((name) => name !== 'journal')).toEqual([
      ...['planRecovery', 'pin', 'recordApproval', 'acquireLock', 'recheckPlan'],
      ...[
        'runHook',
        'stopServer',
        'salvageWal',
        'putAside',
        'restoreFiles',
        'replayWal',
        'runChecks',
        'promoteServer',
        'rearmArchiving',
        'freshBackup',
        'runHook',
        'finishRecovery',
      ],
      ...['releaseLock', 'unpin'],
    ]);
    expect(recovery.seen.of('runHook').map(({ hook }) => hook)).toEqual(['stop-applications', 'start-applications']);
    expect(recovery.seen.of('replayWal')).toMatchObject([{ target: { kind: 'latest' } }]);
    // What was salvaged is in the host's own record, not in what anybody says (F33).
    expect(recovery.seen.of('replayWal')[0]).not.toHaveProperty('salvage');
  });

  it('K2: beside the live server, nothing of it is stopped, salvaged or archived again', async () => {
    const recovery = await startRecovery(lab, {}, { into: 'beside' });
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual([
      'putAside',
      'restoreFiles',
      'replayWal',
      'runChecks',
      'promoteServer',
      'finishRecovery',
    ]);
  });

  it('K1: dumps beside the live databases, swapped by rename', async () => {
    const recovery = await startRecovery(
      lab,
      {},
      { method: 'databases', hooks: ['stop-applications', 'start-applications'] },
    );
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual([
      'stop-applications',
      'safetyBackup',
      'restoreDatabases',
      'runChecks',
      'swapDatabases',
      'freshBackup',
      'start-applications',
      'finishRecovery',
    ]);
    expect(recovery.seen.journal).toContain('safety backup: saved as b1');
  });

  it('K1: media of the plan come after the database and before the look at both; then no other target is offered', async () => {
    const nothing = { objects: 0, bytes: 0 };
    const media = {
      name: 'photos',
      instant: '2026-11-21T02:00:00.000Z',
      counts: { undelete: { objects: 1, bytes: 1 }, overwrite: nothing, copy: nothing },
      digest: 'd',
    };
    const dumps = await startRecovery(
      lab,
      {},
      { method: 'databases', steps: ['restore'], media },
      { order: { target: { kind: 'latest' }, into: 'in-place', pause: false, withMedia: 'photos' } },
    );
    await dumps.approved();
    await dumps.result();
    expect(dumps.seen.of('planRecovery')).toMatchObject([{ order: { withMedia: 'photos' } }]);
    expect(dumps.steps).toEqual([
      'restoreDatabases',
      'restoreMedia',
      'runChecks',
      'swapDatabases',
      'freshBackup',
      'finishRecovery',
    ]);

    const physical = await startRecovery(lab, {}, { pause: true, media });
    await physical.approved();
    const { waitingFor } = await physical.seen.state('paused');
    expect(waitingFor).not.toContain('retarget');
    await physical.signal(signalNames.promote, person);
    await physical.result();
    expect(physical.steps).toEqual([
      'stopServer',
      'salvageWal',
      'putAside',
      'restoreFiles',
      'replayWal',
      'restoreMedia',
      'runChecks',
      'promoteServer',
      'rearmArchiving',
      'freshBackup',
      'finishRecovery',
    ]);
  });

  it('K1: without a safety backup where the policy has none', async () => {
    const recovery = await startRecovery(lab, {}, { method: 'databases', steps: ['restore'] });
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual(['restoreDatabases', 'runChecks', 'swapDatabases', 'freshBackup', 'finishRecovery']);
  });

  it('the cheap thing first: a restart replaces nothing', async () => {
    const recovery = await startRecovery(lab, {}, { method: 'restart', hooks: ['start-applications'] });
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual(['startServer', 'runChecks', 'start-applications', 'finishRecovery']);
  });

  it('a restart whose checks fail ends with what failed, and with what to do instead', async () => {
    const recovery = await startRecovery(lab, { runChecks: async () => [wrong] }, { method: 'restart' });
    await recovery.approved();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'check-failed',
      message: expect.stringContaining('199999 instead of 200000'),
    });
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
  });

  it('F33: destructive steps carry the plan and nothing that says what to do; they run on the slot of recoveries', async () => {
    const recovery = await startRecovery(lab);
    await recovery.approved();
    const { plan } = await recovery.result();
    const { cluster } = recovery.seen;
    for (const name of ['stopServer', 'putAside', 'restoreFiles', 'promoteServer'] as const) {
      expect(recovery.seen.of(name)).toEqual([
        { cluster, operationId: 'op', workflowId: `recover/${cluster}/op`, plan: plan.digest },
      ]);
      expect(recovery.seen.calls.find((call) => call.name === name)?.queue).toBe(`reprise-${HOST}-recovery`);
    }
  });
});

describe('F29: the cluster is held by another', () => {
  it('waits for its end, says for whom, and goes on', async () => {
    const ended = gate();
    const recovery = await startRecovery(lab, {
      acquireLock: async () =>
        recovery.seen.of('acquireLock').length === 1 ? { granted: false, holder } : { granted: true, token: 2 },
      awaitRelease: () => ended.passed,
    });
    await recovery.approved();
    await recovery.seen.called('awaitRelease');
    expect(recovery.seen.of('awaitRelease')).toEqual([{ cluster: recovery.seen.cluster, operationId: 'b' }]);
    expect(await recovery.seen.status()).toMatchObject({
      state: 'running',
      waitingFor: expect.stringContaining('backup/c/nightly'),
    });
    expect(recovery.seen.names).not.toContain('recheckPlan');
    ended.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(await recovery.seen.status()).toMatchObject({ waitingFor: null });
  });

  it('F40: a wait of days leaves no trace in the history', async () => {
    const recovery = await startRecovery(lab, {
      acquireLock: async () =>
        recovery.seen.of('acquireLock').length === 1 ? { granted: false, holder } : { granted: true, token: 2 },
      awaitRelease: async () => {
        if (recovery.seen.of('awaitRelease').length <= 30) throw failure('lock-held', 'still held', true);
      },
    });
    await recovery.approved();
    await recovery.seen.called('awaitRelease');
    const before = (await recovery.seen.workflow.fetchHistory()).events?.length ?? 0;
    await lab.pass('50 seconds');
    await recovery.seen.called('awaitRelease', 20);
    const after = (await recovery.seen.workflow.fetchHistory()).events?.length ?? 0;
    expect(after - before).toBeLessThan(20);
    await recovery.signal(signalNames.reject, person);
    await recovery.result();
  });

  it('a rejection meanwhile is still a rejection: nothing was changed', async () => {
    const recovery = await startRecovery(lab, {
      acquireLock: async () => ({ granted: false, holder }),
      awaitRelease: async () => {
        throw failure('lock-held', 'still held', true);
      },
    });
    await recovery.approved();
    await recovery.seen.called('awaitRelease');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', rejectedBecause: 'dba: seen' });
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'recordRejection', 'unpin']);
  });
});
