/**
 * What a restore of dumps has left behind is decided on by people, under the policy of recoveries: a second plan names these very
 * errors, and the databases are swapped only where it was approved. The host makes it, keeps it and asks for it again by itself.
 */
import { mayApprove } from '../../domain/approval/approval-policy.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import type { Plan, PlanBinding, RestoreErrors } from '../../domain/plan/plan.js';
import { errorsInWords } from '../../domain/plan/plan-text.js';
import { clipBytes } from '../../domain/text/text.js';
import { planDigest } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import type { PlannedStep } from '../api.js';
import { policyFor, requireApprovals } from '../approval/authorize.js';
import { record } from '../cluster-context.js';
import type { AuthorizedStep } from './authorized-step.js';

/** A line of the journal; the plan itself has them all. */
const MOST_JOURNAL_BYTES = 8_000;

/**
 * The plan that has to be approved before these errors are accepted; null where it was. Asked again after its time, it can be
 * approved anew.
 */
export async function planToAccept(
  work: AuthorizedStep,
  step: PlannedStep,
  errors: readonly RestoreErrors[],
): Promise<Plan | null> {
  const { clusterContext, plan } = work;
  const state = openHostState(clusterContext.host.stateDir);
  const binding = bindingWith(plan, errors);
  const digest = planDigest(binding);
  const known = (await state.readPlan(digest)) as Plan | null;
  if (known && (await isAccepted(work, step, known))) return null;
  const now = new Date();
  if (known && Date.parse(known.approveBy) > now.getTime()) return known;
  const policy = policyFor(clusterContext.cluster, plan);
  const accepting: Plan = {
    digest,
    binding,
    observed: {
      ...plan.observed,
      ...(policy && {
        approval: { approvers: policy.approvers, from: mayApprove(policy, plan.binding.requester) },
      }),
    },
    createdAt: now.toISOString(),
    approveBy: new Date(now.getTime() + (policy?.approveWithinSeconds ?? 0) * 1000).toISOString(),
  };
  await state.savePlan(accepting);
  const text = `the restore left errors, which plan ${digest.slice(0, 12)} accepts: ${errorsInWords(errors).join('; ')}`;
  const line = clipBytes(text, MOST_JOURNAL_BYTES);
  const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'restore errors', text: line };
  await record(clusterContext, step, `restore-errors/${digest}`, body);
  return accepting;
}

/**
 * Checks that nothing is swapped in which lacks something that nobody has accepted.
 * @throws RepriseError `approval-refused`
 */
export async function requireAccepted(
  { clusterContext, plan }: AuthorizedStep,
  errors: readonly RestoreErrors[],
): Promise<void> {
  if (errors.length === 0) return;
  const state = openHostState(clusterContext.host.stateDir);
  const digest = planDigest(bindingWith(plan, errors));
  const used = await state.usedBy(digest);
  if (used?.operationId === plan.binding.operationId && !(await state.isClosed(digest))) return;
  throw new RepriseError(
    'approval-refused',
    `the restore left ${errors.reduce((sum, one) => sum + one.errors.length, 0)} errors, and nobody has accepted them`,
    `read them (reprise status), then: reprise approve WORKFLOW --plan ${digest.slice(0, 12)} --by NAME --reason "..."`,
  );
}

/** Approved in time, and from now on taken for this operation. */
async function isAccepted(
  { clusterContext }: AuthorizedStep,
  { operationId }: PlannedStep,
  accepting: Plan,
): Promise<boolean> {
  const state = openHostState(clusterContext.host.stateDir);
  if ((await state.usedBy(accepting.digest)) === null) {
    try {
      await requireApprovals(clusterContext.cluster, accepting, state);
    } catch (error) {
      if (isRepriseError(error) && ['approval-refused', 'plan-expired'].includes(error.code)) return false;
      throw error;
    }
  }
  return state.markUsed(accepting.digest, operationId);
}

const bindingWith = ({ digest, binding }: Plan, databases: readonly RestoreErrors[]): PlanBinding => ({
  ...binding,
  accepts: { plan: digest, databases },
});
