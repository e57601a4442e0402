import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import { Lab, failure, failureOfWorkflow, untilCancelled } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { outcomeOfHost, planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

describe('a step that fails for good', () => {
  it('L16: leaves the decision to a person; continue tries that step again, and only that, and who sent it is recorded', async () => {
    const recovery = await startRecovery(lab, {
      restoreFiles: async () => {
        if (recovery.seen.of('restoreFiles').length === 1) throw failure('disk-full', 'no room on /var/lib/postgresql');
      },
    });
    await recovery.approved();
    const { waitingFor } = await recovery.seen.state('paused');
    expect(waitingFor).toMatch(/"restore files" failed: no room on .* \(disk-full\) HINT: do something/);
    // It is written down beside the wait.
    await recovery.seen.journaled(/^restore files: failed: no room on .*disk-full/);
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.steps.slice(0, 5)).toEqual([
      'stopServer',
      'salvageWal',
      'putAside',
      'restoreFiles',
      'restoreFiles',
    ]);
    expect(recovery.steps.filter((name) => name === 'putAside')).toHaveLength(1);
    // L16: who sent it is looked up by the host in the history.
    expect(recovery.seen.of('journal')).toContainEqual(
      expect.objectContaining({
        text: `${person.by} sent continue: ${person.reason}`,
        sentBy: { signal: signalNames.continue },
      }),
    );
    // Its jobs had failed for good: the host is told that they are wanted anew.
    expect(recovery.seen.of('restoreFiles').map(({ retry }) => retry)).toEqual([undefined, 1]);
  });

  it('a rejection that comes while the server is opened comes too late: it does not end what follows', async () => {
    const recovery = await startRecovery(lab, {
      promoteServer: async () => {
        await recovery.signal(signalNames.reject, person);
        return { timeline: 2, repaired: [] };
      },
      freshBackup: async () => {
        if (recovery.seen.of('freshBackup').length === 1) throw failure('storage-full', 'no space left');
        return ['b2'];
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('reject gives up: it ends failed, the cluster is given back, nothing further is done', async () => {
    const recovery = await startRecovery(lab, {
      restoreFiles: async () => {
        throw failure('disk-full', 'no room');
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'approval-refused',
      message: 'rejected at step "restore files" by dba: seen',
    });
    expect(recovery.steps.at(-1)).toBe('restoreFiles');
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
    expect(await recovery.seen.status()).toMatchObject({ state: 'failed' });
  });

  it('F15: the backup turns out damaged while it is restored: nothing is opened, another plan waits for an approval of its own; rejected then, it says what was moved', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        planOf({ cluster, operationId, port: 5000 + recovery.seen.of('planRecovery').length }),
      restoreFiles: async () => {
        throw failure('backup-corrupt', 'a file does not match its recorded checksum');
      },
    });
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    const second = await recovery.plan();
    expect(recovery.seen.journal).toContainEqual(
      expect.stringMatching(/^recheck: plan .* is stale \(a file does not match its recorded checksum\)/),
    );
    expect(recovery.steps).not.toContain('promoteServer');
    expect(recovery.seen.of('recordApproval')).toHaveLength(1);
    expect(recovery.seen.names).toContain('releaseLock');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', plan: { digest: second } });
    const { currentDetails } = await recovery.seen.workflow.query<{ currentDetails: string }>(
      '__temporal_workflow_metadata',
    );
    expect(currentDetails).toContain('reprise kept list');
    expect(currentDetails).not.toContain('Nothing was changed');
  });

  it('F15: found damaged when the plan is checked: the same, and not a step is done', async () => {
    const recovery = await startRecovery(lab, {
      recheckPlan: async ({ plan }) =>
        recovery.seen.of('recheckPlan').length === 1
          ? { digest: null, changed: ['b1 is damaged: quarantined'] }
          : { digest: plan, changed: [] },
    });
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    await recovery.plan();
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.journal).toEqual([expect.stringContaining('b1 is damaged: quarantined')]);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('reject gives up what comes after the opening too, once it has failed: it is not tried again', async () => {
    const recovery = await startRecovery(lab, {
      freshBackup: async () => {
        throw failure('storage-full', 'no space left');
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'approval-refused',
      message: 'rejected at step "take and verify a fresh backup" by dba: seen',
    });
    expect(recovery.seen.of('freshBackup')).toHaveLength(1);
  });

  it.each(['approval-used', 'approval-refused', 'plan-unknown', 'plan-stale'] as const)(
    'F8: the gate of the host refuses with %s: it ends, nobody is asked to try again',
    async (code) => {
      const recovery = await startRecovery(lab, {
        stopServer: async () => {
          throw failure(code, 'refused by the host');
        },
      });
      await recovery.approved();
      expect(await failureOfWorkflow(recovery.seen.workflow)).toEqual({ type: code, message: 'refused by the host' });
      expect(recovery.steps).toEqual(['stopServer']);
      expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
    },
  );

  it('S5: a document that cannot be written does not undo the recovery: it waits, and is written again', async () => {
    const recovery = await startRecovery(lab, {
      finishRecovery: async () => {
        if (recovery.seen.of('finishRecovery').length === 1) throw failure('storage-full', 'no space left');
        return outcomeOfHost;
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed', outcome: { report: 'incidents/op.md' } });
  });

  it('cancelled in the middle of a step: the step is told, and only when it has ended is the cluster given back', async () => {
    const recovery = await startRecovery(lab, { restoreFiles: untilCancelled });
    await recovery.approved();
    await recovery.seen.called('restoreFiles');
    await recovery.seen.workflow.cancel();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(recovery.seen.names.slice(-4)).toEqual(['restoreFiles', 'releaseLock', 'journal', 'unpin']);
    // Whoever finds it cancelled reads where the old data is, and what to type.
    expect(recovery.seen.journal.at(-1)).toMatch(
      /^ended: It ended at the step "restore files"\. .* is kept as .*`reprise kept list`.*`reprise recover c\d+ --policy physical` makes a new plan/,
    );
    const { currentDetails } = await recovery.seen.workflow.query<{ currentDetails: string }>(
      '__temporal_workflow_metadata',
    );
    expect(currentDetails).toContain('reprise kept list');
  });

  it('cancelled while it waits for a person: the cluster is given back, the pin goes', async () => {
    const recovery = await startRecovery(lab, {
      putAside: async () => {
        throw failure('path-refused', 'a mount point');
      },
    });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.seen.workflow.cancel();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
    expect(await recovery.seen.status()).toMatchObject({ state: 'cancelled' });
  });
});
