import { beforeAll, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { CONTROL_QUEUE, workflowTypes } from '../../src/domain/operation/names.js';
import type { BackupOutput } from '../../src/workflows/api.js';
import { onCleanup } from '../helpers/cleanup.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { until } from '../helpers/until.js';
import { type Activities, type Case, Lab, childrenOf, failure, untilCancelled } from './lab.js';
import { wellBehaved } from './well-behaved.js';

/** On the real server: the one that skips time has no schedules, and only a schedule says when a run was due. */
let lab: Lab;
beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  lab = await Lab.on(server.address);
});

/** A run of a backup as a schedule starts it; the next one is due some milliseconds after it has begun. */
async function scheduled(activities: Partial<Activities>, nextInMs?: number): Promise<[Case, WorkflowHandle]> {
  const isDue = (): object =>
    nextInMs === undefined ? {} : { nextRunAt: new Date(Date.now() + nextInMs).toISOString() };
  let asked = 0;
  const one = lab.case({
    describeCluster: async (input) => ({
      ...(await wellBehaved.describeCluster(input)),
      policies: {
        nightly: {
          engine: 'logical',
          repository: 'local',
          enabled: true,
          proof: 'none',
          ...(asked++ === 0 ? isDue() : {}),
        },
      },
      tells: ['failure'],
    }),
    ...activities,
  });
  const { cluster } = one;
  const schedule = await lab.client.schedule.create({
    scheduleId: `reprise/${cluster}/nightly`,
    spec: {},
    action: {
      type: 'startWorkflow',
      workflowType: workflowTypes.backup,
      workflowId: `backup/${cluster}/nightly`,
      taskQueue: CONTROL_QUEUE,
      args: [{ cluster, order: { policy: 'nightly', type: 'auto' }, requester: 'schedule' }],
    },
  });
  await schedule.trigger();
  let workflowId = '';
  await until(async () => {
    const [started] = (await schedule.describe()).info.recentActions;
    workflowId = started?.action.workflow.workflowId ?? '';
    return workflowId !== '';
  }, 'the schedule has started a run');
  const handle = lab.client.workflow.getHandle(workflowId);
  onCleanup(async () => {
    await handle.terminate('the test is over').catch(() => undefined);
    await schedule.delete();
  });
  return [one, handle];
}

const told = async (handle: WorkflowHandle): Promise<readonly string[]> =>
  (await childrenOf(handle)).map((id) => id.replace(/^.*\//, ''));

it('L9: a run that is still open when the next one is due tells that this one was left out', async () => {
  const [one, handle] = await scheduled({ runBackup: untilCancelled }, 1500);
  await one.called('runBackup');
  await until(async () => (await told(handle)).includes('1-skipped'), 'people are told');
  expect(one.of('isScheduled')).toEqual([{ cluster: one.cluster, policy: 'nightly' }]);
  await one.called('deliveriesOf');
  expect(one.of('deliveriesOf')[0]).toMatchObject({
    notice: {
      facts: { kind: 'skipped', policy: 'nightly', reason: expect.stringContaining('is still open: running') },
    },
  });
});

it('L9: the same while the worker of its host is waited for', async () => {
  const [one, handle] = await scheduled({ hostAnswers: async () => false, confirmWorker: untilCancelled }, 4000);
  await until(async () => (await told(handle)).includes('1-skipped'), 'people are told');
  await one.called('deliveriesOf');
  const reason = expect.stringMatching(/is still open: waiting-worker, .* \(the host's worker is not running/);
  expect(one.of('deliveriesOf')[0]).toMatchObject({ notice: { facts: { kind: 'skipped', reason } } });
});

it('L9: a schedule that is paused leaves nothing out', async () => {
  const [one, handle] = await scheduled({ isScheduled: async () => false, runBackup: untilCancelled }, 1500);
  await one.called('isScheduled');
  await one.called('describeCluster', 2);
  expect(await told(handle)).toEqual([]);
});

it('L9: a run that ends before the next one is due ends at once, and tells nobody', async () => {
  const [one, handle] = await scheduled({}, 3_600_000);
  expect(await handle.result()).toMatchObject({ backups: [{ id: 'b1' }] });
  expect([await told(handle), one.of('isScheduled')]).toEqual([[], []]);
});

it('L9: a run that gives way to who holds the cluster is told', async () => {
  const holder = {
    operationId: 'r',
    kind: 'backup',
    policy: 'nightly',
    engine: 'logical',
    repository: 'local',
    workflowId: 'backup/c/nightly',
    runId: 'r1',
    since: '2026-11-21T01:30:00Z',
    token: 1,
  } as const;
  const [, handle] = await scheduled({ acquireLock: async () => ({ granted: false, holder }) });
  expect((await (handle.result() as Promise<BackupOutput>)).skipped).toMatchObject({ code: 'lock-held' });
  expect(await told(handle)).toEqual(['1-skipped']);
});

it('L7: a worker of the control queue with an older configuration, in which the cluster is not, loses no night', async () => {
  let isKnown = false;
  const [one, handle] = await scheduled({
    describeCluster: async (input) => {
      if (!isKnown) throw failure('not-found', `there is no cluster "${input.cluster}"`);
      return wellBehaved.describeCluster(input);
    },
  });
  expect(await one.state('waiting-worker', handle)).toMatchObject({
    waitingFor: expect.stringContaining('a worker whose configuration has the cluster'),
  });
  isKnown = true;
  await one.called('runBackup');
  await handle.result();
  expect(one.of('sendNotice')).toEqual([]);
});
