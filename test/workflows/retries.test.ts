import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import {
  lockWorkflowId,
  mediaWorkflowId,
  signalNames,
  updateNames,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import { type Case, Lab, failure, failureOfWorkflow } from './lab.js';
import { facts, gone, nightly, startBackup, toldOf } from './failing-steps.js';
import { person, startRecovery } from './recoveries.js';
import { planOf, wellBehaved } from './well-behaved.js';

let lab: Lab;
/** Only for what waits for minutes: steps that people try again while their pause ends would hang there. */
let skipping: Lab;
beforeAll(async () => {
  [lab, skipping] = await Promise.all([Lab.start(), Lab.skipping()]);
});

/** What happened in a workflow, of one kind of event. */
async function activitiesOf({ workflow }: Case) {
  const { events } = await workflow.fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: one }) => one ?? []);
}

it('L9: a nightly backup outlives a failure that passes, with pauses that grow; people are told once, early', async () => {
  const one = await startBackup(skipping, {
    ...facts(),
    runBackup: async () => {
      if (one.of('runBackup').length <= 8) throw gone();
      return ['b1'];
    },
  });
  await untilPaused(one, one.workflow, () => skipping.pass('20 seconds'));
  expect((await one.status()).waitingFor).toMatch(
    /fails and is tried again at .*Z, until .*Z: the bucket does not answer \(storage-unreachable\).*reprise continue backup\//,
  );
  expect(one.of('runBackup').length).toBeLessThanOrEqual(6);
  await skipping.pass('5 minutes');
  expect(await one.workflow.result()).toMatchObject({ backups: [{ id: 'b1' }] });
  expect(await toldOf(one)).toEqual(['1-paused']);
});

it('L9: a skipped run whose record cannot be written waits for it, and tells people why', async () => {
  let back = false;
  const holder = {
    workflowId: 'backup/c/other',
    runId: 'r',
    operationId: 'o',
    since: '2026-11-21T08:00:00Z',
    token: 1,
  };
  const skipped = await startBackup(skipping, {
    ...facts(),
    acquireLock: async ({ request }) => ({ granted: false, holder: { ...request, ...holder } }),
    recordSkipped: async () => (back ? undefined : Promise.reject(gone())),
  });
  await skipped.called('recordSkipped');
  await skipping.pass('61 seconds');
  await skipped.called('sendNotice');
  expect((await skipped.status()).waitingFor).toMatch(
    /"record why no backup was taken" on host db1, which is tried again/,
  );
  back = true;
  await skipping.pass('21 seconds');
  expect(await skipped.workflow.result()).toMatchObject({ skipped: { code: 'lock-held' } });
  expect(await toldOf(skipped)).toEqual(['1-paused']);
});

it('L8: a host that is only busy is asked again which operation is under way, before the lock is granted', async () => {
  let back = false;
  const one = skipping.case({
    ...facts(),
    describeLock: async () => (back ? { active: [], lastToken: 0 } : Promise.reject(gone())),
  });
  await one.start(workflowTypes.lock, lockWorkflowId('CLUSTER'), {});
  await one.called('describeLock');
  await skipping.pass('61 seconds');
  await one.called('hostAnswers', 2);
  expect(one.of('lockedOperations')).toEqual([]);
  back = true;
  await skipping.pass('33 seconds');
  await one.called('lockedOperations');
  const asked = (await activitiesOf(one)).filter(({ activityType }) => activityType?.name === 'describeLock');
  expect(asked.map(({ scheduleToStartTimeout }) => Number(scheduleToStartTimeout?.seconds))).toEqual(
    asked.map(() => 60),
  );
});

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
    const taken = await startBackup(lab, {});
    await taken.workflow.result();
    const adopted = lab.case();
    await adopted.start(workflowTypes.adopt, 'adopt/CLUSTER', {
      order: { restore: false },
      operationId: 'op',
      requester: 'ops',
    });
    const { plan: toAdopt } = await adopted.state('waiting-approval');
    const approval = { ...person, plan: toAdopt?.slice(0, 12) };
    await adopted.workflow.executeUpdate(updateNames.approve, { args: [approval] });
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
  it.each(['preflightBackup', 'proveBackup', 'rotateBackups', 'readBackups'] as const)(
    'L9: the same in %s',
    async (name) => {
      let back = false;
      const one = await startBackup(lab, {
        ...facts(),
        [name]: async (input: never) => {
          if (!back) throw gone();
          return (wellBehaved[name] as (input: never) => unknown)(input);
        },
      });
      await failUntilPaused(one);
      back = true;
      await one.workflow.signal(signalNames.continue, person);
      expect(await one.workflow.result()).toMatchObject({ backups: [{ id: 'b1' }] });
      expect(await toldOf(one)).toEqual(['1-paused']);
    },
  );

  it('L9: continue tries it now; reject ends it', async () => {
    const one = await startBackup(lab, { ...facts(), runBackup: async () => Promise.reject(gone()) });
    await failUntilPaused(one);
    const { length } = one.of('runBackup');
    await one.workflow.signal(signalNames.continue, person);
    await one.called('runBackup', length + 1);
    // Rejected between two attempts: in the middle of one, that one would be the last.
    await one.until(
      async () => (/tried again at/.test((await one.status()).waitingFor ?? '') ? true : null),
      () => one.status().then((status) => JSON.stringify(status)),
    );
    const tried = one.of('runBackup').length;
    // As the command line sends it.
    await one.workflow.executeUpdate(updateNames.reject, { args: [person] });
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'storage-unreachable' });
    expect(one.of('runBackup')).toHaveLength(tried);
    expect(one.names).toContain('releaseLock');
  });

  it('L9: the same of a step of a recovery: people may decide meanwhile, and it is the same attempt', async () => {
    let back = false;
    const recovery = await startRecovery(lab, {
      ...facts(),
      replayWal: async (input) => {
        if (!back) throw gone();
        return wellBehaved.replayWal(input);
      },
    });
    await recovery.approved();
    await failUntilPaused(recovery.seen);
    expect((await recovery.seen.status()).waitingFor).toMatch(/"replay WAL.*tried again at/);
    back = true;
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(recovery.seen.of('replayWal').map(({ retry }) => retry)).toEqual(
      recovery.seen.of('replayWal').map(() => undefined),
    );
  });

  it('L9: a backup between two attempts makes way for an approved recovery that waits for the cluster', async () => {
    const holder = { workflowId: '', runId: 'r', operationId: 'op', kind: 'backup', policy: 'nightly', token: 1 };
    let isHeld = true;
    const recovery = await startRecovery(lab, {
      ...facts(),
      runBackup: async () => Promise.reject(gone()),
      acquireLock: async ({ request }) =>
        request.kind === 'recovery' && isHeld
          ? { granted: false, holder: { ...request, ...holder, since: '2026-11-21T08:00:00Z', kind: 'backup' } }
          : { granted: true, token: 1 },
      releaseLock: async ({ owner }) => void (isHeld &&= owner.workflowId !== holder.workflowId),
    });
    const { seen } = recovery;
    const nightlyRun = await seen.start(workflowTypes.backup, 'backup/CLUSTER/nightly', nightly);
    holder.workflowId = nightlyRun.workflowId;
    await failUntilPaused(seen, nightlyRun);
    const { length } = seen.of('runBackup');
    await recovery.approved();
    expect(await failureOfWorkflow(nightlyRun)).toMatchObject({ type: 'storage-unreachable' });
    // One may have begun before it was told to make way.
    expect(seen.of('runBackup').length - length).toBeLessThanOrEqual(1);
    // As the lock tells whom it grants it to.
    await recovery.signal(signalNames.leaseGranted, undefined);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('L9: rejected between two attempts, it gives up', async () => {
    const recovery = await startRecovery(lab, { ...facts(), restoreFiles: async () => Promise.reject(gone()) });
    await recovery.approved();
    await failUntilPaused(recovery.seen);
    const tried = recovery.seen.of('restoreFiles').length;
    await recovery.signal(signalNames.reject, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({
      type: 'approval-refused',
      message: 'rejected at step "restore files" by dba: seen',
    });
    // One may have begun before the message came.
    expect(recovery.seen.of('restoreFiles').length - tried).toBeLessThanOrEqual(1);
  });

  it('L9: it gives up after the time that the config of the host gives, and says so', async () => {
    const one = await startBackup(lab, {
      ...facts({ retryForSeconds: 3 }),
      runBackup: async () => Promise.reject(gone()),
    });
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'storage-unreachable' });
    expect(one.of('runBackup').length).toBeGreaterThanOrEqual(2);
    expect(one.of('recordFailed')).toMatchObject([{ code: 'storage-unreachable' }]);
    expect(await toldOf(one)).toEqual(['1-failed']);
  });

  it('L9: a short one wakes nobody', async () => {
    const one = await startBackup(lab, {
      ...facts(),
      runBackup: async () => {
        if (one.of('runBackup').length < 3) throw gone();
        return ['b1'];
      },
    });
    await one.workflow.result();
    expect(await toldOf(one)).toEqual([]);
  });

  it('L9: a plan waits for the storage, and can be rejected meanwhile', async () => {
    const recovery = await startRecovery(lab, { ...facts(), planRecovery: async () => Promise.reject(gone()) });
    await failUntilPaused(recovery.seen);
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected', plan: null });
  });
});

/** Has a step tried again until it has failed so often that people are told. */
async function failUntilPaused(one: Case, handle = one.workflow): Promise<void> {
  await untilPaused(one, handle, () => handle.signal(signalNames.continue, person));
}

async function untilPaused(one: Case, handle: WorkflowHandle, meanwhile: () => Promise<void>): Promise<void> {
  await one.until(
    async () => {
      if ((await one.status(handle)).state === 'paused') return true;
      await meanwhile();
      return null;
    },
    () => one.status(handle).then((status) => JSON.stringify(status)),
  );
}
