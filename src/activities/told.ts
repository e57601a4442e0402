import { notifyWorkflowId } from '../domain/operation/names.js';
import { openOperationLedger } from '../records/operation-ledger.js';
import { callingWorkflow } from './activity-wrapper.js';
import type { StepInput } from './api.js';
import { type ClusterContext, record } from './cluster-context.js';

/** Who says what an activity was given to write down: the workflow, as the Temporal server names it. */
export function teller(): string {
  return callingWorkflow() ?? 'a client without a workflow';
}

/**
 * Name of a fact that was told: its own for the workflows of the operation, as this host and their ids say; that of a
 * stranger is another, because a line that he wrote first must not stand for theirs.
 */
export async function toldName(
  { host, cluster }: ClusterContext,
  operationId: string,
  toldBy: string,
  name: string,
): Promise<string> {
  const owner = await openOperationLedger(host.stateDir).claimOf(operationId);
  const isOwn =
    owner?.workflowId === toldBy ||
    (toldBy.startsWith(`incident/${cluster.name}/`) && toldBy.endsWith(`/${operationId}`)) ||
    toldBy.startsWith(notifyWorkflowId(cluster.name, operationId, ''));
  return isOwn ? name : `told by ${toldBy}/${name}`;
}

/**
 * A line of the journal in the words of whoever called. It is kept as told: it becomes no check, no outcome and no figure.
 * The same line of the same step is one fact, however often the activity ran.
 */
export async function recordTold(
  clusterContext: ClusterContext,
  { operationId, workflowId }: StepInput,
  { step, text }: { readonly step: string; readonly text: string },
): Promise<void> {
  const toldBy = teller();
  const name = await toldName(clusterContext, operationId, toldBy, `journal/${step}/${text}`);
  await record(clusterContext, { operationId }, name, { kind: 'journal', workflowId, step, text, toldBy }, toldBy);
}
