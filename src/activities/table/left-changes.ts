import { isRepriseError } from '../../domain/errors.js';
import { isRepairPlan, type RepairPlan } from '../../domain/table/repair.js';
import { leftChangesText } from '../../domain/table/repair-text.js';
import { openHostState } from '../../records/host-state.js';
import { openRepairFiles } from '../../records/repair-files.js';
import { type ClusterContext, record } from '../cluster-context.js';
import { OUTCOME } from './repair-session.js';
import { carriedOut } from './take-back.js';

/**
 * What a repair has changed that ends or has ended: one that was cancelled, rejected or terminated in its middle too. Where no report says
 * it, the journal does. Null: nothing.
 */
export async function leftChanges(
  clusterContext: ClusterContext,
  { operationId, workflowId }: { readonly operationId: string; readonly workflowId: string },
): Promise<string | null> {
  const state = openHostState(clusterContext.host.stateDir);
  const plans = (await state.plans()).filter(isRepairPlan).filter(({ binding }) => binding.operationId === operationId);
  const begun: RepairPlan[] = [];
  for (const plan of plans) if (await state.hasBegun(plan.digest)) begun.push(plan);
  const [plan] = begun;
  if (plan === undefined) return null;
  const rows = await rowsChanged(clusterContext, operationId);
  if (rows === 0) return null;
  const text = leftChangesText(plan, rows);
  if ((await state.onceDone(operationId, OUTCOME)) === null)
    await record(clusterContext, { operationId }, `left-changes/${rows ?? 'unknown'}`, {
      ...{ kind: 'journal', workflowId, step: 'table-repair', text },
    });
  return text;
}

/** Null where the server, which knows it of the last transaction, does not answer. */
async function rowsChanged(clusterContext: ClusterContext, operationId: string): Promise<number | null> {
  const { stateDir } = clusterContext.host;
  try {
    const files = await openRepairFiles(stateDir, operationId);
    const done = await carriedOut(clusterContext, openHostState(stateDir), operationId, files);
    return done.reduce((sum, { rows }) => sum + rows, 0);
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return null;
  }
}
