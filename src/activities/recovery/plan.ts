import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { recoveryOrder } from '../../domain/operation/orders.js';
import { decideRecovery } from '../../domain/plan/decide-recovery.js';
import { planTerms } from '../../domain/plan/plan-terms.js';
import { type Plan, type PlanBinding, isRecoveryPlan } from '../../domain/plan/plan.js';
import { changedMethodInWords } from '../../domain/plan/plan-text.js';
import type { PlannedThaw } from '../../domain/plan/thaw.js';
import { planDigest } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities, PlanRequest } from '../api.js';
import { closePlansOf, knownPlan, recoveryPlan } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { damagedBackup, quarantine } from './damaged-backup.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, callingWorkflow, withOrder, wrapActivity } from '../activity-wrapper.js';
import { changedMethod, planBefore, whyNothingToDo } from './answers-again.js';
import { closeDatabaseInstance } from './one-database.js';
import { observeRecovery } from './observe-recovery.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';

export function planningActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'planRecovery' | 'recheckPlan' | 'pin' | 'unpin'> {
  return {
    planRecovery: wrapActivity(
      'planRecovery',
      withOrder(recoveryOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        const before = await planBefore(clusterContext, request.operationId);
        const nothingToDo = await whyNothingToDo(clusterContext, request, before);
        if (nothingToDo !== null) return { nothingToDo };
        const plan = await withChangedMethod(
          clusterContext,
          await planWithoutDamagedBackups(clusterContext, request, run),
          before,
        );
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        await record(clusterContext, request, `plan/${plan.digest}`, { kind: 'plan', plan }, request.requester);
        return plan;
      }),
    ),
    recheckPlan: wrapActivity(
      'recheckPlan',
      withOrder(recoveryOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        const before = await openHostState(clusterContext.host.stateDir).readPlan(request.plan);
        if (!before || !isRecoveryPlan(before))
          throw new RepriseError('plan-unknown', `this host holds no plan ${request.plan.slice(0, 12)} of a recovery`);
        const used = await openHostState(clusterContext.host.stateDir).usedBy(request.plan);
        // Already being executed (a Reset, a lost completion): its steps return their recorded results, and what the plan observed is gone.
        if (used?.operationId === request.operationId) return { digest: before.digest, changed: [] };
        const nothingToDo = await whyNothingToDo(clusterContext, request, before);
        if (nothingToDo !== null) return { digest: null, changed: [], nothingToDo };
        const now = await makePlan(clusterContext, request, run, before.binding.thaw).catch((error: unknown) =>
          quarantineDamaged(clusterContext, request, error),
        );
        if ('damaged' in now) return { digest: null, changed: [now.damaged] };
        const changed = Object.keys(now.binding).filter(
          (key) =>
            JSON.stringify(now.binding[key as keyof PlanBinding]) !==
            JSON.stringify(before.binding[key as keyof PlanBinding]),
        );
        const other = await changedMethod(clusterContext, now, before);
        return { digest: now.digest, changed: other ? [changedMethodInWords(now, other)] : changed };
      }),
    ),
    pin: wrapActivity('pin', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { binding } = recoveryPlan(await knownPlan(openHostState(clusterContext.host.stateDir), step.plan));
      if (binding.operationId !== step.operationId || binding.cluster !== step.cluster)
        throw new RepriseError(
          'plan-unknown',
          `plan ${step.plan.slice(0, 12)} is not a plan of operation ${step.operationId}`,
        );
      await requireOwnOperation(clusterContext, step);
      // Also what is listed and not recorded: a repository just taken over, a worker that died before the record.
      const backupIds = binding.backups.map(({ id }) => id);
      const first = (await clusterContext.catalogue.state()).backups.find(({ id }) => backupIds.includes(id));
      // Each time a record of its own: one found from before an `unpin` would pin nothing.
      await record(clusterContext, step, `pin/${step.plan}/${Date.now()}`, {
        kind: 'pin',
        backupIds,
        walFrom: first?.wal?.start ?? null,
        workflowId: callingWorkflow() ?? step.workflowId,
      });
    }),
    unpin: wrapActivity('unpin', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      // Where this fails, a sweep does it: rotation must not wait for it.
      await closeDatabaseInstance(clusterContext, step).catch(() => undefined);
      await closePlansOf(clusterContext, step.operationId);
      await record(clusterContext, step, `unpin/${Date.now()}`, { kind: 'unpin' });
    }),
  };
}

/** Another method is never the same plan: it is shown as another one, with the reason. */
async function withChangedMethod(clusterContext: ClusterContext, plan: Plan, before: Plan | null): Promise<Plan> {
  const other = await changedMethod(clusterContext, plan, before);
  return other ? { ...plan, observed: { ...plan.observed, changedMethod: other } } : plan;
}

/** A backup found damaged is quarantined, and says so in place of a plan; any other failure goes on. */
async function quarantineDamaged(
  clusterContext: ClusterContext,
  request: PlanRequest,
  error: unknown,
): Promise<{ damaged: string }> {
  const backupId = damagedBackup(error);
  if (backupId === null) throw error;
  await quarantine(clusterContext, request, backupId, (error as Error).message);
  return { damaged: `${(error as Error).message}: quarantined` };
}

/** The plan with the newest backups that are whole: damaged ones are quarantined on the way. */
async function planWithoutDamagedBackups(
  clusterContext: ClusterContext,
  request: PlanRequest,
  run: ActivityRun,
): Promise<Plan> {
  let damage = null as { readonly backupId: string; readonly error: unknown } | null;
  for (;;) {
    try {
      return await makePlan(clusterContext, request, run);
    } catch (error) {
      const backupId = damagedBackup(error);
      // Where no other is left, or one was asked for by its name, the damage is the answer.
      if (backupId === null)
        throw damage && isRepriseError(error) && error.code === 'no-usable-backup' ? damage.error : error;
      if (backupId === damage?.backupId) throw error;
      await quarantineDamaged(clusterContext, request, error);
      if (request.order.target.kind === 'backup') throw error;
      damage = { backupId, error };
    }
  }
}

/**
 * Observes the host and decides: says exactly what would be done, or refuses what cannot end well. Reads only.
 * @throws RepriseError with the reason of a refusal
 */
export async function makePlan(
  clusterContext: ClusterContext,
  request: PlanRequest,
  run: ActivityRun,
  approvedThaw?: PlannedThaw,
): Promise<Plan> {
  const { cluster, deps } = clusterContext;
  const asked = { ...request, approvedThaw };
  const terms = planTerms(deps.config, deps.host, cluster, request.order.into);
  const decided = decideRecovery(terms, asked, await observeRecovery(clusterContext, terms, asked, run));
  return { digest: planDigest(decided.binding), ...decided };
}
