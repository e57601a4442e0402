import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import { signalNames, updateNames } from '../../src/domain/operation/names.js';
import { Lab, failure, failureOfWorkflow, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const right: CheckResult = { ...wrong, status: 'passed', detail: '200000' };
const target = { kind: 'time', time: '2026-11-21T02:00:00Z' } as const;
const later = { kind: 'time', time: '2026-11-21T02:05:00Z' } as const;

describe('K2: at the target', () => {
  it('pauses where the plan says so, and promotes only when told', async () => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.approved();
    expect((await recovery.seen.state('paused')).waitingFor).toContain('paused as asked');
    expect(recovery.steps.at(-1)).toBe('runChecks');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('recordDecision')).toMatchObject([
      { plan: await recovery.seen.status().then(({ plan }) => plan), decision: { kind: 'promote', ...person } },
    ]);
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
    expect((await recovery.seen.state('paused')).waitingFor).toContain(
      'checks failed: appointments (199999 instead of 200000)',
    );
    expect(recovery.seen.names).not.toContain('promoteServer');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('retarget goes on to a later target and looks again', async () => {
    const recovery = await startRecovery(
      lab,
      { runChecks: async () => (recovery.seen.of('runChecks').length === 1 ? [wrong] : [right]) },
      { target },
    );
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.retarget, { ...person, target: later });
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('replayWal').map((input) => input['target'])).toEqual([target, later]);
    expect(recovery.seen.of('restoreFiles')).toHaveLength(1);
  });

  it('F25: a target that cannot be reached is not the end: another one is taken', async () => {
    const recovery = await startRecovery(
      lab,
      {
        replayWal: async ({ target: asked }) => {
          if (asked.kind === 'time' && asked.time !== target.time)
            throw failure('target-not-reached', 'WAL ends before it');
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
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
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
    expect(recovery.seen.journal.at(-1)).toMatch(new RegExp(`^approval: a ${name} is not valid`));
    expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
    expect(recovery.seen.of('replayWal')).toHaveLength(1);
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it.each(['signal', 'update'])(
    'F32: a promote or retarget that the host refuses by its policy has no effect, sent as %s; it goes on waiting',
    async (kind) => {
      const recovery = await startRecovery(
        lab,
        {
          recordDecision: async ({ decision }) =>
            decision.by === 'dba'
              ? { accepted: true, missing: 0 }
              : {
                  accepted: false,
                  missing: 0,
                  code: 'approval-refused',
                  reason: 'mallory may not',
                  hint: 'dba has to',
                },
        },
        { pause: true, target },
      );
      await recovery.approved();
      await recovery.seen.state('paused');
      const forged = { by: 'mallory', reason: 'now', target: later };
      for (const [index, name] of (['promote', 'retarget'] as const).entries()) {
        if (kind === 'signal') await recovery.signal(signalNames[name], forged);
        else
          await expect(
            recovery.seen.workflow.executeUpdate(updateNames[name], { args: [forged] }),
          ).rejects.toMatchObject({
            cause: { type: 'approval-refused', message: 'mallory may not', details: [{ hint: 'dba has to' }] },
          });
        await recovery.seen.called('recordDecision', index + 1);
      }
      expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
      expect(recovery.seen.of('replayWal')).toHaveLength(1);
      expect(recovery.seen.names).not.toContain('promoteServer');
      expect(
        await recovery.seen.workflow.executeUpdate(updateNames.retarget, { args: [{ ...person, target: later }] }),
      ).toEqual({ accepted: true, missing: 0 });
      await recovery.seen.called('replayWal', 2);
      await recovery.seen.state('paused');
      expect(await recovery.seen.workflow.executeUpdate(updateNames.promote, { args: [person] })).toEqual({
        accepted: true,
        missing: 0,
      });
      expect(await recovery.result()).toMatchObject({ state: 'completed' });
    },
  );

  it('an update to promote what nothing waits for is answered: it has no effect; a malformed one leaves no trace', async () => {
    const recovery = await startRecovery(lab, {}, { pause: true, target });
    await recovery.plan();
    await expect(recovery.seen.workflow.executeUpdate(updateNames.promote, { args: [person] })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: expect.stringContaining('nothing is waiting for it') },
    });
    await expect(recovery.seen.workflow.executeUpdate(updateNames.retarget, { args: [person] })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: expect.stringContaining('"target"') },
    });
    expect(recovery.seen.names).not.toContain('recordDecision');
    expect(recovery.seen.journal).toHaveLength(1);
  });

  it('a promote that came before there was anything to look at promotes nothing', async () => {
    const restoring = gate();
    const recovery = await startRecovery(lab, { restoreFiles: () => restoring.passed }, { pause: true, target });
    await recovery.approved();
    await recovery.seen.called('restoreFiles');
    await recovery.signal(signalNames.promote, person);
    await recovery.seen.until(
      async () => recovery.seen.journal.some((line) => line.includes('no effect')) || null,
      async () => recovery.seen.journal.join('\n'),
    );
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
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'approval-refused',
      message: expect.stringContaining('rejected at step "run checks"'),
    });
    expect(recovery.seen.names).not.toContain('promoteServer');
  });

  it('K1: restored databases wait beside the live ones; a dump takes no further target', async () => {
    const recovery = await startRecovery(lab, {}, { method: 'databases', pause: true });
    await recovery.approved();
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.retarget, { ...person, target: later });
    await recovery.seen.until(
      async () => recovery.seen.journal.some((line) => line.includes('no effect')) || null,
      async () => recovery.seen.journal.join('\n'),
    );
    expect(await recovery.seen.status()).toMatchObject({ state: 'paused' });
    expect(recovery.seen.names).not.toContain('swapDatabases');
    await recovery.signal(signalNames.promote, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.names).toContain('swapDatabases');
  });
});
