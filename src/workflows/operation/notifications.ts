import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  WorkflowIdReusePolicy,
  log,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { ClusterFacts } from '../../activities/api.js';
import { notifyWorkflowId } from '../../domain/operation/names.js';
import { noticeTitle } from '../../domain/notification/notice-text.js';
import { eventOf, type NoticeFacts, notifyEvents } from '../../domain/notification/notices.js';
import { clipBytes, visible } from '../../domain/text/text.js';
import { notify } from './notify-people.js';
import type { failureOf } from './operation-status.js';

/**
 * Notifies people by an abandoned child workflow with retries of its own: a notifier that is down delays nothing, fails
 * nothing, and is still tried when this workflow has long ended. Only the start of the child is waited for.
 */
export class Notifications {
  private events: ClusterFacts['tells'];
  private count = 0;

  constructor(
    private readonly step: { readonly cluster: string; readonly operationId: string; readonly workflowId: string },
  ) {}

  /** Takes the events that people are notified of from the config. Before this call nobody is notified. */
  configure(facts: Pick<ClusterFacts, 'tells'>): void {
    this.events = facts.tells;
  }

  /** The config could not be read: whether somebody is notified is looked up when a notice is sent. */
  configureUnknown(): void {
    this.events ??= notifyEvents;
  }

  async notify(facts: NoticeFacts): Promise<void> {
    const event = eventOf(facts);
    if (event === null || !this.events?.includes(event)) return;
    const { cluster, operationId, workflowId } = this.step;
    // The same after a Reset, so that nobody is told twice; another plan is another message.
    const key = `${++this.count}-${facts.kind}${facts.kind === 'approval' ? `-${facts.plan.digest.slice(0, 12)}` : ''}`;
    const notice = { cluster, operationId, workflowId, key, at: new Date().toISOString(), facts };
    try {
      await CancellationScope.nonCancellable(() =>
        startChild(notify, {
          workflowId: notifyWorkflowId(cluster, operationId, key),
          workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
          parentClosePolicy: ParentClosePolicy.ABANDON,
          cancellationType: ChildWorkflowCancellationType.ABANDON,
          staticSummary: clipBytes(visible(`Notify people: ${noticeTitle(notice)}`), 200),
          args: [{ notice }],
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) log.warn('nobody could be notified', { key });
    }
  }
}

/** Facts of a failure as {@link failureOf} reads it. */
export function failureNotice(
  what: Extract<NoticeFacts, { kind: 'failed' }>['what'],
  policy: string | null,
  { code, message, hint }: ReturnType<typeof failureOf>,
  since = workflowInfo().startTime,
): NoticeFacts {
  return { kind: 'failed', what, policy, code, reason: message, hint: hint ?? null, since: since.toISOString() };
}
