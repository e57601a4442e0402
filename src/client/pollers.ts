import type { TemporalSession } from './connect.js';

/** A long poll is renewed every 60 s, so a poller not seen for longer is gone. */
const POLL_SECONDS = 75;
const taskQueueTypes = { workflow: 1, activity: 2 } as const;

/** Who polls this queue, by the name it gave itself, and when it was last seen (ms since the epoch). */
export async function pollersOf(
  session: TemporalSession,
  queue: string,
  kind: keyof typeof taskQueueTypes,
): Promise<readonly { readonly identity: string; readonly seenMs: number }[]> {
  const answer = await session.connection.workflowService.describeTaskQueue({
    namespace: session.settings.namespace,
    taskQueue: { name: queue },
    taskQueueType: taskQueueTypes[kind],
  });
  const seen = (answer.pollers ?? []).map(({ identity, lastAccessTime }) => ({
    identity: identity ?? '',
    seenMs: Number(lastAccessTime?.seconds ?? 0) * 1000 + Math.floor((lastAccessTime?.nanos ?? 0) / 1e6),
  }));
  return seen.filter(({ seenMs }) => seenMs >= Date.now() - POLL_SECONDS * 1000);
}

/** Whether a worker polls this queue: asked from the server, because a time-out would not tell it. */
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
