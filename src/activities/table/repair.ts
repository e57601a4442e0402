import { shortDigest } from '../../domain/approval/approval-policy.js';
import { repairOrder } from '../../domain/operation/orders.js';
import { changedRows, type RepairOutcome } from '../../domain/table/repair.js';
import { repairTitle } from '../../domain/table/repair-text.js';
import { openHostState } from '../../records/host-state.js';
import { withOrder, wrapActivity } from '../activity-wrapper.js';
import type { RepairActivities } from '../api.js';
import { closePlansOf } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { countTableOf } from './counts.js';
import { collectRows, findTransaction } from './damage.js';
import { check, report } from './finish-repair.js';
import { freezeActivities } from './freeze.js';
import { leftChanges } from './left-changes.js';
import { dropRoleAtEnd } from './left-roles.js';
import { makeRepairPlan } from './repair-plan.js';
import { OUTCOME } from './repair-session.js';
import { recordRepairSignOff } from './sign-off.js';
import { recheck, apply } from './repair-steps.js';

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
    checkRepair: wrapActivity('checkRepair', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      return check(clusterContext, step, run);
    }),
    recordRepairSignOff: wrapActivity('recordRepairSignOff', async (step, run) =>
      recordRepairSignOff(await openClusterContext(deps, step.cluster), step, run),
    ),
    recordTableCount: wrapActivity('recordTableCount', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      return countTableOf(clusterContext, step);
    }),
    finishRepair: wrapActivity('finishRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const state = openHostState(clusterContext.host.stateDir);
      const earlier = await state.onceDone<RepairOutcome>(step.operationId, OUTCOME);
      if (earlier !== null) return earlier.result;
      const outcome = await report(clusterContext, step, { isOver: true });
      await state.recordDone(step.operationId, OUTCOME, outcome);
      return outcome;
    }),
    closeRepair: wrapActivity('closeRepair', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const isDropped = await dropRoleAtEnd(clusterContext, step.operationId);
      const left = await leftChanges(clusterContext, step);
      // Where the server is down, the sweep does it when it is back.
      if (isDropped) await closePlansOf(clusterContext, step.operationId);
      return left;
    }),
  };
}
