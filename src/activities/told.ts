import { callingWorkflow } from './activity-wrapper.js';
import type { StepInput } from './api.js';
import { type ClusterContext, record } from './cluster-context.js';

/** Who says what an activity was given to write down: the workflow, as the Temporal server names it. */
export function teller(): string {
  return callingWorkflow() ?? 'a client without a workflow';
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
  // With who told it: a line that a stranger wrote first must not stand for that of the operation.
  await record(
    clusterContext,
    { operationId },
    `journal/${toldBy}/${step}/${text}`,
    { kind: 'journal', workflowId, step, text, toldBy },
    toldBy,
  );
}
