import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { signalNames, updateNames } from '../../src/domain/operation/names.js';
import type { MediaTask } from '../../src/domain/operation/orders.js';
import type { Activities, Case } from './lab.js';
import { Lab, failure, failureOfWorkflow } from './lab.js';
import { mediaPlanOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const recoverTask: MediaTask = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' };
const syncTask: MediaTask = { kind: 'sync', into: 'copy', delete: false, maxDelete: 0 };
const person = { by: 'dba', reason: 'test' };

async function started(
  activities: Partial<Activities> = {},
  task = recoverTask,
): Promise<{ seen: Case; handle: WorkflowHandle }> {
  const seen = lab.case(activities);
  return {
    seen,
    handle: await seen.start('media', 'media/CLUSTER/op', {
      order: { media: 'photos', task },
      operationId: 'op',
      requester: 'ops',
    }),
  };
}

async function approve({ seen, handle }: Awaited<ReturnType<typeof started>>): Promise<void> {
  await seen.state('waiting-approval');
  await handle.executeUpdate(updateNames.approve, {
    args: [{ ...person, plan: (await seen.status()).plan?.slice(0, 12) }],
  });
}

describe('K3: media, in the order of the runbook', () => {
  it('plans, waits for the approval of that very plan, looks again, changes, looks at everything', async () => {
    const work = await started();
    await approve(work);
    expect(await work.handle.result()).toMatchObject({ state: 'completed', outcome: { left: 0 } });
    expect(work.seen.names).toEqual([
      'planMedia',
      'recordApproval',
      'acquireLock',
      'recheckMedia',
      'applyMedia',
      'finishMedia',
      'releaseLock',
      'closeMedia',
    ]);
    expect(work.seen.of('applyMedia')).toEqual([expect.not.objectContaining({ order: expect.anything() })]);
  });

  it('where nothing is to be done nobody is asked; where no policy asks nobody waits', async () => {
    const idle = await started({ planMedia: async (request) => mediaPlanOf(request, { undelete: 0 }) });
    expect(await idle.handle.result()).toMatchObject({ state: 'completed', outcome: null });
    expect(idle.seen.names).toEqual(['planMedia', 'closeMedia']);
    const sync = await started({ planMedia: async (request) => mediaPlanOf(request, { approvers: 0 }) }, syncTask);
    expect(await sync.handle.result()).toMatchObject({ state: 'completed', outcome: { left: 0 } });
    expect(sync.seen.names).not.toContain('recordApproval');
  });

  it.each([
    { task: recoverTask, queue: 'reprise-db1-media' },
    { task: syncTask, queue: 'reprise-db1-heavy' },
  ])('L6: a $task.kind of media takes no slot from the recovery of a database', async ({ task, queue }) => {
    const work = await started({}, task);
    await approve(work);
    await work.handle.result();
    for (const name of ['applyMedia', 'finishMedia'])
      expect(work.seen.calls.find((call) => call.name === name)?.queue).toBe(queue);
  });

  it('F33: rejected, it changes nothing and closes its plan', async () => {
    const { seen, handle } = await started();
    await seen.state('waiting-approval');
    await handle.executeUpdate(updateNames.reject, { args: [person] });
    expect(await handle.result()).toEqual({
      ...{ state: 'rejected', rejectedBecause: 'dba: test', plan: expect.anything(), outcome: null },
    });
    expect(seen.names).toEqual(['planMedia', 'recordRejection', 'closeMedia']);
  });

  it('F31: a plan that no longer holds is made again and needs its approval again', async () => {
    let plans = 0;
    const work = await started({
      planMedia: async (request) => mediaPlanOf(request, { undelete: ++plans }),
      recheckMedia: async ({ plan }) => ({ digest: plans === 1 ? 'another' : plan }),
    });
    await approve(work);
    await work.seen.called('planMedia', 2);
    await approve(work);
    await work.handle.result();
    expect(work.seen.of('applyMedia')).toHaveLength(1);
    expect(work.seen.of('recordApproval').map(({ plan }) => plan)).toEqual([
      ...new Set(work.seen.of('recordApproval').map(({ plan }) => plan)),
    ]);
  });

  it('a sync whose source changes at every look ends and says so, instead of looking for ever', async () => {
    const sync = await started(
      {
        planMedia: async (request) => mediaPlanOf(request, { approvers: 0 }),
        recheckMedia: async () => ({ digest: 'another' }),
      },
      syncTask,
    );
    expect(await failureOfWorkflow(sync.handle)).toMatchObject({ type: 'plan-stale' });
    expect(sync.seen.names).not.toContain('applyMedia');
  });

  it('F14: what was refused waits for a person, goes on where it was, or is left as it is', async () => {
    let tries = 0;
    const again = await started({
      applyMedia: async () => {
        if (++tries === 1) throw failure('partly-done', '2 objects could not be changed');
      },
    });
    await approve(again);
    expect((await again.seen.state('paused')).waitingFor).toContain('reprise continue media/');
    await again.handle.signal(signalNames.continue, person);
    expect(await again.handle.result()).toMatchObject({ state: 'completed' });
    const given = await started({
      applyMedia: () => Promise.reject(failure('partly-done', '2 objects could not be changed')),
    });
    await approve(given);
    await given.seen.state('paused');
    await given.handle.executeUpdate(updateNames.reject, { args: [person] });
    expect(await given.handle.result()).toMatchObject({
      ...{ state: 'rejected', left: expect.stringContaining('some of the planned changes may have been made') },
    });
    expect(given.seen.names).not.toContain('finishMedia');
  });
});
