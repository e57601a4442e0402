import { Context } from '@temporalio/activity';
import { RepriseError } from '../../domain/errors.js';
import { isPlainName } from '../../files/safe-names.js';
import { openHostState } from '../../records/host-state.js';
import { type OperationClaim, openOperationLedger } from '../../records/operation-ledger.js';
import { callingWorkflow } from '../activity-wrapper.js';
import type { StepInput } from '../api.js';
import type { ClusterContext } from '../cluster-context.js';
import { failingSince } from '../inspection/failing.js';

type Named = Pick<StepInput, 'operationId' | 'workflowId'>;

/** Ids that schedules make hold the workflow's id and the time; nothing in one may leave a directory. */
const OPERATION_ID = /^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9@._:/-]*$/;
const LONGEST_ID = 300;

/**
 * The first step of an operation takes its id for the workflow that called, as the Temporal server names it. An id is
 * used once: one that another workflow has, or an earlier execution, would find that one's results and do nothing.
 * @throws RepriseError `conflict` for an id that is taken; `usage` for what is none
 */
export async function claimOperation({ host, cluster }: ClusterContext, { operationId }: Named): Promise<void> {
  if (operationId.length > LONGEST_ID || !OPERATION_ID.test(operationId)) throw noOperationId(operationId);
  const workflowId = callingWorkflow();
  if (workflowId === undefined) return;
  const ledger = openOperationLedger(host.stateDir);
  const mine: OperationClaim = {
    operationId,
    cluster: cluster.name,
    workflowId,
    firstRunId: await firstRunId(),
    at: new Date().toISOString(),
    failingSince: await failingSince(host.stateDir, cluster.name),
  };
  const owner = await ledger.claim(mine);
  if (owner.cluster !== mine.cluster || owner.workflowId !== workflowId || owner.firstRunId !== mine.firstRunId)
    throw taken(operationId, `belongs to ${owner.workflowId ?? 'a step without a workflow'}, begun ${owner.at}`);
}

/**
 * The same for an operation that makes a plan: its id names files, and it is not one that has ended, because the results
 * of its steps would be taken for those of the new plan.
 * @throws RepriseError `conflict`, `usage`
 */
export async function claimPlanned(clusterContext: ClusterContext, step: Named): Promise<void> {
  const { operationId } = step;
  if (!isPlainName(operationId, 100)) throw noOperationId(operationId);
  const { host, catalogue } = clusterContext;
  const ledger = openOperationLedger(host.stateDir);
  const hasOutcome = (await catalogue.state()).outcomes.has(operationId);
  if (hasOutcome || (await ledger.hasEnded(operationId))) throw taken(operationId, 'has ended');
  const state = openHostState(host.stateDir);
  // Plans from before operations were claimed: a closed one is the end of its operation.
  if ((await ledger.claimOf(operationId)) === null) {
    for (const plan of await state.plans())
      if (plan.binding.operationId === operationId && (await state.isClosed(plan.digest)))
        throw taken(operationId, 'has a closed plan');
  }
  await claimOperation(clusterContext, step);
}

/**
 * Every later step: only the workflow that the operation belongs to may call it. What the input says of its workflow is
 * asserted, and counts only for plans from before operations were claimed.
 * @throws RepriseError `approval-refused`
 */
export async function requireOwnOperation({ host, cluster }: ClusterContext, step: Named): Promise<void> {
  const caller = callingWorkflow();
  if (caller === undefined) return;
  const { operationId } = step;
  const owner = await openOperationLedger(host.stateDir).claimOf(operationId);
  // As all ids of workflows that make plans end.
  const own = `/${cluster.name}/${operationId}`;
  const isOwn = owner
    ? owner.cluster === cluster.name && owner.workflowId === caller
    : step.workflowId.endsWith(own) || caller?.endsWith(own) === true;
  if (isOwn) return;
  throw new RepriseError(
    'approval-refused',
    `${caller ?? 'a step without a workflow'} may not act for operation ${operationId}, which belongs to ${owner?.workflowId ?? `a workflow whose id ends in ${own}`}`,
    'steps are called by the workflow of their operation; to end an operation: reprise reject, or the Temporal Web UI',
  );
}

/** Execution that the calling workflow's run descends from: the same after a Reset, another when it is started again. */
async function firstRunId(): Promise<string | null> {
  const { info } = Context.current();
  if (!info.workflowExecution) return null;
  const { workflowId, runId } = info.workflowExecution;
  const client = clientOfActivity();
  if (client === null) return runId;
  try {
    const { raw } = await client.workflow.getHandle(workflowId, runId).describe();
    return raw.workflowExecutionInfo?.firstRunId || runId;
  } catch (error) {
    throw new RepriseError(
      'temporal-unreachable',
      `Temporal did not say which execution of ${workflowId} asks: ${String(error)}`,
      'the step is retried',
    );
  }
}

/** Absent where an activity runs without a worker. */
function clientOfActivity() {
  try {
    return Context.current().client;
  } catch {
    return null;
  }
}

function noOperationId(operationId: string): RepriseError {
  return new RepriseError(
    'usage',
    `${JSON.stringify(operationId.slice(0, 80))} is no operation id`,
    'start operations with the command line: it makes the id',
  );
}

function taken(operationId: string, why: string): RepriseError {
  return new RepriseError(
    'conflict',
    `operation id ${operationId} ${why}: an id is used once`,
    'start the operation again with an id of its own: the command line makes one',
  );
}
