import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import { signalNames, workflowTypes } from '../../src/domain/operation/names.js';
import { Lab, failure, failureOfWorkflow, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const signature = { by: 'dba', reason: 'seen' };

describe('what a person decides while the recovery runs', () => {
  it('a rejection sent while a step runs stops at its end: nothing is opened for writes', async () => {
    const replaying = gate();
    const recovery = await startRecovery(lab, {
      replayWal: async () => {
        await replaying.passed;
        return { reached: 'the end', lastLsn: '0/5000000', lastCommitAt: null, complete: true };
      },
    });
    await recovery.approved();
    await recovery.seen.called('replayWal');
    await recovery.signal(signalNames.reject, person);
    replaying.open();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused' });
    expect(recovery.steps).not.toContain('promoteServer');
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
  });

  it('once the server is open for writes, the recovery is finished all the same', async () => {
    const backing = gate();
    const recovery = await startRecovery(lab, { freshBackup: async () => backing.passed.then(() => ['b2']) });
    await recovery.approved();
    await recovery.seen.called('freshBackup');
    await recovery.signal(signalNames.reject, person);
    backing.open();
    expect((await recovery.result()).state).toBe('completed');
  });

  it('K1: where the live databases were not touched, giving up starts the applications again', async () => {
    const recovery = await startRecovery(
      lab,
      { runChecks: async () => [wrong] },
      { method: 'databases', hooks: ['stop-applications', 'start-applications'] },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused' });
    expect(recovery.steps).toEqual([
      'stop-applications',
      'safetyBackup',
      'restoreDatabases',
      'runChecks',
      'undo stop-applications',
    ]);
  });

  it('F32: an approval sent once more while the plan is checked does not approve the plan made after it', async () => {
    const checking = gate();
    let checks = 0;
    const recovery = await startRecovery(lab, {
      recheckPlan: async ({ plan }) => {
        checks += 1;
        if (checks > 1) return { digest: plan, changed: [] };
        await checking.passed;
        return { digest: 'f'.repeat(64), changed: ['backups'] };
      },
    });
    const plan = await recovery.plan();
    await recovery.approve({ plan, ...signature });
    await recovery.seen.called('recheckPlan');
    await recovery.approve({ plan, ...signature });
    checking.open();
    await recovery.seen.called('planRecovery', 2);
    await recovery.seen.state('waiting-approval');
    await lab.pass('5s');
    expect(checks).toBe(1);
    await recovery.approve({ plan, ...signature });
    expect((await recovery.result()).state).toBe('completed');
  });
});

describe('what must not stop a recovery half way', () => {
  it('a journal that cannot be written', async () => {
    const recovery = await startRecovery(lab, {
      journal: () => Promise.reject(failure('storage-full', 'no space left')),
    });
    await recovery.approved();
    expect((await recovery.result()).state).toBe('completed');
  });

  it('F32: an approval that expired while the cluster was held: the plan waits for another', async () => {
    let stops = 0;
    const recovery = await startRecovery(lab, {
      stopServer: () =>
        (stops += 1) === 1
          ? Promise.reject(failure('plan-expired', 'approved more than 3600 s ago'))
          : Promise.resolve(),
    });
    await recovery.approved();
    await recovery.seen.called('planRecovery', 2);
    await recovery.approved();
    expect((await recovery.result()).state).toBe('completed');
    expect(stops).toBe(2);
  });

  it('a recovery that could not begin ends, though something unreadable was sent to it', async () => {
    const asked = gate();
    const recovery = await startRecovery(lab, {
      describeCluster: async () => asked.passed.then(() => Promise.reject(failure('not-found', 'no such cluster'))),
    });
    await recovery.signal(signalNames.confirmRestore, 'not JSON');
    asked.open();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'not-found' });
  });
});

describe('an incident and the recovery it started', () => {
  async function incident() {
    const restoring = gate();
    const one = lab.case({
      planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId }),
      restoreFiles: () => restoring.passed,
    });
    const handle = await one.start(workflowTypes.incident, 'incident/CLUSTER/instance-loss/op', {
      scenario: 'instance-loss',
      operationId: 'op',
      requester: 'watch',
    });
    const child = lab.client.workflow.getHandle(`recover/${one.cluster}/op`);
    await one.called('pin');
    const { plan } = await one.state('waiting-approval', child);
    await child.executeUpdate('approve', { args: [{ plan, ...signature }] });
    await one.called('restoreFiles');
    return { one, handle, child, restoring };
  }

  it('a dismissal after the approval cancels nothing: it is noted, and the recovery ends well', async () => {
    const { one, handle, restoring } = await incident();
    await one.state('running', handle);
    await handle.signal(signalNames.dismiss, person);
    await one.until(
      async () =>
        one.journal.find((line) =>
          line.includes('dismissed has no effect: the recovery was approved and runs; `reprise reject '),
        ) ?? null,
      async () => one.journal.join('\n'),
    );
    restoring.open();
    expect(await handle.result()).toMatchObject({ state: 'closed', recovery: `recover/${one.cluster}/op` });
    expect(one.names).toContain('promoteServer');
  });

  it('an incident that is terminated leaves its recovery running', async () => {
    const { one, handle, child, restoring } = await incident();
    await handle.terminate('somebody cleaned up');
    await lab.pass('2s');
    restoring.open();
    expect(await child.result()).toMatchObject({ state: 'completed' });
    expect(one.names).toContain('promoteServer');
  });
});
