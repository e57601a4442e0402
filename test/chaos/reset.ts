import { randomUUID } from 'node:crypto';
import type { TemporalSession } from '../../src/client/connect.js';

/** Resets a workflow, as somebody may in the Web UI, to right before it scheduled an activity for the first time. */
export async function resetBefore(session: TemporalSession, workflowId: string, activity: string): Promise<void> {
  const { connection, client, settings } = session;
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const scheduled = (events ?? []).find(
    (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === activity,
  );
  const taskFinished = scheduled?.activityTaskScheduledEventAttributes?.workflowTaskCompletedEventId;
  if (taskFinished == null) throw new Error(`${workflowId} has not come to ${activity}`);
  const { runId } = await client.workflow.getHandle(workflowId).describe();
  await connection.workflowService.resetWorkflowExecution({
    namespace: settings.namespace,
    workflowExecution: { workflowId, runId },
    reason: 'chaos',
    workflowTaskFinishEventId: taskFinished,
    requestId: randomUUID(),
  });
}
