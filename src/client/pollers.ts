import { livingPollers, taskQueueTypes } from '../domain/operation/pollers.js';
import type { DescribedPoller, Poller } from '../domain/operation/pollers.js';
import type { TemporalSession } from './connect.js';

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

/** The workers that poll this queue now. */
export async function pollersOf(
  session: TemporalSession,
  queue: string,
  kind: keyof typeof taskQueueTypes,
): Promise<readonly Poller[]> {
  return livingPollers(await describePollers(session, queue, kind), Date.now());
}

/** Whether a worker polls this queue: the server is asked, because waiting would not tell. */
export async function hasPoller(
  session: TemporalSession,
  queue: string,
  kind: keyof typeof taskQueueTypes,
): Promise<boolean> {
  return (await pollersOf(session, queue, kind)).length > 0;
}

/** Queue without a worker on which this workflow waits now; null where everybody it needs is there. */
export async function missingWorker(
  session: TemporalSession,
  workflowId: string,
  controlQueue: string,
): Promise<string | null> {
  if (!(await hasPoller(session, controlQueue, 'workflow'))) return controlQueue;
  const description = await session.client.workflow.getHandle(workflowId).describe();
  for (const activity of description.raw.pendingActivities ?? []) {
    const queue = activity.activityOptions?.taskQueue?.name;
    if (typeof queue !== 'string' || queue === '' || activity.lastStartedTime) continue;
    if (!(await hasPoller(session, queue, 'activity'))) return queue;
  }
  return null;
}

/** What to type so that a queue gets its worker. */
export function workerHint(queue: string): string {
  const host = /^reprise-(.+?)(?:-heavy|-recovery|-watch)?$/.exec(queue)?.[1];
  return host === undefined
    ? 'start one with `reprise up`, or `reprise worker`'
    : `start one on that host: \`reprise worker --host ${host}\`, or \`reprise up\` where all is on one machine`;
}
