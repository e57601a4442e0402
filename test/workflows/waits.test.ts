import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import type { WatchFinding } from '../../src/activities/api.js';
import { watchWorkflowId, workflowTypes } from '../../src/domain/operation/names.js';
import { cloudActions } from '../helpers/cloud-actions.js';
import { wellBehaved } from './well-behaved.js';
import { type Activities, type Case, HOST, Lab, childrenOf, failure, untilCancelled } from './lab.js';

const up: WatchFinding = { state: 'up', layer: null, reason: 'answers', since: '2026-11-21T02:15:00.000Z' };
const refused = { code: 'path-refused', message: 'the repository is a directory of another host' } as const;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

async function watch(activities: Partial<Activities>): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.watch, watchWorkflowId('CLUSTER'), {});
  return one;
}

describe('L7: a watch that cannot look', () => {
  it('says so instead of "answers", waits longer each time, tells people once, and says when it looks again', async () => {
    let fails = true;
    const one: Case = await watch({
      describeCluster: async () => ({ host: HOST, configDigest: 'c', policies: {}, tells: ['failure'] }),
      watchCluster: async ({ unknown }) => {
        if (fails) throw failure(refused.code, refused.message);
        return unknown ? up : untilCancelled();
      },
    });
    const { waitingFor } = await one.state('cannot-look');
    expect(waitingFor).toContain(`the watch of ${one.cluster} cannot look: ${refused.message} (path-refused)`);
    const { events } = await one.workflow.fetchHistory();
    expect(JSON.stringify(events)).not.toContain(`${one.cluster} answers`);
    await lab.pass('16 seconds');
    await one.called('watchCluster', 5);
    expect(one.of('watchCluster').length).toBeLessThan(8);
    expect(one.of('sendNotice')).toEqual([]);
    await lab.pass('2 hours');
    await one.called('sendNotice');
    // One look in five minutes.
    expect(one.of('watchCluster').length).toBeLessThan(40);
    expect(one.of('sendNotice')).toMatchObject([
      { notice: { facts: { kind: 'failed', what: 'watch', code: 'path-refused', reason: refused.message } } },
    ]);
    expect(await one.status()).toMatchObject({ state: 'cannot-look' });
    fails = false;
    // Time stands still again once an activity works.
    const passing = lab.pass('5 minutes');
    expect(await one.state('running')).toMatchObject({ waitingFor: null });
    expect(await childrenOf(one.workflow)).toEqual([expect.stringMatching(/^notify\//)]);
    await one.workflow.cancel();
    await expect(one.workflow.result()).rejects.toThrow();
    await passing;
  });
});

describe('L12: a host without a worker', () => {
  const away = {
    describeCluster: async (input: { cluster: string }) => ({
      ...(await wellBehaved.describeCluster(input)),
      host: 'db-without-worker',
      tells: ['failure' as const],
    }),
    hostAnswers: async () => false,
  };

  /** What is left running: one activity in the queue of the host, which no time-out ends, and no timer. */
  async function waitsForFree(handle: WorkflowHandle, name: string): Promise<void> {
    const { raw } = await handle.describe();
    expect(raw.pendingActivities?.map(({ activityType }) => activityType?.name)).toEqual([name]);
    const { events } = await handle.fetchHistory();
    const scheduled = events?.findLast((event) => event.activityTaskScheduledEventAttributes);
    const { scheduleToStartTimeout, scheduleToCloseTimeout, taskQueue } =
      scheduled?.activityTaskScheduledEventAttributes ?? {};
    expect(taskQueue?.name).toMatch(/^reprise-db-without-worker/);
    // The server gives what was not set as the longest there is, or leaves it out.
    for (const limit of [scheduleToStartTimeout, scheduleToCloseTimeout])
      expect([0, 7 * 86_400, 315_360_000]).toContain(Number(limit?.seconds ?? 0));
    const timers = events?.filter((event) => event.timerStartedEventAttributes).length ?? 0;
    const over = events?.filter(
      (event) => event.timerFiredEventAttributes ?? event.timerCanceledEventAttributes,
    ).length;
    expect(over).toBe(timers);
    expect(cloudActions(events ?? []).total).toBeLessThan(20);
  }

  it('is told of once, and waited for in its queue: however long it takes, that costs no more', async () => {
    const one = lab.case(away);
    await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', {
      order: { policy: 'nightly', type: 'auto' },
      requester: 'ops',
      operationId: 'op',
    });
    await one.state('waiting-worker');
    expect(one.of('sendNotice')).toEqual([]);
    await lab.pass('61 seconds');
    await one.called('sendNotice');
    expect(one.of('sendNotice')).toMatchObject([
      { notice: { facts: { kind: 'paused', waitingFor: expect.stringContaining('reprise worker --host') } } },
    ]);
    await waitsForFree(one.workflow, 'confirmWorker');
  });

  it('is a loss that the watch finds once; then it waits in its queue', async () => {
    const one: Case = await watch(away);
    await lab.pass('21 seconds');
    await one.called('recoveryHolds');
    await one.state('waiting-worker');
    await one.pending('watchCluster');
    await waitsForFree(one.workflow, 'watchCluster');
  });
});
