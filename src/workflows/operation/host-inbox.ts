import { condition } from '@temporalio/workflow';
import type { ApprovalAnswer, StepInput } from '../../activities/api.js';
import type { LockHolder } from '../api.js';
import { ApprovalInbox } from './approval-inbox.js';
import { hostActivities, waitActivities } from './activity-proxies.js';
import type { OperationStatus } from './operation-status.js';

/** A desk whose decisions are judged and written down on a host, which is known only after a while: '' until then. */
export function openHostInbox(host: () => string, step: StepInput): ApprovalInbox {
  const desk = new ApprovalInbox({
    judge: (plan, approval): Promise<ApprovalAnswer> =>
      hostActivities(host(), `judge the approval of ${approval.by}`).recordApproval({
        ...step,
        plan: plan.digest,
        approval,
      }),
    weigh: (plan, decision): Promise<ApprovalAnswer> =>
      hostActivities(host(), `judge the ${decision.kind} of ${decision.by}`).recordDecision({
        ...step,
        plan: plan.digest,
        decision,
      }),
    note: async (text) => {
      await condition(() => host() !== '' || desk.isClosed);
      if (host() !== '')
        await hostActivities(host(), 'note what was sent').journal({ ...step, step: 'approval', text });
    },
  });
  return desk;
}

/** Writes a rejection down on the host; returns who rejected, and why. */
export async function noteRejection(
  host: string,
  desk: ApprovalInbox,
  step: StepInput,
  plan: string,
): Promise<{ by: string; reason: string }> {
  const { by, reason } = desk.rejectedBecause ?? { by: 'unnamed', reason: 'none given' };
  await hostActivities(host, 'note the rejection').recordRejection({ ...step, plan, by, reason });
  return { by, reason };
}

/** Waits until a holder gives the cluster back, or somebody rejects what waits for it. */
export async function waitForRelease(
  work: OperationStatus,
  desk: ApprovalInbox,
  cluster: string,
  holder: LockHolder,
): Promise<'again' | 'rejected'> {
  work.show('running', `${holder.kind} of policy ${holder.policy} to end (${holder.workflowId})`);
  await desk.unlessRejected(() =>
    waitActivities(`${holder.workflowId} to give ${cluster} back`).awaitRelease({
      cluster,
      operationId: holder.operationId,
    }),
  );
  return desk.rejectedBecause ? 'rejected' : 'again';
}
