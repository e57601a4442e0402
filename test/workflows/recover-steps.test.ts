import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import type { LockHolder } from '../../src/domain/locks.js';
import { signalNames, updateNames } from '../../src/domain/names.js';
import { HOST, Lab, failure, failureOfWorkflow, gate, untilCancelled } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const right: CheckResult = { ...wrong, status: 'passed', detail: '200000' };
const holder: LockHolder = { operationId: 'b', kind: 'backup', policy: 'nightly', engine: 'logical', repository: 'local', workflowId: 'backup/c/nightly', since: '2026-11-21T01:30:00Z', token: 1 };
const target = { kind: 'time', time: '2026-11-21T02:00:00Z' } as const;
const later = { kind: 'time', time: '2026-11-21T02:05:00Z' } as const;

describe('the runbook, in its order', () => {
  it('S2, S4, K2: a physical backup into the data directory', async () => {
    const recovery = await startRecovery(lab, {}, { hooks: ['stop-applications', 'start-applications'] });
    await recovery.approved();
    await recovery.result();
    expect(recovery.seen.names.filter((name) => name !== 'journal')).toEqual([
      ...['planRecovery', 'pin', 'recordApproval', 'acquireLock', 'recheckPlan'],
      ...['runHook', 'stopServer', 'salvageWal', 'putAside', 'restoreFiles', 'replayWal', 'runChecks', 'promoteServer', 'rearmArchiving', 'freshBackup', 'runHook', 'finishRecovery'],
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
    expect(recovery.steps).toEqual(['putAside', 'restoreFiles', 'replayWal', 'runChecks', 'promoteServer', 'finishRecovery']);
  });

  it('K1: dumps beside the live databases, swapped by rename', async () => {
    const recovery = await startRecovery(lab, {}, { method: 'databases', hooks: ['stop-applications', 'start-applications'] });
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps).toEqual(['stop-applications', 'safetyBackup', 'restoreDatabases', 'runChecks', 'swapDatabases', 'freshBackup', 'start-applications', 'finishRecovery']);
    expect(recovery.seen.journal).toContain('safety backup: saved as b1');
  });

  it('K1: media of the plan come after the database and before the look at both; then no other target is offered', async () => {
    const nothing = { objects: 0, bytes: 0 };
    const media = { name: 'photos', instant: '2026-11-21T02:00:00.000Z', counts: { undelete: { objects: 1, bytes: 1 }, overwrite: nothing, copy: nothing }, digest: 'd' };
    const dumps = await startRecovery(lab, {}, { method: 'databases', steps: ['restore'], media }, { withMedia: 'photos' });
    await dumps.approved();
    await dumps.result();
    expect(dumps.seen.of('planRecovery')).toMatchObject([{ withMedia: 'photos' }]);
    expect(dumps.steps).toEqual(['restoreDatabases', 'restoreMedia', 'runChecks', 'swapDatabases', 'freshBackup', 'finishRecovery']);

    const physical = await startRecovery(lab, {}, { pause: true, media });
    await physical.approved();
    const { waitingFor } = await physical.seen.state('paused');
    expect(waitingFor).not.toContain('retarget');
    await physical.signal(signalNames.promote, person);
    await physical.result();
    expect(physical.steps).toEqual(['stopServer', 'salvageWal', 'putAside', 'restoreFiles', 'replayWal', 'restoreMedia', 'runChecks', 'promoteServer', 'rearmArchiving', 'freshBackup', 'finishRecovery']);
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
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'check-failed', message: expect.stringContaining('199999 instead of 200000') });
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
  });

  it('F33: destructive steps carry the plan and nothing that says what to do; they run on the slot of recoveries', async () => {
    const recovery = await startRecovery(lab);
    await recovery.approved();
    const { plan } = await recovery.result();
    const { cluster } = recovery.seen;
    for (const name of ['stopServer', 'putAside', 'restoreFiles', 'promoteServer'] as const) {
      expect(recovery.seen.of(name)).toEqual([{ cluster, operationId: 'op', workflowId: `recover/${cluster}/op`, plan: plan.digest }]);
      expect(recovery.seen.calls.find((call) => call.name === name)?.queue).toBe(`reprise-${HOST}-recovery`);
    }
  });
});

describe('F29: the cluster is held by another', () => {
  it('waits for its end, says for whom, and goes on', async () => {
    const ended = gate();
    const recovery = await startRecovery(lab, {
      acquireLock: async () => (recovery.seen.of('acquireLock').length === 1 ? { granted: false, holder } : { granted: true, token: 2 }),
      awaitRelease: () => ended.passed,
    });
    await recovery.approved();
    await recovery.seen.called('awaitRelease');
    expect(recovery.seen.of('awaitRelease')).toEqual([{ cluster: recovery.seen.cluster, operationId: 'b' }]);
    expect(await recovery.seen.status()).toMatchObject({ state: 'running', waitingFor: expect.stringContaining('backup/c/nightly') });
    expect(recovery.seen.names).not.toContain('recheckPlan');
    ended.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(await recovery.seen.status()).toMatchObject({ waitingFor: null });
  });

  it('F40: a wait of days leaves no trace in the history', async () => {
    const recovery = await startRecovery(lab, {
      acquireLock: async () => (recovery.seen.of('acquireLock').length === 1 ? { granted: false, holder } : { granted: true, token: 2 }),
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

describe('a step that fails for good', () => {
  it('leaves the decision to a person; continue tries that step again, and only that', async () => {
    const recovery = await startRecovery(lab, {
      restoreFiles: async () => {
        if (recovery.seen.of('restoreFiles').length === 1) throw failure('disk-full', 'no room on /var/lib/postgresql');
      },
    });
    await recovery.approved();
    const { waitingFor } = await recovery.seen.state('paused');
    expect(waitingFor).toMatch(/"restore files" failed: no room on .* \(disk-full\) HINT: do something/);
    expect(recovery.seen.journal).toContainEqual(expect.stringMatching(/^restore files: failed: no room on .*disk-full/));
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.steps.slice(0, 5)).toEqual(['stopServer', 'salvageWal', 'putAside', 'restoreFiles', 'restoreFiles']);
    expect(recovery.steps.filter((name) => name === 'putAside')).toHaveLength(1);
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
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused', message: 'given up at "restore files" by dba: seen' });
    expect(recovery.steps.at(-1)).toBe('restoreFiles');
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
    expect(await recovery.seen.status()).toMatchObject({ state: 'failed' });
  });

  it('F15: the backup turns out damaged while it is restored: nothing is opened, another plan waits for an approval of its own; rejected then, it says what was moved', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId, port: 5000 + recovery.seen.of('planRecovery').length }),
      restoreFiles: async () => {
        throw failure('backup-corrupt', 'a file does not have its recorded checksum');
      },
    });
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    const second = await recovery.plan();
    expect(recovery.seen.journal).toContainEqual(expect.stringMatching(/^recheck: plan .* no longer holds \(a file does not have its recorded checksum\)/));
    expect(recovery.steps).not.toContain('promoteServer');
    expect(recovery.seen.of('recordApproval')).toHaveLength(1);
    expect(recovery.seen.names).toContain('releaseLock');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', plan: { digest: second } });
    const { currentDetails } = await recovery.seen.workflow.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('reprise kept list');
    expect(currentDetails).not.toContain('Nothing was changed');
  });

  it('F15: found damaged when the plan is checked: the same, and not a step is done', async () => {
    const recovery = await startRecovery(lab, {
      recheckPlan: async ({ plan }) => (recovery.seen.of('recheckPlan').length === 1 ? { digest: null, changed: ['b1 is damaged: quarantined'] } : { digest: plan, changed: [] }),
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
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused', message: 'given up at "take and verify a fresh backup" by dba: seen' });
    expect(recovery.seen.of('freshBackup')).toHaveLength(1);
  });

  it.each(['approval-used', 'approval-refused', 'plan-unknown', 'plan-stale'] as const)('F8: the gate of the host refuses with %s: it ends, nobody is asked to try again', async (code) => {
    const recovery = await startRecovery(lab, {
      stopServer: async () => {
        throw failure(code, 'refused by the host');
      },
    });
    await recovery.approved();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toEqual({ type: code, message: 'refused by the host' });
    expect(recovery.steps).toEqual(['stopServer']);
    expect(recovery.seen.names.slice(-3)).toEqual(['releaseLock', 'journal', 'unpin']);
  });

  it('S5: a document that cannot be written does not undo the recovery: it waits, and is written again', async () => {
    const recovery = await startRecovery(lab, {
      finishRecovery: async ({ outcome }) => {
        if (recovery.seen.of('finishRecovery').length === 1) throw failure('storage-full', 'no space left');
        return { ...outcome, report: 'incidents/op.md' };
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
    expect(recovery.seen.journal.at(-1)).toMatch(/^ended: It ended at "restore files"\. .* is kept as .*`reprise kept list`.*`reprise recover c\d+ --policy physical` makes a new plan/);
    const { currentDetails } = await recovery.seen.workflow.query<{ currentDetails: string }>('__temporal_workflow_metadata');
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

describe('K2: at the target', () => {
  it('pauses where the plan says so, and promotes only when told', async () => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.approved();
    expect((await recovery.seen.state('paused')).waitingFor).toContain('paused as asked');
    expect(recovery.steps.at(-1)).toBe('runChecks');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('recordDecision')).toMatchObject([{ plan: await recovery.seen.status().then(({ plan }) => plan), decision: { kind: 'promote', ...person } }]);
  });

  it('the signal pause during the restore has the same effect', async () => {
    const restoring = gate();
    const recovery = await startRecovery(lab, { restoreFiles: () => restoring.passed });
    await recovery.approved();
    await recovery.seen.called('restoreFiles');
    await recovery.signal(signalNames.pause, person);
    restoring.open();
    await recovery.seen.state('paused');
    expect(recovery.seen.names).not.toContain('promoteServer');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('K4: failed checks stop it before anything is promoted; a person may promote in spite of them', async () => {
    const recovery = await startRecovery(lab, { runChecks: async () => [wrong] });
    await recovery.approved();
    expect((await recovery.seen.state('paused')).waitingFor).toContain('checks failed: appointments (199999 instead of 200000)');
    expect(recovery.seen.names).not.toContain('promoteServer');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ outcome: { checks: [wrong] } });
  });

  it('retarget goes on to a later target and looks again', async () => {
    const recovery = await startRecovery(lab, { runChecks: async () => (recovery.seen.of('runChecks').length === 1 ? [wrong] : [right]) }, { target });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.retarget, { ...person, target: later });
    expect(await recovery.result()).toMatchObject({ state: 'completed', outcome: { checks: [right] } });
    expect(recovery.seen.of('replayWal').map((input) => input['target'])).toEqual([target, later]);
    expect(recovery.seen.of('restoreFiles')).toHaveLength(1);
  });

  it('F25: a target that cannot be reached is not the end: another one is taken', async () => {
    const recovery = await startRecovery(
      lab,
      {
        replayWal: async ({ target: asked }) => {
          if (asked.kind === 'time' && asked.time !== target.time) throw failure('target-not-reached', 'WAL ends before it');
          return { reached: 'there', lastLsn: null, lastCommitAt: null, complete: false };
        },
      },
      { pause: true, target },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.retarget, { ...person, target: later });
    await recovery.seen.called('replayWal', 2);
    expect((await recovery.seen.state('paused')).waitingFor).toContain('"replay WAL" failed');
    await recovery.signal(signalNames.retarget, { ...person, target: target.time });
    await recovery.seen.called('runChecks', 2);
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed', outcome: { target: { reached: 'there' } } });
  });

  it.each([
    ['a retarget without a target', signalNames.retarget, person],
    ['a retarget to a time without an offset', signalNames.retarget, { ...person, target: '2026-11-21 02:05' }],
    ['a retarget that is nothing', signalNames.retarget, null],
    ['a promote by nobody', signalNames.promote, { reason: 'go' }],
    ['a promote that is no object', signalNames.promote, 'go'],
  ])('F32: %s is journalled, and it goes on waiting', async (_name, name, payload) => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.approved();
    await recovery.seen.state('paused');
    const before = recovery.seen.journal.length;
    await recovery.signal(name, payload);
    await recovery.seen.called('journal', before + 1);
    expect(recovery.seen.journal.at(-1)).toMatch(new RegExp(`^approval: a ${name} could not be read`));
    expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
    expect(recovery.seen.of('replayWal')).toHaveLength(1);
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it.each(['signal', 'update'])('F32: a promote or retarget that the host refuses by its policy has no effect, sent as %s; it goes on waiting', async (kind) => {
    const recovery = await startRecovery(
      lab,
      { recordDecision: async ({ decision }) => (decision.by === 'dba' ? { accepted: true, missing: 0 } : { accepted: false, missing: 0, code: 'approval-refused', reason: 'mallory may not', hint: 'dba has to' }) },
      { pause: true, target },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    const forged = { by: 'mallory', reason: 'now', target: later };
    for (const [index, name] of (['promote', 'retarget'] as const).entries()) {
      if (kind === 'signal') await recovery.signal(signalNames[name], forged);
      else await expect(recovery.seen.workflow.executeUpdate(updateNames[name], { args: [forged] })).rejects.toMatchObject({ cause: { type: 'approval-refused', message: 'mallory may not', details: [{ hint: 'dba has to' }] } });
      await recovery.seen.called('recordDecision', index + 1);
    }
    expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
    expect(recovery.seen.of('replayWal')).toHaveLength(1);
    expect(recovery.seen.names).not.toContain('promoteServer');
    expect(await recovery.seen.workflow.executeUpdate(updateNames.retarget, { args: [{ ...person, target: later }] })).toEqual({ accepted: true, missing: 0 });
    await recovery.seen.called('replayWal', 2);
    await recovery.seen.state('paused');
    expect(await recovery.seen.workflow.executeUpdate(updateNames.promote, { args: [person] })).toEqual({ accepted: true, missing: 0 });
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('an update to promote what nothing waits for is answered: it has no effect; a malformed one leaves no trace', async () => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.plan();
    await expect(recovery.seen.workflow.executeUpdate(updateNames.promote, { args: [person] })).rejects.toMatchObject({ cause: { type: 'approval-refused', message: expect.stringContaining('nothing waits for a promote') } });
    await expect(recovery.seen.workflow.executeUpdate(updateNames.retarget, { args: [person] })).rejects.toMatchObject({ cause: { type: 'approval-refused', message: expect.stringContaining('"target"') } });
    expect(recovery.seen.names).not.toContain('recordDecision');
    expect(recovery.seen.journal).toHaveLength(1);
  });

  it('a promote that came before there was anything to look at promotes nothing', async () => {
    const restoring = gate();
    const recovery = await startRecovery(lab, { restoreFiles: () => restoring.passed }, { pause: true, target });
    await recovery.approved();
    await recovery.seen.called('restoreFiles');
    await recovery.signal(signalNames.promote, person);
    await recovery.seen.until(async () => recovery.seen.journal.some((line) => line.includes('no effect')) || null, async () => recovery.seen.journal.join('\n'));
    restoring.open();
    await recovery.seen.state('paused');
    expect(recovery.seen.names).not.toContain('promoteServer');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('reject at the target gives up before anything is promoted', async () => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused', message: expect.stringContaining('given up at "run checks"') });
    expect(recovery.seen.names).not.toContain('promoteServer');
  });

  it('K1: restored databases wait beside the live ones; a dump takes no further target', async () => {
    const recovery = await startRecovery(lab, {}, { method: 'databases', pause: true });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.retarget, { ...person, target: later });
    await recovery.seen.until(async () => recovery.seen.journal.some((line) => line.includes('no effect')) || null, async () => recovery.seen.journal.join('\n'));
    expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
    expect(recovery.seen.names).not.toContain('swapDatabases');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.names).toContain('swapDatabases');
  });
});
