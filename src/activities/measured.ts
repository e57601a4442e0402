import type { CatalogueState } from '../domain/backup/catalogue.js';
import type { PlannedRestore } from '../domain/drill/drill.js';
import type { PredictedSeconds, RecoveryMethod } from '../domain/plan/plan.js';
import { type MeasuredRestore, measuredRecovery, predictSeconds, sizeOf } from '../domain/plan/predict-duration.js';
import { openMeasuredRestores } from '../records/measured-restores.js';
import type { ClusterContext } from './cluster-context.js';

/**
 * What was measured on this host with an engine: by its own state, of every cluster, and by the records of this one, which are still
 * there after the state was lost.
 */
export async function measuredRestores(
  { catalogue, host, deps }: Pick<ClusterContext, 'catalogue' | 'host' | 'deps'>,
  { engine, method }: { readonly engine: string; readonly method: RecoveryMethod },
): Promise<readonly MeasuredRestore[]> {
  const kept = await openMeasuredRestores(host.stateDir).list(engine);
  const all = new Map([...recordedRestores(await catalogue.state(), deps.host), ...kept].map((one) => [one.id, one]));
  return [...all.values()].filter((one) => one.engine === engine && one.method === method);
}

/** How long a restore of a drill will take here; null where nothing was measured. */
export async function predictedRestore(
  clusterContext: Pick<ClusterContext, 'catalogue' | 'host' | 'deps'>,
  planned: Omit<PlannedRestore, 'predicted'>,
): Promise<PredictedSeconds | null> {
  const measured = await measuredRestores(clusterContext, planned);
  // In a drill nothing is stopped, moved or promoted.
  return predictSeconds(
    measured.map((one) => ({ ...one, otherSeconds: null })),
    sizeOf(planned),
  );
}

/** Recoveries that were carried out on a host, by the records of a cluster. */
function recordedRestores({ outcomes, plans }: CatalogueState, host: string): readonly MeasuredRestore[] {
  const used = [...plans.values()].filter(({ usedAt, plan }) => usedAt !== null && plan.binding.targetHost === host);
  return [...outcomes].flatMap(([operationId, { outcome, at }]) => {
    const plan = used.findLast((one) => one.operationId === operationId)?.plan;
    return plan === undefined ? [] : [measuredRecovery(plan, outcome, { id: operationId, at })];
  });
}
