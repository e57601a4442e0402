import { beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckResult } from '../../src/activities/api.js';
import { signalNames } from '../../src/domain/operation/names.js';
import type { PlanBinding } from '../../src/domain/plan/plan.js';
import { type Activities, Lab, failure, failureOfWorkflow, untilCancelled } from './lab.js';
import { type Recovery, person, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const wrong: CheckResult = { name: 'appointments', status: 'failed', detail: '199999 instead of 200000' };
const undoHooks = { 'stop-applications': 'thaw-applications' };
const databases = { method: 'databases', hooks: ['stop-applications'], undoHooks } as const;
const physical = { method: 'data-directory', hooks: ['stop-applications'], undoHooks } as const;

async function approved(activities: Partial<Activities>, binding: Partial<PlanBinding>): Promise<Recovery> {
  const recovery = await startRecovery(lab, activities, binding);
  await recovery.approved();
  return recovery;
}
const fails = (code: 'tool-rejected' | 'plan-unknown' | 'backup-corrupt') => async (): Promise<never> => {
  throw failure(code, 'it failed');
};
const undone = ({ steps }: Recovery): readonly string[] => steps.filter((step) => step.startsWith('undo'));
const UNDO = 'undo stop-applications';

describe('what takes a hook back', () => {
  it.each([
    ['dumps', databases],
    ['a physical backup', physical],
  ] as const)('runs at the normal end, before the document is written: %s', async (_name, binding) => {
    const recovery = await approved({}, binding);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.steps.slice(-2)).toEqual([UNDO, 'finishRecovery']);
    expect(recovery.seen.journal).toContain('thaw-applications: done');
  });

  it('does not run where a step of the recovery does the same', async () => {
    const hooks = ['stop-applications', 'start-applications'];
    for (const given of [undefined, { 'stop-applications': 'start-applications' }]) {
      const recovery = await approved({}, { ...databases, hooks, undoHooks: given });
      await recovery.result();
      expect(recovery.steps.filter((step) => step === 'start-applications')).toHaveLength(1);
      expect(undone(recovery)).toEqual([]);
    }
  });

  it('runs after a rejection before the live data was touched, with the cluster still locked', async () => {
    const recovery = await approved({ runChecks: async () => [wrong] }, databases);
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'approval-refused' });
    expect(undone(recovery)).toEqual([UNDO]);
    expect(recovery.seen.names.indexOf('undoHook')).toBeLessThan(recovery.seen.names.indexOf('releaseLock'));
    expect(recovery.seen.names.indexOf('undoHook')).toBeLessThan(recovery.seen.names.indexOf('unpin'));
    expect(recovery.seen.journal).toContain('thaw-applications: done: undo of stop-applications');
    expect(recovery.seen.journal.at(-1)).not.toContain('was not undone');
  });

  it('runs after a failure before the live data was touched', async () => {
    const recovery = await approved({ restoreDatabases: fails('plan-unknown') }, databases);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'plan-unknown' });
    expect(undone(recovery)).toEqual([UNDO]);
  });

  it('runs after a cancellation before the live data was touched', async () => {
    const recovery = await approved({ restoreDatabases: untilCancelled }, databases);
    await recovery.seen.called('restoreDatabases');
    await recovery.seen.workflow.cancel();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(undone(recovery)).toEqual([UNDO]);
  });

  it('runs where the hook itself failed: it may have acted in part', async () => {
    const recovery = await approved({ runHook: fails('tool-rejected') }, physical);
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    await failureOfWorkflow(recovery.seen.workflow);
    expect(recovery.steps).toEqual(['stop-applications', UNDO]);
  });

  it('runs while another plan waits for its approval, and again after that one', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        planOf({ cluster, operationId, ...databases, port: 5000 + recovery.seen.of('planRecovery').length }),
      restoreDatabases: async () => {
        if (recovery.seen.of('restoreDatabases').length === 1) throw failure('backup-corrupt', 'damaged');
        return { reached: 'the dump', lastLsn: null, lastCommitAt: null, complete: false };
      },
    });
    await recovery.approved();
    await recovery.seen.called('undoHook');
    await recovery.seen.called('planRecovery', 2);
    await recovery.approved();
    await recovery.result();
    expect(recovery.steps.filter((step) => step.includes('stop-applications'))).toEqual([
      'stop-applications',
      UNDO,
      'stop-applications',
      UNDO,
    ]);
  });

  it('that fails is told: what a person has to do stands in the journal and in the details', async () => {
    const recovery = await approved(
      { restoreDatabases: fails('plan-unknown'), undoHook: fails('tool-rejected') },
      databases,
    );
    await failureOfWorkflow(recovery.seen.workflow);
    expect(recovery.seen.journal).toContainEqual(expect.stringMatching(/^thaw-applications: failed: undo of stop-/));
    expect(recovery.seen.journal.at(-1)).toContain(
      'Hook "stop-applications" was not undone, because that failed: check the data, then do by hand what hook "thaw-applications" does.',
    );
  });
});

describe('where the live data was touched, applications stay stopped', () => {
  const cases = [
    ['the old server is stopped', { stopServer: fails('plan-unknown') }, physical],
    ['the old data is moved', { restoreFiles: fails('plan-unknown') }, physical],
    ['the recovered server is promoted', { promoteServer: fails('plan-unknown') }, physical],
    ['the databases are swapped', { swapDatabases: fails('plan-unknown') }, databases],
    ['the fresh backup is refused', { freshBackup: fails('plan-unknown') }, databases],
  ] as const;
  it.each(cases)('a failure once %s', async (_name, activities, binding) => {
    const recovery = await approved(activities, binding);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'plan-unknown' });
    expect(undone(recovery)).toEqual([]);
    expect(recovery.seen.journal.at(-1)).toContain(
      'Hook "stop-applications" was not undone, because the live data was touched',
    );
  });

  it('a rejection', async () => {
    const recovery = await approved({ runChecks: async () => [wrong] }, physical);
    await recovery.seen.state('paused');
    await recovery.signal(signalNames.reject, person);
    await failureOfWorkflow(recovery.seen.workflow);
    expect(undone(recovery)).toEqual([]);
  });

  it('a cancellation', async () => {
    const recovery = await approved({ swapDatabases: untilCancelled }, databases);
    await recovery.seen.called('swapDatabases');
    await recovery.seen.workflow.cancel();
    await failureOfWorkflow(recovery.seen.workflow);
    expect(undone(recovery)).toEqual([]);
    expect(recovery.seen.journal.at(-1)).toContain('was not undone');
  });

  it('a damaged backup: not while the next plan waits, but at the end of what follows it', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        planOf({ cluster, operationId, ...physical, port: 5000 + recovery.seen.of('planRecovery').length }),
      restoreFiles: async () => {
        if (recovery.seen.of('restoreFiles').length === 1) throw failure('backup-corrupt', 'damaged');
      },
    });
    await recovery.approved();
    await recovery.seen.called('planRecovery', 2);
    await recovery.plan();
    expect(undone(recovery)).toEqual([]);
    await recovery.approved();
    await recovery.result();
    expect(undone(recovery)).toEqual([UNDO]);
  });

  it('a rejection of the plan that follows a damaged backup says so', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        planOf({ cluster, operationId, ...physical, port: 5000 + recovery.seen.of('planRecovery').length }),
      restoreFiles: fails('backup-corrupt'),
    });
    await recovery.approved();
    await recovery.seen.called('planRecovery', 2);
    await recovery.plan();
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({
      state: 'rejected',
      left: expect.stringContaining('Hook "stop-applications" was not undone'),
    });
  });
});
