import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import type { LockHolder } from '../../src/domain/operation/locks.js';
import { signalNames } from '../../src/domain/operation/names.js';
import { type Activities, HOST, Lab, failure, failureOfWorkflow } from './lab.js';
import { type Recovery, person, refused, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const holder: LockHolder = {
  operationId: 'b',
  kind: 'backup',
  policy: 'nightly',
  engine: 'logical',
  repository: 'local',
  workflowId: 'backup/c/nightly',
  runId: 'first',
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
        {
          cluster,
          operationId: 'op',
          workflowId: `recover/${cluster}/op`,
          plan: plan?.digest,
          lock: expect.objectContaining({ kind: 'recovery', token: 1 }),
        },
      ]);
      expect(recovery.seen.calls.find((call) => call.name === name)?.queue).toBe(`reprise-${HOST}-recovery`);
    }
  });
});

describe('F29: the cluster is held by another', () => {
  const heldOnce = (of: () => Recovery): Partial<Activities> => ({
    acquireLock: async () =>
      of().seen.of('acquireLock').length === 1 ? { granted: false, holder } : { granted: true, token: 2 },
  });

  it('L4: takes its place in the queue with its intent, says for whom it waits, and goes on when it is told', async () => {
    const recovery: Recovery = await startRecovery(
      lab,
      heldOnce(() => recovery),
    );
    await recovery.approved();
    await recovery.seen.called('acquireLock');
    expect(recovery.seen.of('acquireLock')).toMatchObject([
      { waits: true, request: { kind: 'recovery', intent: true, runId: expect.stringMatching(/^[0-9a-f-]{36}$/) } },
    ]);
    expect(await recovery.seen.waitsFor('backup/c/nightly')).toMatchObject({ state: 'running' });
    expect(recovery.seen.names).not.toContain('recheckPlan');
    await recovery.signal(signalNames.leaseGranted, undefined);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(await recovery.seen.status()).toMatchObject({ waitingFor: null });
  });

  it('F40: a wait of a day leaves little in the history, and a lock that tells nobody is asked again', async () => {
    const recovery = await startRecovery(lab, { acquireLock: async () => ({ granted: false, holder }) });
    await recovery.approved();
    await recovery.seen.called('acquireLock');
    const before = (await recovery.seen.workflow.fetchHistory()).events?.length ?? 0;
    await lab.pass('24 hours');
    await recovery.seen.called('acquireLock', 5);
    const after = (await recovery.seen.workflow.fetchHistory()).events?.length ?? 0;
    expect(after - before).toBeLessThan(500);
    await recovery.signal(signalNames.reject, person);
    await recovery.result();
  });

  it('L4: a rejection meanwhile is still a rejection: nothing was changed, and its place is given up', async () => {
    const recovery = await startRecovery(lab, { acquireLock: async () => ({ granted: false, holder }) });
    await recovery.approved();
    await recovery.seen.called('acquireLock');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', rejectedBecause: 'dba: seen' });
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'recordRejection', 'unpin']);
    const { workflowId, runId } = await recovery.seen.workflow.describe();
    expect(recovery.seen.of('releaseLock')).toEqual([{ cluster: recovery.seen.cluster, owner: { workflowId, runId } }]);
  });
});

describe('L3: the host knows a later grant of the cluster lock', () => {
  it('the step is refused, the lock acquired again, and the step repeated with the new token', async () => {
    const tokens: unknown[] = [];
    const recovery: Recovery = await startRecovery(lab, {
      acquireLock: async () => ({ granted: true, token: recovery.seen.of('acquireLock').length }),
      putAside: async ({ lock }) => {
        tokens.push(lock?.token);
        if (tokens.length === 1) throw failure('lock-lost', 'another holds it since');
      },
    });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(tokens).toEqual([1, 2]);
    expect(recovery.seen.of('acquireLock')).toMatchObject([{ waits: true }, { waits: true, lost: 1 }]);
    expect(recovery.seen.of('restoreFiles')).toMatchObject([{ lock: { token: 2, kind: 'recovery' } }]);
    expect(recovery.seen.of('releaseLock')).toMatchObject([{ owner: { token: 2 } }]);
    expect(recovery.seen.of('releaseGrant')).toHaveLength(1);
  });

  it('who waits to have it again says so, and can be rejected', async () => {
    const recovery: Recovery = await startRecovery(lab, {
      acquireLock: async ({ lost }) => (lost === undefined ? { granted: true, token: 1 } : { granted: false, holder }),
      putAside: async () => {
        throw failure('lock-lost', 'another holds it since');
      },
    });
    await recovery.approved();
    await recovery.seen.called('acquireLock', 2);
    await recovery.seen.waitsFor('backup/c/nightly');
    await recovery.signal(signalNames.reject, person);
    await expect(recovery.result()).rejects.toThrow();
    expect(recovery.seen.names).not.toContain('restoreFiles');
  });
});

describe('R8: errors that a restore left are accepted by a plan of their own', () => {
  const reached = { reached: 'dump', lastLsn: null, lastCommitAt: null, complete: false };

  /** Approved and restored: the host asks for the acceptance until it was approved `approvals` times. */
  const restored = async (approvals = 1) => {
    let given = 0;
    let accepting = '';
    const recovery = await startRecovery(
      lab,
      {
        restoreDatabases: async ({ cluster, operationId, plan }) => {
          if (given >= approvals) return reached;
          const databases = [{ database: 'app', copy: 'app_new_op', errors: ['INDEX i: no key'] }];
          const accept = planOf({ cluster, operationId, method: 'databases', accepts: { plan, databases } });
          accepting = accept.digest;
          return { ...reached, accept };
        },
        recordApproval: async ({ plan, approval }) => {
          if (!plan.startsWith(approval.plan)) return refused;
          if (plan === accepting) given++;
          return { accepted: true, missing: 0 };
        },
      },
      { method: 'databases' },
    );
    const first = await recovery.plan();
    await recovery.approved();
    await recovery.seen.called('restoreDatabases');
    const { waitingFor } = await recovery.seen.state('waiting-approval');
    expect(await recovery.plan()).toBe(accepting);
    expect(waitingFor).toMatch(/acceptance of an error of the restore.*app: INDEX i: no key/);
    return { recovery, first };
  };

  it('nothing is swapped before it is approved, under its own digest', async () => {
    const { recovery, first } = await restored();
    const approval = { by: 'dba', reason: 'seen' };
    await expect(recovery.approve({ ...approval, plan: first.slice(0, 12) })).rejects.toThrow();
    expect(recovery.steps).not.toContain('swapDatabases');
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual([
      ...['safetyBackup', 'restoreDatabases', 'restoreDatabases', 'runChecks'],
      ...['swapDatabases', 'freshBackup', 'finishRecovery'],
    ]);
    // What follows is done by the plan that was approved first.
    expect(recovery.seen.of('swapDatabases')).toMatchObject([{ plan: first }]);
  });

  it('where the host asks once more, it is approved once more; `continue` makes it ask', async () => {
    const { recovery } = await restored(2);
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('restoreDatabases', 2);
    await recovery.approved();
    await recovery.seen.called('restoreDatabases', 3);
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps.filter((name) => name === 'restoreDatabases')).toHaveLength(4);
  });

  it('rejected, it ends, and nothing was swapped', async () => {
    const { recovery } = await restored();
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused' });
    expect(recovery.steps).toEqual(['safetyBackup', 'restoreDatabases']);
  });
});
