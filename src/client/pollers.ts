import type { WorkflowExecutionDescription } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import type { Config } from '../domain/config.js';
import { CONTROL_QUEUE, hostQueues } from '../domain/operation/names.js';
import { livingPollers, taskQueueTypes } from '../domain/operation/pollers.js';
import type { DescribedPoller, Poller } from '../domain/operation/pollers.js';
import type { TemporalSession } from './connect.js';

const LOOK_FOR_WORKERS_MS = 2000;

/** The workers that polled this queue in the last minutes, as the server describes them. */
export async function describePollers(
  session: TemporalSession,
  queue: string,
  kind: keyof typeof taskQueueTypes,
): Promise<readonly DescribedPoller[]> {
  const { pollers } = await session.connection.workflowService.describeTaskQueue({
    namespace: session.settings.namespace,
    taskQueue: { name: queue },
    taskQueueType: taskQueueTypes[kind],
  });
  return pollers ?? [];
}

/** A task queue of ours, and who polls it. */
export interface PolledQueue {
  readonly queue: string;
  readonly kind: keyof typeof taskQueueTypes;
  /** Null for the queue of the workflows. */
  readonly host: string | null;
  readonly pollers: readonly Poller[];
  /** Identities that have polled it in the last minutes, those too that do not any more. */
  readonly seen: readonly string[];
}

/** Reads once who polls the queues of a configuration: all, or of each host those that are wanted. */
export async function polledQueues(
  session: TemporalSession,
  config: Pick<Config, 'hosts'>,
  queuesOf: (host: string) => readonly string[] = hostQueues,
): Promise<readonly PolledQueue[]> {
  const queues = [
    { host: null, queue: CONTROL_QUEUE, kind: 'workflow' as const },
    { host: null, queue: CONTROL_QUEUE, kind: 'activity' as const },
    ...Object.keys(config.hosts).flatMap((host) =>
      queuesOf(host).map((queue) => ({ host, queue, kind: 'activity' as const })),
    ),
  ];
  return Promise.all(
    queues.map(async (one) => {
      const described = await describePollers(session, one.queue, one.kind);
      const seen = described.map(({ identity }) => identity ?? '');
      return { ...one, pollers: livingPollers(described, Date.now()), seen };
    }),
  );
}

/** Whether a worker polls this queue: the server is asked, because waiting would not tell. */
export async function hasPoller(
  session: TemporalSession,
  queue: string,
  kind: keyof typeof taskQueueTypes,
): Promise<boolean> {
  return livingPollers(await describePollers(session, queue, kind), Date.now()).length > 0;
}

/** Queue without a worker on which this workflow waits now; null where everybody it needs is there. */
async function missingWorker(session: TemporalSession, workflowId: string): Promise<string | null> {
  if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return CONTROL_QUEUE;
  const { raw } = await session.client.workflow.getHandle(workflowId).describe();
  for (const { queue } of waitingSteps(raw.pendingActivities))
    if (!(await hasPoller(session, queue, 'activity'))) return queue;
  return null;
}

/** Activities that no worker has taken up yet: their queue, and since when (ms since the epoch). */
export function waitingSteps(
  pending: WorkflowExecutionDescription['raw']['pendingActivities'],
): readonly { readonly queue: string; readonly scheduledMs: number }[] {
  return (pending ?? []).flatMap(({ activityOptions, lastStartedTime, scheduledTime }) => {
    const queue = activityOptions?.taskQueue?.name;
    if (typeof queue !== 'string' || queue === '' || lastStartedTime) return [];
    return [{ queue, scheduledMs: Number(scheduledTime?.seconds ?? Infinity) * 1000 }];
  });
}

/**
 * Never resolves; rejects once a queue that this workflow waits on has no worker twice in a row. Waiting for an answer would
 * not tell. `meanwhile`: what becomes of what was sent.
 * @throws RepriseError `host-without-worker`
 */
export async function rejectWithoutWorker(
  session: TemporalSession,
  workflowId: string,
  ended: AbortSignal,
  meanwhile = '',
): Promise<never> {
  return rejectTwiceMissing(() => missingWorker(session, workflowId), ended, meanwhile);
}

/** The same for an activity that has no workflow and waits in one queue, until it has started. */
export async function rejectWithoutPoller(
  session: TemporalSession,
  queue: string,
  hasStarted: () => Promise<boolean>,
  ended: AbortSignal,
): Promise<never> {
  const missing = async (): Promise<string | null> =>
    (await hasPoller(session, queue, 'activity')) || (await hasStarted()) ? null : queue;
  return rejectTwiceMissing(missing, ended, '');
}

async function rejectTwiceMissing(
  missing: () => Promise<string | null>,
  ended: AbortSignal,
  meanwhile: string,
): Promise<never> {
  let suspect: string | null = null;
  while (!ended.aborted) {
    await sleep(LOOK_FOR_WORKERS_MS, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) break;
    const queue = await missing();
    if (queue !== null && queue === suspect)
      throw new RepriseError(
        'host-without-worker',
        `no worker polls the queue ${queue}${meanwhile}`,
        workerHint(queue),
      );
    suspect = queue;
  }
  return new Promise<never>(() => undefined);
}

/** What to type so that a queue gets its worker. */
export function workerHint(queue: string): string {
  const host = /^reprise-(.+?)(?:-heavy|-recovery|-media|-watch)?$/.exec(queue)?.[1];
  return host === undefined
    ? 'start one with `reprise up`, or `reprise worker`'
    : `start one on that host: \`reprise worker --host ${host}\`, or \`reprise up\` where all is on one machine`;
}
