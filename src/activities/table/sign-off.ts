import type { ApprovalAnswer } from '../api.js';
import type { SignOff } from '../../domain/drill/drill.js';
import { isRepairPlan } from '../../domain/table/repair.js';
import { undoRepairCommand } from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { openHostState } from '../../records/host-state.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { considerSignOff, type SignOffStep } from '../approval/sign-off.js';
import type { ClusterContext } from '../cluster-context.js';
import { SIGNED_OFF } from './finish-repair.js';

/** A person's word on a repair is checked and kept on the host of the cluster. Who may sign is part of the plan that was approved. */
export async function recordRepairSignOff(
  clusterContext: ClusterContext,
  step: SignOffStep,
  run: ActivityRun,
): Promise<ApprovalAnswer> {
  const { cluster, host } = clusterContext;
  const state = openHostState(host.stateDir);
  const found = await state.readPlan(step.plan).catch(() => null);
  const plan = found !== null && isRepairPlan(found) && found.binding.operationId === step.operationId ? found : null;
  const name = plan === null ? '?' : formatTableName(plan.binding.order.table);
  return considerSignOff(clusterContext, step, run, {
    ask: async () => ({
      ...{ one: 'repair', what: `the repair of ${name} of ${cluster.name}`, policy: plan?.binding.signOff },
      isPlanned: plan !== null,
      earlier: (await state.onceDone<SignOff>(step.operationId, SIGNED_OFF, step.plan))?.result ?? null,
      hints: {
        unknown: 'see what runs: reprise status',
        policy: `name them in reprise.yml: clusters.${cluster.name}.tables."${name}".sign_off: { by: [CONTACT] }`,
        used: `what was said stays; ${plan === null ? 'see reprise status' : `to take the repair back: ${undoRepairCommand(plan)}`}`,
      },
    }),
    save: (signOff) => state.recordDone(step.operationId, SIGNED_OFF, signOff, step.plan),
  });
}
