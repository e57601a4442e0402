import { checkApproval, needsApproval, policyAction } from '../../domain/approval/approval-policy.js';
import { actionCommand, byConfirmation, isActionPlan, isConfirmedAction } from '../../domain/approval/actions.js';
import type { ApprovalPolicy, ClusterConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isMediaPlan, isSameMedia } from '../../domain/media/media.js';
import { type LockClaim, mediaClaim, recoveryClaim, repairClaim } from '../../domain/operation/locks.js';
import {
  type ApprovablePlan,
  type Approval,
  type Plan,
  isExecutablePlan,
  isRecoveryPlan,
} from '../../domain/plan/plan.js';
import { isRepairPlan, type RepairPlan } from '../../domain/table/repair.js';
import { isHoldPlan } from '../../domain/table/hold.js';
import { holdCommand } from '../../domain/table/hold-text.js';
import { repairCommand } from '../../domain/table/repair-text.js';
import { planDigest } from '../../records/digest.js';
import { type HostState, type StoredApproval, openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, engineFor, policyOf, recordDecided } from '../cluster-context.js';
import { requireGrant } from '../lock-grant.js';
import { appliedBy } from '../table/repair-session.js';
import { requireOwnOperation } from './own-operation.js';

/**
 * Ends every plan of an operation that is over, however it ended: what was approved for it cannot be carried out days
 * later by somebody who starts a step by hand.
 */
export async function closePlansOf(clusterContext: ClusterContext, operationId: string): Promise<void> {
  const state = openHostState(clusterContext.host.stateDir);
  for (const plan of await state.openPlans()) {
    if (plan.binding.operationId === operationId) await state.closePlan(plan.digest);
  }
  await openOperationLedger(clusterContext.host.stateDir).end(operationId);
}

/**
 * One recovery of a cluster (or of one of its media, to one place) at a time: a plan that is used closes those used before it,
 * whose workflows were terminated. Resumed by a Reset, they would move away what was recovered since.
 */
async function supersedeOthers(state: HostState, plan: ApprovablePlan): Promise<void> {
  const { digest, binding } = plan;
  for (const other of await state.openPlans()) {
    if (other.digest === digest || other.binding.cluster !== binding.cluster || other.binding.action !== binding.action)
      continue;
    // Several tables may be frozen at once.
    if (isActionPlan(plan) || isHoldPlan(plan)) continue;
    if (isMediaPlan(plan) && isMediaPlan(other) && !isSameMedia(plan, other)) continue;
    if (isRepairPlan(other) && (await isCarriedOut(state, other))) continue;
    if (await state.usedBy(other.digest)) await state.closePlan(other.digest);
  }
}

/** Its rows are changed: what is left is to take its hooks back, once people have signed it off, and that is never too late. */
async function isCarriedOut(state: HostState, { digest, binding }: RepairPlan): Promise<boolean> {
  return (await appliedBy(state, binding.operationId, digest)) !== null;
}

/**
 * Authorizes a destructive step, or throws why not. The host checks by itself: the plan's record and its digest, the
 * approvals against the policy of *its* config, the time they were given, and the ledger, in which a plan is used by
 * one operation only and never again once closed. Whoever started the workflow or the activity has no say in it.
 */
export async function authorize(
  clusterContext: ClusterContext,
  step: PlannedStep,
  options: AuthorizeOptions = {},
): Promise<Plan> {
  return authorizePlan(clusterContext, step, isExecutablePlan, options);
}

export interface AuthorizeOptions {
  /** Takes back what the plan did: it may come however late. */
  readonly takesBack?: boolean;
  /** What it runs is known to be as it was approved, whatever else of the configuration has changed since. */
  readonly isUnchanged?: boolean;
}

/** The same for any action; a plan of another action than `isOurs` takes is none, whoever approved it. */
export async function authorizePlan<P extends ApprovablePlan>(
  clusterContext: ClusterContext,
  step: PlannedStep,
  isOurs: (plan: ApprovablePlan) => plan is P,
  { takesBack = false, isUnchanged = false }: AuthorizeOptions = {},
): Promise<P> {
  const state = openHostState(clusterContext.host.stateDir);
  const plan = await planOf(clusterContext, step, isOurs);
  const used = await state.usedBy(plan.digest);
  if (await state.isClosed(plan.digest))
    throw new RepriseError(
      'approval-used',
      `plan ${plan.digest.slice(0, 12)} is closed (executed, rejected or replaced by a later one); its approval cannot be used again`,
      `make a new plan: ${again(plan)}`,
    );
  if (!isUnchanged) await requireSameConfiguration(clusterContext, plan, used !== null);
  if (!used) await requireApprovals(clusterContext.cluster, plan, state);
  else if (!takesBack) await requireRecentUse(clusterContext, plan);
  await requireOwnOperation(clusterContext, step);
  // Before anything of the ledger changes: a step that runs without the lock closes no other plan.
  const claim = claimOf(plan);
  if (claim !== null) await requireGrant(clusterContext, step, claim);
  if (!used) await supersedeOthers(state, plan);
  if (!(await state.markUsed(plan.digest, step.operationId))) {
    throw new RepriseError(
      'approval-used',
      `plan ${plan.digest.slice(0, 12)} is used by another operation`,
      `make a new plan: ${again(plan)}`,
    );
  }
  await state.markActive(plan.digest);
  // For the report; what lets a step pass is the ledger of this host.
  if (!used) {
    const body = { kind: 'plan-used' as const, digest: plan.digest };
    await recordDecided(clusterContext, step, `plan-used/${plan.digest}`, body);
  }
  return plan;
}

/** @throws RepriseError `plan-unknown` for one of another action, operation, cluster or host */
async function planOf<P extends ApprovablePlan>(
  clusterContext: ClusterContext,
  step: PlannedStep,
  isOurs: (plan: ApprovablePlan) => plan is P,
): Promise<P> {
  const plan = await knownPlan(openHostState(clusterContext.host.stateDir), step.plan);
  const { binding } = plan;
  if (!isOurs(plan))
    throw new RepriseError(
      'plan-unknown',
      `plan ${step.plan.slice(0, 12)} is a plan for ${binding.action}: this step is not part of it`,
      'start the operation again, with its own command',
    );
  if (
    planDigest(binding) !== plan.digest ||
    binding.operationId !== step.operationId ||
    binding.cluster !== clusterContext.cluster.name
  ) {
    throw new RepriseError(
      'plan-unknown',
      `plan ${step.plan.slice(0, 12)} is not a plan of operation ${step.operationId}`,
      'start the recovery again: reprise recover',
    );
  }
  if (binding.targetHost !== clusterContext.deps.host) {
    throw new RepriseError(
      'plan-unknown',
      `plan ${step.plan.slice(0, 12)} is for host ${binding.targetHost}, this is ${clusterContext.deps.host}`,
    );
  }
  return plan;
}

/** @throws RepriseError `plan-stale`; `config-invalid` for a plan that is being executed */
async function requireSameConfiguration(
  clusterContext: ClusterContext,
  plan: ApprovablePlan,
  used: boolean,
): Promise<void> {
  const other = await otherConfiguration(clusterContext, plan);
  if (other && used) {
    // Not `plan-stale`, which ends a recovery: half done, it waits for its configuration.
    throw new RepriseError(
      'config-invalid',
      `${other.what} has changed since the plan was approved`,
      `${other.mend}, then \`reprise continue\`; with another file, make a new plan`,
    );
  }
  if (other)
    throw new RepriseError(
      'plan-stale',
      `${other.what} has changed since the plan was made`,
      `${other.mend}, or make a new plan`,
    );
}

/** What the operation of a plan has locked; null for one that excludes nobody, or takes a lock for each of its steps. */
function claimOf(plan: ApprovablePlan): LockClaim | null {
  if (isActionPlan(plan) || isHoldPlan(plan)) return null;
  if (isRepairPlan(plan)) return repairClaim;
  return isMediaPlan(plan) ? mediaClaim(plan.binding) : recoveryClaim(recoveryPlan(plan).binding);
}

/** What of the configuration is not as it was approved: this program's own, or the engine's. */
async function otherConfiguration(
  clusterContext: ClusterContext,
  plan: ApprovablePlan,
): Promise<{ what: string; mend: string } | null> {
  if (plan.binding.configDigest !== clusterContext.deps.config.digest) {
    return {
      what: 'the configuration of this host',
      mend: 'restart the worker with the configuration that was approved',
    };
  }
  if (!isRecoveryPlan(plan) || plan.binding.engineConfigDigest === undefined) return null;
  const { binding } = plan;
  const policy = policyOf(clusterContext, binding.policy);
  if ((await engineFor(clusterContext, policy).configDigest?.(policy)) === binding.engineConfigDigest) return null;
  return { what: `the configuration file of ${binding.engine}`, mend: 'restore the file that was approved' };
}

/**
 * Those that count: given since the plan was made, which may have been made again just as it was, and in the present
 * round. Approved anew, a plan needs all of them again.
 */
export async function approvalsOf(state: HostState, plan: ApprovablePlan): Promise<readonly StoredApproval[]> {
  const from = later(plan.createdAt, await state.roundOf(plan.digest));
  return (await state.approvals(plan.digest)).filter(({ at }) => at >= from);
}

const later = (one: string, other: string | null): string => (other !== null && other > one ? other : one);

/** What the approvals of a plan come to. */
interface Approved {
  readonly missing: number;
  /** When the last one that was needed was first given, ms since the epoch; null while some are missing. */
  readonly since: number | null;
}

async function approvedSince(cluster: ClusterConfig, plan: ApprovablePlan, state: HostState): Promise<Approved> {
  const policy = policyFor(cluster, plan);
  const start = later(plan.createdAt, await state.roundOf(plan.digest));
  // Of somebody who repeats an approval, the first one counts: the others have not repeated theirs.
  const given = (await state.approvals(plan.digest))
    .filter(({ at }) => at >= start)
    .map((one) => ({ one, at: one.firstAt !== undefined && one.firstAt >= start ? one.firstAt : one.at }))
    .toSorted((left, right) => (left.at < right.at ? -1 : 1));
  const accepted: Approval[] = [];
  let missing = policy?.approvers ?? 1;
  for (const { one, at } of given) {
    const { sender } = one;
    const verdict = checkApproval({ plan, approval: one, earlier: accepted, policy, now: new Date(at), sender });
    if (!verdict.accepted) continue;
    accepted.push(one);
    missing = verdict.missing;
    if (missing === 0) return { missing, since: Date.parse(at) };
  }
  return { missing, since: null };
}

/** @throws RepriseError `approval-refused` while some are missing, `plan-expired` where they were given too long ago */
export async function requireApprovals(cluster: ClusterConfig, plan: ApprovablePlan, state: HostState): Promise<void> {
  const policy = policyFor(cluster, plan);
  if (policy === undefined && !needsApproval(plan.binding.action)) return;
  const { missing, since } = await approvedSince(cluster, plan, state);
  if (!policy || since === null) {
    throw new RepriseError(
      'approval-refused',
      `plan ${plan.digest.slice(0, 12)} lacks ${missing} approval(s) on this host`,
      'approve it: reprise approve WORKFLOW --by NAME --reason "..."',
    );
  }
  if (Date.now() > since + windowOf(plan, policy)) {
    throw new RepriseError(
      'plan-expired',
      `plan ${plan.digest.slice(0, 12)} was approved more than ${policy.executeWithinSeconds} s ago`,
      'read the plan again, then approve it again',
    );
  }
}

const windowOf = (plan: ApprovablePlan, { executeWithinSeconds }: Pick<ApprovalPolicy, 'executeWithinSeconds'>) =>
  (executeWithinSeconds + thawSeconds(plan)) * 1000;

/**
 * Before an approval is counted: where the time to execute is over, those given before count no longer. One of two
 * people cannot keep a plan alive by approving it again and again.
 */
export async function beginRoundWhereOver(
  { cluster }: ClusterContext,
  plan: ApprovablePlan,
  state: HostState,
): Promise<void> {
  const policy = policyFor(cluster, plan);
  if (!policy || (await state.hasBegun(plan.digest))) return;
  const round = await state.roundOf(plan.digest);
  const begin = async (over: number): Promise<void> => {
    const isNew = round === null || Date.parse(round) <= over;
    if (isNew && Date.now() > over) await state.startRound(plan.digest, new Date().toISOString());
  };
  const rested = await restedSince(state, plan);
  if (rested !== null) await begin(rested + policy.executeWithinSeconds * 1000);
  const { since } = await approvedSince(cluster, plan, state);
  if (since !== null && rested === null) await begin(since + windowOf(plan, policy));
}

/** When a step of a used plan was last at work, ms since the epoch; null for a plan that was not used. */
async function restedSince(state: HostState, { digest }: ApprovablePlan): Promise<number | null> {
  const used = await state.usedBy(digest);
  return used && Date.parse((await state.lastActive(digest)) ?? used.at);
}

/** Hours that the plan itself waits for its files, by the tier that was approved with it: twice what they may take. */
function thawSeconds(plan: ApprovablePlan): number {
  if (!isRecoveryPlan(plan)) return 0;
  const { binding, observed } = plan;
  const hours = observed.thaw?.choices.find(({ tier }) => tier === binding.thaw?.tier)?.hours ?? 0;
  return hours * 2 * 3600;
}

/**
 * For what is done for an approved plan before it is used, and changes no data: asking for files.
 * @throws RepriseError `plan-unknown`, `approval-refused`, `approval-used`
 */
export async function requireApproved(clusterContext: ClusterContext, step: PlannedStep): Promise<Plan> {
  const state = openHostState(clusterContext.host.stateDir);
  const plan = recoveryPlan(await knownPlan(state, step.plan));
  if (plan.binding.operationId !== step.operationId || plan.binding.cluster !== clusterContext.cluster.name)
    throw new RepriseError(
      'plan-unknown',
      `plan ${step.plan.slice(0, 12)} is not a plan of operation ${step.operationId}`,
      'start the recovery again: reprise recover',
    );
  if (await state.isClosed(plan.digest))
    throw new RepriseError(
      'approval-used',
      `plan ${plan.digest.slice(0, 12)} is closed`,
      'make a new plan: reprise recover',
    );
  await requireApprovals(clusterContext.cluster, plan, state);
  await requireOwnOperation(clusterContext, step);
  return plan;
}

/**
 * A used plan of which nothing was changed yet, and whose steps have rested for longer than it may take to begin, needs
 * its approvals again, all of them: its workflow may have been terminated, and be resumed by a Reset after everything was
 * repaired by hand. Once the first change has begun, the plan is carried through.
 * @throws RepriseError `plan-expired`
 */
export async function requireRecentUse({ host, cluster }: ClusterContext, plan: ApprovablePlan): Promise<void> {
  const state = openHostState(host.stateDir);
  const policy = policyFor(cluster, plan);
  if ((await state.hasBegun(plan.digest)) || (policy === undefined && !needsApproval(plan.binding.action))) return;
  const within = policy?.executeWithinSeconds ?? 0;
  const rested = await restedSince(state, plan);
  const end = rested === null ? null : rested + within * 1000;
  if (end !== null && Date.now() <= end) return;
  const round = await state.roundOf(plan.digest);
  if (end !== null && policy && round !== null && Date.parse(round) > end) {
    const { since } = await approvedSince(cluster, plan, state);
    if (since !== null && Date.now() <= since + windowOf(plan, policy)) return;
  }
  throw new RepriseError(
    'plan-expired',
    `plan ${plan.digest.slice(0, 12)} began to be executed more than ${within} s ago, and has changed nothing since`,
    'read the plan again, then approve it again',
  );
}

/** The command that makes such a plan. */
export function again(plan: ApprovablePlan): string {
  if (isActionPlan(plan)) return actionCommand(plan.binding);
  if (isMediaPlan(plan)) return `reprise media ${plan.binding.task.kind} ${plan.binding.media}`;
  if (isRepairPlan(plan)) return repairCommand(plan.binding);
  if (isHoldPlan(plan)) return holdCommand(plan.binding);
  return 'reprise recover';
}

/** A plan that has to be a recovery's. Throws `plan-unknown` for one of another action. */
export function recoveryPlan(plan: ApprovablePlan): Plan {
  if (isRecoveryPlan(plan)) return plan;
  throw new RepriseError(
    'plan-unknown',
    `plan ${plan.digest.slice(0, 12)} is a plan for ${plan.binding.action}, not for a recovery`,
    'start the operation again, with its own command',
  );
}

/** @throws RepriseError `plan-unknown` for a plan that this host did not make */
export async function knownPlan(state: HostState, digest: string): Promise<ApprovablePlan> {
  const plan = await state.readPlan(digest);
  if (!plan)
    throw new RepriseError(
      'plan-unknown',
      `this host holds no plan ${digest.slice(0, 12)}`,
      'plans are made by `reprise recover`; one made elsewhere is not accepted',
    );
  return plan;
}

/** Who may decide on a plan, by the config of this host. */
export function policyFor(
  cluster: ClusterConfig,
  { binding: { action } }: Pick<ApprovablePlan, 'binding'>,
): ApprovalPolicy | undefined {
  return cluster.approvals[policyAction(action)] ?? (isConfirmedAction(action) ? byConfirmation : undefined);
}
