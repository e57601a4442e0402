import { CONTROL_QUEUE, notifyWorkflowId, workflowTypes } from '../domain/operation/names.js';
import type { Notice } from '../domain/notification/notices.js';
import type { NotifyInput, NotifyOutput } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { needWorker } from './decide.js';
import { newOperationId } from './start.js';

/** The notice of a test: what is sent says that it is one. */
export function testNotice(contact: string, notifier: string | null, by: string): Notice {
  const operationId = newOperationId();
  return {
    cluster: null,
    operationId,
    workflowId: notifyWorkflowId(null, operationId, contact),
    key: 'test',
    at: new Date().toISOString(),
    facts: { kind: 'test', contact, notifier, by },
  };
}

/**
 * Has the control worker send it, the way real ones are sent: with its secrets, from where it is.
 * @throws `host-without-worker` when no worker polls the control queue
 */
export async function sendTest(session: TemporalSession, notice: Notice): Promise<NotifyOutput> {
  await needWorker(session, 'the message cannot be sent');
  const input: NotifyInput = { notice };
  const handle = await session.client.workflow.start(workflowTypes.notify, {
    workflowId: notice.workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    workflowExecutionTimeout: '10m',
    staticSummary: 'Test of a notification',
  });
  return handle.result() as Promise<NotifyOutput>;
}
