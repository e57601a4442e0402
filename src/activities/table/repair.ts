import { shortDigest } from '../../domain/approval/approval-policy.js';
import { repairOrder } from '../../domain/operation/orders.js';
import { changedRows, isRepairPlan, type RepairOutcome } from '../../domain/table/repair.js';
import { repairTitle } from '../../domain/table/repair-text.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import { withOrder, wrapActivity } from '../activity-wrapper.js';
import type { RepairActivities } from '../api.js';
import { closePlansOf } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { collectRows, findTransaction } from './damage.js';
import { freezeActivities } from './freeze.js';
import { dropRepairRole } from './left-roles.js';
import { makeRepairPlan } from './repair-plan.js';
import { recheck, apply, finish } from './repair-steps.js';

/** Name in the host's ledger. */
export const OUTCOME = 'repair-outcome';

/** The repair of a table: damage, plan, approval, changes, report. */
export function repairActivities(deps: HostDependencies): RepairActivities {
  return {
    ...freezeActivities(deps),
    findTransaction: wrapActivity(
      'findTransaction',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        return findTransaction(clusterContext, request, run);
      }),
    ),
    collectRows: wrapActivity(
      'collectRows',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await requireOwnOperation(clusterContext, request);
        return { exact: await collectRows(clusterContext, request, run) };
      }),
    ),
    planRepair: wrapActivity(
      'planRepair',
      withOrder(repairOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        const plan = await makeRepairPlan(clusterContext, request, run);
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        const text = `plan ${shortDigest(plan)}: ${repairTitle(plan.binding)}, ${changedRows(plan.binding.changes)} rows, ${plan.binding.changes.conflicts} conflicts`;
        const body = { kind: 'journal' as const, workflowId: request.workflowId, step: 'plan', text };
        await record(clusterContext, request, `plan/${plan.digest}`, body, request.requester);
        return plan;
      }),
    ),
    recheckRepair: wrapActivity(
      'recheckRepair',
      withOrder(repairOrder, async ({ plan, ...request }) =>
        recheck(await openClusterContext(deps, request.cluster), { ...request, plan }),
      ),
    ),
    applyRepair: wrapActivity('applyRepair', async (step, run) =>
      apply(await openClusterContext(deps, step.cluster), step, run),
    ),
    finishRepair: wrapActivity('finishRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const state = openHostState(clusterContext.host.stateDir);
      const earlier = await state.onceDone<RepairOutcome>(step.operationId, OUTCOME);
      if (earlier !== null) return earlier.result;
      const outcome = await finish(clusterContext, step);
      await state.recordDone(step.operationId, OUTCOME, outcome);
      // Hooks are taken back by the plan that ran them: such a plan is closed after that.
      if ((await repairHooks(state, step.plan)).length === 0) await closePlansOf(clusterContext, step.operationId);
      return outcome;
    }),
    closeRepair: wrapActivity('closeRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      // Where the server is down, the sweep does it later.
      await dropRepairRole(clusterContext, step.operationId).catch(() => false);
      await closePlansOf(clusterContext, step.operationId);
    }),
  };
}

async function repairHooks(state: HostState, digest: string): Promise<readonly string[]> {
  const plan = await state.readPlan(digest);
  return plan !== null && isRepairPlan(plan) ? plan.binding.hooks : [];
}
