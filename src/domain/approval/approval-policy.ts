import type { ApprovalPolicy } from '../config.js';
import { type ErrorCode, RepriseError } from '../errors.js';
import { clipBytes, utf8Bytes, visible } from '../text/text.js';
import type { Approval, ApprovablePlan, Decision, Sender } from '../plan/plan.js';

/** The entry of `approvals` that an action needs: who may have a table repaired may have it frozen. */
export function policyAction(action: string): string {
  return action === 'table-freeze' ? 'table-repair' : action;
}

export interface ApprovalQuestion {
  readonly plan: ApprovablePlan;
  /** `confirmed`: the host has found that it was confirmed at a terminal of its own. */
  readonly approval: Approval & { readonly confirmed?: boolean };
  /** Approvals of this very plan that were accepted before. */
  readonly earlier: readonly Approval[];
  /** Policy of the plan's action; undefined where the config has none, and then nothing is accepted. */
  readonly policy: ApprovalPolicy | undefined;
  readonly now: Date;
  /** Who sent it; absent or null: nobody knows. */
  readonly sender?: Sender | null | undefined;
  /** The principal that started the operation; absent or null: the server knows none. */
  readonly starter?: string | null | undefined;
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
 * What a person pastes into the Web UI (update `approve`, signal `confirm-restore`) or pipes into any Temporal client. In several
 * lines, as the Web UI formats it: it would lay out a single line anew at the first click on Submit, which then misses the button.
 */
export function approvalJson(plan: Pick<ApprovablePlan, 'digest'>): string {
  return JSON.stringify({ plan: shortDigest(plan), by: '<your name>', reason: '<why>' }, null, 2);
}

/** Characters of a summary that the Web UI's timeline shows. */
const TIMELINE_BYTES = 120;
const WHERE = '; see User Metadata';

/** The summary of a timer under which a person is waited for: what for, and on which tab of the page the rest is said. */
export function waitingLabel(what: string, end = ''): string {
  return clipBytes(visible(what), TIMELINE_BYTES - utf8Bytes(end + WHERE)) + end + WHERE;
}

/**
 * Checks one approval against the cluster's policy. One person counts once, however often they send it. Without
 * signatures the name is asserted: this says who may approve, not that it was them.
 */
export function checkApproval({
  plan,
  approval,
  earlier,
  policy,
  now,
  sender,
  starter,
}: ApprovalQuestion): ApprovalVerdict {
  const { action, cluster, requester } = plan.binding;
  const person = clipBytes(approval.by.trim(), 80);
  if (policy === undefined) {
    return refuse(
      'policy-missing',
      `no policy says who may approve ${action} for ${cluster}`,
      linesToAdd(policyAction(action), cluster),
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
  if (policy.byConfirmation) return confirmed(plan, approval);
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
  const mismatch = checkPrincipal(policy, approval.by, sender, starter);
  if (mismatch) return mismatch;
  const counted = earlier
    .filter(
      ({ by, plan: digest }) =>
        names(digest, plan.digest) && listed.has(personKey(by)) && !isExcluded(by, requester, policy),
    )
    .map(({ by }) => keyOf(policy, by));
  const people = new Set([...counted, keyOf(policy, approval.by)]);
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
  sender?: Sender | null,
): ApprovalVerdict {
  const { action, cluster } = plan.binding;
  if (policy === undefined)
    return refuse(
      'policy-missing',
      `no policy says who may decide on ${action} for ${cluster}`,
      linesToAdd(policyAction(action), cluster),
    );
  if (!policy.from.some((name) => personKey(name) === personKey(decision.by))) {
    return unlisted(
      `${clipBytes(decision.by.trim(), 80)} may not decide to ${decision.kind} what was recovered for ${cluster}`,
      policy,
    );
  }
  if (policy.signatures === 'required') return unsigned(plan);
  return checkPrincipal(policy, decision.by, sender) ?? { accepted: true, missing: 0 };
}

/**
 * Where the policy has `match_principal`: whether the Temporal server knows the sender as the person named, and, where the
 * requester may not approve, as another one than who started the operation. Null where nothing is wrong.
 */
function checkPrincipal(
  policy: ApprovalPolicy,
  by: string,
  sender: Sender | null | undefined,
  starter?: string | null,
): ApprovalVerdict | null {
  if (!policy.matchPrincipal) return null;
  const person = clipBytes(by.trim(), 80);
  const principal = sender?.principal ?? null;
  if (principal === null)
    return refuse(
      'approval-refused',
      `the policy has match_principal, and the Temporal server recorded no principal for what ${person} sent`,
      'let the server authenticate its callers (docs/how-to.md), and send it over a connection of your own',
    );
  if (!isPrincipalOf(policy, by, principal))
    return refuse(
      'approval-refused',
      `the Temporal server knows the sender as ${clipBytes(principal, 80)}, which is not ${person}`,
      `send it as yourself; who ${person} is stands in contacts: ${person}: { principal: ... }`,
    );
  if (!policy.requesterMayApprove && principal === starter)
    return refuse(
      'approval-refused',
      `${clipBytes(principal, 80)} started this operation and may not approve it too`,
      `ask another one of these people: ${policy.from.join(', ')}`,
    );
  return null;
}

/** With or without the server's word for its kind: `jwt:alice` and `alice`. */
function isPrincipalOf({ from, principals = {} }: ApprovalPolicy, by: string, principal: string): boolean {
  const named = from.find((name) => personKey(name) === personKey(by)) ?? by;
  const bare = principal.slice(principal.indexOf(':') + 1);
  const expected = Object.hasOwn(principals, named) ? principals[named] : undefined;
  if (expected !== undefined) return principal === expected || bare === expected;
  return personKey(bare) === personKey(by);
}

/** How many different people, as they are counted, may approve at the most. */
export function distinctApprovers(policy: ApprovalPolicy): number {
  return new Set(policy.from.map((name) => keyOf(policy, name))).size;
}

/** Why nobody can approve what this person asked for; null where enough others may. */
export function whyNobodyApproves(policy: ApprovalPolicy, requester: string): string | null {
  const left = distinctApprovers({ ...policy, from: mayApprove(policy, requester) });
  if (left >= policy.approvers) return null;
  if (left === 0)
    return `this plan cannot be approved: ${clipBytes(requester, 80)} asked for it and may not approve it, and the policy names nobody else; let somebody else ask for it (--by), or add people to from:`;
  return `this plan cannot be approved: ${clipBytes(requester, 80)} asked for it and may not approve it, and of the ${policy.approvers} people who have to, ${left} are left; let somebody else ask for it`;
}

/** Of whom `config check` says that nobody can approve what they ask for: too few others are named. Empty where others are. */
export function cannotAsk(policy: ApprovalPolicy): readonly string[] {
  return policy.from.filter((name) => whyNobodyApproves(policy, name) !== null);
}

/** Who has to approve, for a line of a plan. */
export function approversInWords({
  approvers,
  from,
}: {
  readonly approvers: number;
  readonly from: readonly string[];
}): string {
  if (from.length === 0) return 'nobody: who asked for it may not, and the policy names nobody else';
  return approvers === 1 ? from.join(', ') : `${approvers} of ${from.join(', ')}`;
}

/**
 * Refuses a person whom a plan does not name, before anything is asked of them.
 * @throws RepriseError `approval-refused`
 */
export function requireNamed(
  plan: ApprovablePlan,
  approval: { readonly from: readonly string[] } | null | undefined,
  { by, workflowId }: { readonly by: string; readonly workflowId: string },
): void {
  if (approval == null || approval.from.some((name) => personKey(name) === personKey(by))) return;
  throw new RepriseError(
    'approval-refused',
    `${clipBytes(by.trim(), 80)} may not approve ${plan.binding.action} for ${plan.binding.cluster}`,
    approval.from.length === 0
      ? 'nobody may: who asked for it may not, and the policy names nobody else; reject it, and let somebody else ask for it'
      : `${approvers(approval.from)}: ${approveCommand(workflowId, plan.digest, approval.from)}`,
  );
}

const approvers = (from: readonly string[]): string =>
  from.length === 1 ? `${from.join()} may` : `one of ${from.join(', ')} may`;

/** A person as they are counted: two names that the server knows as one caller are one. */
function keyOf({ matchPrincipal, principals = {} }: ApprovalPolicy, name: string): string {
  const [, principal] = Object.entries(principals).find(([one]) => personKey(one) === personKey(name)) ?? [];
  return matchPrincipal && principal !== undefined ? `principal ${principal}` : personKey(name);
}

/** Where `requester_may_approve: false` does not bind: who asks gives a name, and may approve under another one. */
export function unboundActions(approvals: Readonly<Record<string, ApprovalPolicy>>): readonly string[] {
  return Object.entries(approvals)
    .filter(([, policy]) => !policy.requesterMayApprove && !policy.matchPrincipal)
    .map(([action]) => action);
}

export const UNBOUND =
  'requester_may_approve: false binds nobody: the name of the requester is asserted, as that of the approver is';
export const BIND_IT =
  'set match_principal: true, if your Temporal server has an authorizer; else trust who may reach it';

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

/** Who sent a decision, beside the name that stands in it; '' where Temporal's history could not say it. */
export function senderInWords(sender: Sender | null | undefined): string {
  if (!sender) return '';
  const principal = sender.principal === null ? '' : `, principal ${clipBytes(sender.principal, 200)}`;
  return `sent by client ${clipBytes(sender.identity, 200) || 'without an identity'}${principal}`;
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
export function personKey(name: string): string {
  return name.normalize('NFKC').trim().toLowerCase();
}

function isExcluded(by: string, requester: string, policy: ApprovalPolicy): boolean {
  return !policy.requesterMayApprove && personKey(by) === personKey(requester);
}

/** Without a policy: only what somebody has confirmed on the host itself, as one who may write the state of its worker. */
function confirmed({ binding }: ApprovablePlan, approval: ApprovalQuestion['approval']): ApprovalVerdict {
  if (approval.confirmed === true) return { accepted: true, missing: 0 };
  const { action, cluster, targetHost } = binding;
  return refuse(
    'confirmation-needed',
    `no policy says who may approve ${action} for ${cluster}, and nobody has confirmed it on host ${targetHost}`,
    `run the command on ${targetHost}, as the user of its worker; or, to have it approved, ${linesToAdd(action, cluster)}`,
  );
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
