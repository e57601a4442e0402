import { checkApproval, senderInWords } from '../../domain/approval/approval-policy.js';
import { parseApproval, readRejection } from '../../domain/approval/parse-decisions.js';
import type { Approval, ApprovablePlan, Rejection, Sender } from '../../domain/plan/plan.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { sha256Hex } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ApprovalAnswer, HostActivities, PlannedStep, StepInput } from '../api.js';
import { type ClusterContext, openClusterContext, recordDecided } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { again, approvalsOf, beginRoundWhereOver, knownPlan, policyFor } from './authorize.js';
import { requireOwnOperation } from './own-operation.js';
import { senderOf, starterOf } from './sender.js';

/** Checking an approval takes milliseconds. */
const LOCK_TIMEOUT_MS = 60_000;

/** Approvals are checked and kept on the host that holds the plan, outside Temporal. */
export function approvalActivities(deps: HostDependencies): Pick<HostActivities, 'recordApproval' | 'recordRejection'> {
  return {
    recordApproval: wrapActivity('recordApproval', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const { approval } = step;
      const sender = await senderOf(step.sentBy, isApproval(approval));
      // One at a time: of two approvals at the same moment, each would miss the other.
      const answer = await waitForLock(
        clusterContext.host.stateDir,
        `approvals-${sha256Hex(step.plan).slice(0, 16)}`,
        () => answerApproval(clusterContext, step, approval, sender),
        { signal: run.signal, timeoutMs: LOCK_TIMEOUT_MS },
      );
      const what = `${step.plan}/${approval.by}/${Date.now()}`;
      await (answer.accepted
        ? recordDecided(
            clusterContext,
            step,
            `approval/${what}`,
            { kind: 'approval', digest: step.plan, approval, assurance: 'asserted', ...(sender && { sender }) },
            approval.by,
          )
        : recordRefusal(clusterContext, step, approval.by, answer, sender));
      return answer;
    }),
    recordRejection: wrapActivity('recordRejection', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const sent = senderInWords(await senderOf(step.sentBy, isRejection(step)));
      await recordDecided(
        clusterContext,
        step,
        `rejected/${step.plan ?? 'none'}`,
        {
          kind: 'journal',
          workflowId: step.workflowId,
          step: 'decision',
          text: `rejected by ${step.by}${sent === '' ? '' : ` (${sent})`}: ${step.reason}`,
        },
        step.by,
      );
    }),
  };
}

const isApproval =
  (approval: Approval) =>
  (raw: unknown): boolean =>
    canonicalJson(parseApproval(raw)) === canonicalJson(approval);

const isRejection =
  ({ by, reason }: Rejection) =>
  (raw: unknown): boolean =>
    canonicalJson(readRejection(raw)) === canonicalJson({ by, reason });

/** Where the cluster has no policy for the action: whether the same person has confirmed the plan on this host. */
async function withConfirmation(
  { cluster, host }: ClusterContext,
  plan: ApprovablePlan,
  { plan: digest, by, reason, signature }: Approval,
): Promise<Approval & { confirmed?: true }> {
  const approval = { plan: digest, by, reason, ...(signature === undefined ? {} : { signature }) };
  if (!policyFor(cluster, plan)?.byConfirmation) return approval;
  const confirmation = await openHostState(host.stateDir).confirmation(plan.digest);
  const counts = confirmation?.by === by && confirmation.at >= plan.createdAt && confirmation.at <= plan.approveBy;
  return counts ? { ...approval, confirmed: true } : approval;
}

/** Who was refused, and why. */
export async function recordRefusal(
  clusterContext: ClusterContext,
  step: PlannedStep,
  by: string,
  { code = 'approval-refused', reason = '' }: ApprovalAnswer,
  sender: Sender | null,
): Promise<void> {
  await recordDecided(
    clusterContext,
    step,
    `refusal/${step.plan}/${by}/${Date.now()}`,
    { kind: 'refusal', digest: step.plan, by, code, reason, ...(sender && { sender }) },
    by,
  );
}

async function answerApproval(
  clusterContext: ClusterContext,
  step: PlannedStep & StepInput,
  given: Approval,
  sender: Sender | null,
): Promise<ApprovalAnswer> {
  const state = openHostState(clusterContext.host.stateDir);
  const plan = await knownPlan(state, step.plan);
  const approval = await withConfirmation(clusterContext, plan, given);
  if (await state.isClosed(plan.digest))
    return {
      accepted: false,
      missing: 0,
      code: 'approval-used',
      reason: `plan ${plan.digest.slice(0, 12)} is closed`,
      hint: `make a new plan: ${again(plan)}`,
    };
  await beginRoundWhereOver(clusterContext, plan, state);
  const earlier = await approvalsOf(state, plan);
  const policy = policyFor(clusterContext.cluster, plan);
  const asked = { plan, approval, policy, sender, starter: policy?.matchPrincipal ? await starterOf() : null };
  const verdict = checkApproval({ ...asked, earlier, now: new Date() });
  if (!verdict.accepted)
    return { accepted: false, missing: 0, code: verdict.code, reason: verdict.reason, hint: verdict.hint };
  await state.saveApproval(plan.digest, approval, new Date().toISOString(), sender);
  return { accepted: true, missing: verdict.missing };
}
