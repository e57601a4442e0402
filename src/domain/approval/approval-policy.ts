import type { ApprovalPolicy } from '../config.js';
import type { ErrorCode } from '../errors.js';
import { clipBytes } from '../text/text.js';
import type { Approval, ApprovablePlan, Decision } from '../plan/plan.js';

export interface ApprovalQuestion {
  readonly plan: ApprovablePlan;
  readonly approval: Approval;
  /** Approvals of this very plan that were accepted before. */
  readonly earlier: readonly Approval[];
  /** Policy of the plan's action; undefined where the config has none, and then nothing is accepted. */
  readonly policy: ApprovalPolicy | undefined;
  readonly now: Date;
}

export type ApprovalVerdict =
  /** `missing`: approvals of other people still needed after this one. */
  | { readonly accepted: true; readonly missing: number }
  | { readonly accepted: false; readonly code: ErrorCode; readonly reason: string; readonly hint: string };

/**
 * What to type to approve a plan. `--by` is always there: whoever is logged in is seldom the person whom the policy names.
 * @param from people of the policy; one alone is filled in
 */
export function approveCommand(workflowId: string, digest: string, from: readonly string[] = []): string {
  const [only] = from;
  const by = from.length === 1 && only !== undefined && /^[\w.@-]+$/.test(only) ? only : 'NAME';
  return `reprise approve ${workflowId} --plan ${digest.slice(0, 12)} --by ${by} --reason "..."`;
}

/**
 * Checks one approval against the cluster's policy. One person counts once, however often they send it. Without
 * signatures the name is asserted: this says who may approve, not that it was them.
 */
export function checkApproval({ plan, approval, earlier, policy, now }: ApprovalQuestion): ApprovalVerdict {
  const { action, cluster, requester } = plan.binding;
  const person = clipBytes(approval.by.trim(), 80);
  if (policy === undefined) {
    return refuse(
      'policy-missing',
      `no policy says who may approve ${action} for ${cluster}`,
      linesToAdd(action, cluster),
    );
  }
  if (!names(approval.plan, plan.digest)) {
    return refuse(
      'plan-stale',
      `the approval is for another plan (${clipBytes(approval.plan, 64)}) than the one waiting (${shortDigest(plan)})`,
      `read the plan shown now and approve ${shortDigest(plan)}`,
    );
  }
  if (now.getTime() > Date.parse(plan.approveBy)) {
    return refuse(
      'plan-expired',
      `the plan could be approved until ${plan.approveBy} and it is ${now.toISOString()}`,
      'send continue (reprise continue): the plan is made again, and then it can be approved',
    );
  }
  const listed = new Set(policy.from.map(personKey));
  if (!listed.has(personKey(approval.by)))
    return unlisted(`${person} may not approve ${action} for ${cluster}`, policy);
  if (isExcluded(approval.by, requester, policy)) {
    return refuse(
      'approval-refused',
      `${person} asked for this recovery and may not approve it too`,
      `ask one of these people: ${mayApprove(policy, requester).join(', ')}`,
    );
  }
  if (policy.signatures === 'required') return unsigned(plan);
  const counted = earlier
    .filter(
      ({ by, plan: digest }) =>
        names(digest, plan.digest) && listed.has(personKey(by)) && !isExcluded(by, requester, policy),
    )
    .map(({ by }) => personKey(by));
  const people = new Set([...counted, personKey(approval.by)]);
  return { accepted: true, missing: Math.max(0, policy.approvers - people.size) };
}

/**
 * Judges what somebody decided on the recovered data, by the policy of the recovery itself: whoever may approve it may
 * open it for writes or send it on to another target. The plan was approved already, so one person is enough.
 */
export function checkDecision(
  plan: ApprovablePlan,
  decision: Decision,
  policy: ApprovalPolicy | undefined,
): ApprovalVerdict {
  const { action, cluster } = plan.binding;
  if (policy === undefined)
    return refuse(
      'policy-missing',
      `no policy says who may decide on ${action} for ${cluster}`,
      linesToAdd(action, cluster),
    );
  if (!policy.from.some((name) => personKey(name) === personKey(decision.by))) {
    return unlisted(
      `${clipBytes(decision.by.trim(), 80)} may not decide to ${decision.kind} what was recovered for ${cluster}`,
      policy,
    );
  }
  return policy.signatures === 'required' ? unsigned(plan) : { accepted: true, missing: 0 };
}

/** Whether an action without a policy is refused. A sync puts nothing but the present on top, and is confirmed by who starts it. */
export function needsApproval(action: string): boolean {
  return action !== 'media-sync';
}

/** Who of the policy may approve what this person asked for. */
export function mayApprove(policy: ApprovalPolicy, requester: string): readonly string[] {
  return policy.from.filter((name) => !isExcluded(name, requester, policy));
}

/**
 * Why an approval under one policy is not enough for what another one guards; null where it is: everybody who may give
 * it is named by both, and as many are asked for.
 */
export function notCovered(own: ApprovalPolicy, guard: ApprovalPolicy, requester: string): string | null {
  const others = mayApprove(own, requester).filter(
    (name) => !mayApprove(guard, requester).some((one) => personKey(one) === personKey(name)),
  );
  if (others.length > 0) return `${others.join(', ')} may not approve it`;
  return own.approvers < guard.approvers ? `${guard.approvers} people have to approve it, not ${own.approvers}` : null;
}

/** The 12 hex digits people use for a plan. */
export function shortDigest(plan: Pick<ApprovablePlan, 'digest'>): string {
  return plan.digest.slice(0, 12);
}

/** 12 digits are 48 bits: enough to tell plans apart, and fewer are not taken. */
function names(given: string, digest: string): boolean {
  return given.length >= 12 && digest.startsWith(given);
}

/** `Alice` and ` alice` are one person: a second spelling is no second approver. */
function personKey(name: string): string {
  return name.normalize('NFKC').trim().toLowerCase();
}

function isExcluded(by: string, requester: string, policy: ApprovalPolicy): boolean {
  return !policy.requesterMayApprove && personKey(by) === personKey(requester);
}

function unlisted(reason: string, policy: ApprovalPolicy): ApprovalVerdict {
  return refuse('approval-refused', reason, `ask one of these people: ${policy.from.join(', ')}`);
}

function unsigned({ binding }: ApprovablePlan): ApprovalVerdict {
  return refuse(
    'approval-refused',
    `approvals of ${binding.action} for ${binding.cluster} must be signed and signatures cannot be checked yet`,
    'set signatures: none in the policy, if the owner of the policy agrees',
  );
}

function refuse(code: ErrorCode, reason: string, hint: string): ApprovalVerdict {
  return { accepted: false, code, reason, hint };
}

/** The very lines to paste, with the one thing nobody can guess left in capitals. */
export function linesToAdd(action: string, cluster: string): string {
  return [
    'add these lines to reprise.yml, enter who may approve, restart the workers and send continue:',
    'clusters:',
    `  ${cluster}:`,
    '    approvals:',
    `      ${action}: { approvers: 1, from: [NAME], approve_within: 4h, execute_within: 1h }`,
  ].join('\n');
}
