import { checkDecision, senderInWords } from '../../domain/approval/approval-policy.js';
import { parsePromote, parseRetarget } from '../../domain/approval/parse-decisions.js';
import { RepriseError } from '../../domain/errors.js';
import { type Decision, type Plan, type Sender, isRecoveryPlan } from '../../domain/plan/plan.js';
import { type RecoveryTarget, formatTarget } from '../../domain/target/target.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ApprovalAnswer, HostActivities, PlannedStep } from '../api.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { recordRefusal } from './approvals.js';
import { knownPlan, policyFor } from './authorize.js';
import { requireOwnOperation } from './own-operation.js';
import { senderOf } from './sender.js';

/** What people decide on recovered data is checked and kept on the host, as approvals are. */
export function decisionActivities(deps: HostDependencies): Pick<HostActivities, 'recordDecision'> {
  return {
    recordDecision: wrapActivity('recordDecision', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const { kind, by, reason } = step.decision;
      const sender = await senderOf(step.sentBy, isDecision(step.decision));
      const answer = await answerDecision(clusterContext, step, step.decision, sender);
      const sent = sender === null ? '' : ` (${senderInWords(sender)})`;
      await (answer.accepted
        ? record(
            clusterContext,
            step,
            `decision/${kind}/${by}/${Date.now()}`,
            {
              kind: 'journal',
              workflowId: step.workflowId,
              step: kind,
              text: `${by}${sent} decided: ${inWords(step.decision)}${reason}`,
            },
            by,
          )
        : recordRefusal(clusterContext, step, by, answer, sender));
      return answer;
    }),
  };
}

const isDecision =
  (decision: Decision) =>
  (raw: unknown): boolean =>
    canonicalJson(decision.kind === 'promote' ? parsePromote(raw) : parseRetarget(raw)) === canonicalJson(decision);

const inWords = (decision: Decision): string =>
  decision.kind === 'retarget' ? `on to ${formatTarget(decision.target)}: ` : '';

/** Names of decisions in the host's ledger: they hold the plan's digest, so that a decision counts for its plan only. */
const promotionOf = (plan: string): string => `promote-${plan}`;
const targetOf = (plan: string, target: RecoveryTarget): string => `target-${plan}-${formatTarget(target)}`;

/** A decision counts only while its plan is being executed. */
async function answerDecision(
  clusterContext: ClusterContext,
  step: PlannedStep,
  decision: Decision,
  sender: Sender | null,
): Promise<ApprovalAnswer> {
  const state = openHostState(clusterContext.host.stateDir);
  const plan = await knownPlan(state, step.plan);
  const used = await state.usedBy(plan.digest);
  if (used?.operationId !== step.operationId || (await state.isClosed(plan.digest))) {
    return {
      accepted: false,
      missing: 0,
      code: 'approval-refused',
      reason: `plan ${plan.digest.slice(0, 12)} is not being executed: there is nothing to decide`,
      hint: `see what it does: reprise status ${step.workflowId}`,
    };
  }
  if (decision.kind === 'retarget' && isRecoveryPlan(plan) && plan.binding.media) {
    return {
      accepted: false,
      missing: 0,
      code: 'approval-refused',
      reason: `plan ${plan.digest.slice(0, 12)} recovers media to the same point in time: for another target, make another plan`,
      hint: `reject, then: reprise recover ${step.cluster} --to TIME --with-media ${plan.binding.media.name}`,
    };
  }
  const verdict = checkDecision(plan, decision, policyFor(clusterContext.cluster, plan), sender);
  if (!verdict.accepted)
    return { accepted: false, missing: 0, code: verdict.code, reason: verdict.reason, hint: verdict.hint };
  const name = decision.kind === 'promote' ? promotionOf(plan.digest) : targetOf(plan.digest, decision.target);
  await state.recordDone(step.operationId, name, { by: decision.by }, plan.digest);
  await state.markActive(plan.digest);
  await openOperationLedger(clusterContext.host.stateDir).note(step.operationId, {
    at: new Date().toISOString(),
    plan: plan.digest,
    step: decision.kind,
    what: 'decided',
    retry: 0,
  });
  return { accepted: true, missing: 0 };
}

/**
 * Checks that a server may be promoted, or restored databases be swapped in.
 * @throws RepriseError `approval-refused` where the plan has a pause, and no decision to promote is recorded
 */
export async function requirePromotion({ host }: ClusterContext, { digest, binding }: Plan): Promise<void> {
  if (!binding.pause || (await openHostState(host.stateDir).onceDone(binding.operationId, promotionOf(digest), digest)))
    return;
  throw new RepriseError(
    'approval-refused',
    `plan ${digest.slice(0, 12)} pauses for an inspection, and no decision to promote is recorded`,
    'look at the recovered data, then: reprise promote',
  );
}

/** @throws RepriseError `approval-refused` for a target that is neither the plan's nor one that somebody decided on */
export async function requireTarget(
  { host }: ClusterContext,
  { digest, binding }: Plan,
  target: RecoveryTarget,
): Promise<void> {
  if (formatTarget(target) === formatTarget(binding.target)) return;
  if (await openHostState(host.stateDir).onceDone(binding.operationId, targetOf(digest, target), digest)) return;
  throw new RepriseError(
    'approval-refused',
    `no decision is recorded that plan ${digest.slice(0, 12)} continues to ${formatTarget(target)}`,
    'to decide that: reprise retarget',
  );
}
