import { checkApproval, needsApproval } from '../../domain/approval/approval-policy.js';
import type { ClusterConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isMediaPlan, isSameMedia } from '../../domain/media/media.js';
import { type LockClaim, mediaClaim, recoveryClaim } from '../../domain/operation/locks.js';
import { type ApprovablePlan, type Approval, type Plan, isRecoveryPlan } from '../../domain/plan/plan.js';
import { planDigest } from '../../records/digest.js';
import { type HostState, type StoredApproval, openHostState } from '../../records/host-state.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, engineFor, policyOf, record } from '../cluster-context.js';
import { requireGrant } from '../lock-grant.js';

/**
 * Ends every plan of an operation that is over, however it ended: what was approved for it cannot be carried out days
 * later by somebody who starts a step by hand.
 */
export async function closePlansOf(clusterContext: ClusterContext, operationId: string): Promise<void> {
  const state = openHostState(clusterContext.host.stateDir);
  for (const plan of await state.openPlans()) {
    if (plan.binding.operationId === operationId) await state.closePlan(plan.digest);
  }
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
    if (isMediaPlan(plan) && isMediaPlan(other) && !isSameMedia(plan, other)) continue;
    if (await state.usedBy(other.digest)) await state.closePlan(other.digest);
  }
}

/**
 * Authorizes a destructive step, or throws why not. The host checks by itself: the plan's record and its digest, the
 * approvals against the policy of *its* config, the time they were given, and the ledger, in which a plan is used by
 * one operation only and never again once closed. Whoever started the workflow or the activity has no say in it.
 */
export async function authorize(clusterContext: ClusterContext, step: PlannedStep): Promise<Plan> {
  return authorizePlan(clusterContext, step, isRecoveryPlan);
}

/** The same for any action; a plan of another action than `isOurs` takes is none, whoever approved it. */
export async function authorizePlan<P extends ApprovablePlan>(
  clusterContext: ClusterContext,
  step: PlannedStep,
  isOurs: (plan: ApprovablePlan) => plan is P,
): Promise<P> {
  const state = openHostState(clusterContext.host.stateDir);
  const plan = await knownPlan(state, step.plan);
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
  const used = await state.usedBy(plan.digest);
  if (await state.isClosed(plan.digest))
    throw new RepriseError(
      'approval-used',
      `plan ${plan.digest.slice(0, 12)} is closed (executed, rejected or replaced by a later one); its approval cannot be used again`,
      `make a new plan: ${again(plan)}`,
    );
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
  if (!used) await requireApprovals(clusterContext.cluster, plan, state);
  // Before anything of the ledger changes: a step that runs without the lock closes no other plan.
  await requireGrant(clusterContext, step, claimOf(plan));
  if (!used) await supersedeOthers(state, plan);
  if (!(await state.markUsed(plan.digest, step.operationId))) {
    throw new RepriseError(
      'approval-used',
      `plan ${plan.digest.slice(0, 12)} is used by another operation`,
      `make a new plan: ${again(plan)}`,
    );
  }
  // For the report; what lets a step pass is the ledger of this host.
  if (!used) await record(clusterContext, step, `plan-used/${plan.digest}`, { kind: 'plan-used', digest: plan.digest });
  return plan;
}

/** What the operation of a plan has locked. */
function claimOf(plan: ApprovablePlan): LockClaim {
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

/** Those given since the plan was made, which may have been made again just as it was: it is approved anew then. */
export async function approvalsOf(state: HostState, plan: ApprovablePlan): Promise<readonly StoredApproval[]> {
  return (await state.approvals(plan.digest)).filter(({ at }) => at >= plan.createdAt);
}

async function requireApprovals(cluster: ClusterConfig, plan: ApprovablePlan, state: HostState): Promise<void> {
  const policy = policyFor(cluster, plan);
  if (policy === undefined && !needsApproval(plan.binding.action)) return;
  const given = await approvalsOf(state, plan);
  const accepted: Approval[] = [];
  let missing = policy?.approvers ?? 1;
  for (const one of given) {
    const { at, sender } = one;
    const verdict = checkApproval({ plan, approval: one, earlier: accepted, policy, now: new Date(at), sender });
    if (!verdict.accepted) continue;
    accepted.push(one);
    missing = verdict.missing;
  }
  if (!policy || missing > 0 || accepted.length === 0) {
    throw new RepriseError(
      'approval-refused',
      `plan ${plan.digest.slice(0, 12)} lacks ${missing} approval(s) on this host`,
      'approve it: reprise approve',
    );
  }
  const last = Math.max(...given.map(({ at }) => Date.parse(at)));
  if (Date.now() > last + (policy.executeWithinSeconds + thawSeconds(plan)) * 1000) {
    throw new RepriseError(
      'plan-expired',
      `plan ${plan.digest.slice(0, 12)} was approved more than ${policy.executeWithinSeconds} s ago`,
      'read the plan again, then approve it again',
    );
  }
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
  return plan;
}

/**
 * For the steps that begin to change things: a plan used long ago, of which no step was begun, needs a new approval. Its
 * workflow may have been terminated, and be resumed by a Reset after everything was repaired by hand.
 * @throws RepriseError `plan-expired`
 */
export async function requireRecentUse({ host, cluster }: ClusterContext, plan: Plan): Promise<void> {
  const used = await openHostState(host.stateDir).usedBy(plan.digest);
  const within = policyFor(cluster, plan)?.executeWithinSeconds ?? 0;
  if (used && Date.now() <= Date.parse(used.at) + within * 1000) return;
  throw new RepriseError(
    'plan-expired',
    `plan ${plan.digest.slice(0, 12)} began to be executed more than ${within} s ago, and has changed nothing since`,
    'read the plan again, then approve it again',
  );
}

/** The command that makes such a plan. */
export function again(plan: ApprovablePlan): string {
  if (isMediaPlan(plan)) return `reprise media ${plan.binding.task.kind} ${plan.binding.media}`;
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
export function policyFor(cluster: ClusterConfig, plan: ApprovablePlan) {
  return cluster.approvals[plan.binding.action];
}
