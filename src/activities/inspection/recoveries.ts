import type { CatalogueState, RecordedPlan } from '../../domain/backup/catalogue.js';
import type { RecoveryLine } from '../../domain/operation/inspections.js';
import { recoverWorkflowId } from '../../domain/operation/names.js';
import { isRecoveryPlan } from '../../domain/plan/plan.js';
import { formatTarget } from '../../domain/target/target.js';
import { openHostState } from '../../records/host-state.js';
import { type ClusterContext, openClusterContexts } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** Recoveries of the clusters of this host, or of the one named, oldest first: each by its last plan, and how it ended. */
export async function listRecoveries(deps: HostDependencies, cluster?: string): Promise<readonly RecoveryLine[]> {
  const found = await Promise.all((await openClusterContexts(deps, cluster)).map(recoveriesOf));
  return found.flat();
}

async function recoveriesOf(clusterContext: ClusterContext): Promise<readonly RecoveryLine[]> {
  const state = await clusterContext.catalogue.state();
  const plans = new Map<string, RecordedPlan>();
  for (const recorded of [...state.plans.values()].sort((left, right) => (left.at < right.at ? -1 : 1)))
    if (isRecoveryPlan(recorded.plan)) plans.set(recorded.operationId, recorded);
  return Promise.all([...plans.values()].map((recorded) => lineOf(clusterContext, state, recorded)));
}

async function lineOf(
  { cluster: { name: cluster }, host }: ClusterContext,
  { outcomes }: CatalogueState,
  { plan, operationId, at, usedAt }: RecordedPlan,
): Promise<RecoveryLine> {
  const recorded = outcomes.get(operationId);
  const { binding } = plan;
  const hasEnded = async (): Promise<boolean> => openHostState(host.stateDir).isClosed(plan.digest);
  return {
    workflowId: recorded?.workflowId ?? recoverWorkflowId(cluster, operationId),
    ...{ cluster, operationId, at, endedAt: recorded?.at ?? null },
    ...{ policy: binding.policy, method: binding.method, into: binding.into, requester: binding.requester },
    target: { requested: formatTarget(binding.target), reached: recorded?.outcome.target.reached ?? null },
    result: recorded ? 'recovered' : resultWithout(usedAt !== null, await hasEnded()),
    rtoSeconds: recorded?.outcome.rtoSeconds ?? null,
    rpoSeconds: recorded?.outcome.rpoSeconds ?? null,
    report: recorded?.outcome.report ?? null,
  };
}

/** Where there is no outcome: a plan is closed when it was rejected, has expired or its operation has ended. */
function resultWithout(used: boolean, ended: boolean): RecoveryLine['result'] {
  if (used) return ended ? 'not-completed' : 'running';
  return ended ? 'not-executed' : 'waiting';
}
