import { RepriseError } from '../domain/errors.js';
import { OPEN_EXECUTIONS } from '../domain/operation/executions.js';
import type { IncidentLine } from '../domain/operation/inspections.js';
import { updateNames, workflowTypes } from '../domain/operation/names.js';
import type { RecoveryOrder, RepairOrder } from '../domain/operation/orders.js';
import type { ChosenRepair } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { update } from './decide.js';
import type { StartedOperation } from './start.js';

/**
 * Workflow id of an open incident; its last part is enough.
 * @throws `not-found`, `conflict` where several end so.
 */
export async function findIncident(session: TemporalSession, given: string): Promise<string> {
  if (given.startsWith('incident/')) return given;
  const query = `WorkflowType = '${workflowTypes.incident}' AND ${OPEN_EXECUTIONS}`;
  const found: string[] = [];
  for await (const { workflowId } of session.client.workflow.list({ query })) {
    if (workflowId.endsWith(`/${given}`)) found.push(workflowId);
  }
  const [first, second] = found;
  if (first === undefined)
    throw new RepriseError('not-found', `no open incident is called ${given}`, 'see `reprise incident list`');
  if (second !== undefined)
    throw new RepriseError('conflict', `${given} is ambiguous: ${found.join(' or ')}`, 'write the whole id');
  return first;
}

/** Incidents as they are: one that was terminated, cancelled or failed has not recorded that it ended. */
export async function withUnrecordedEnds(
  session: TemporalSession,
  incidents: readonly IncidentLine[],
): Promise<readonly IncidentLine[]> {
  const found: IncidentLine[] = [];
  for (const one of incidents) {
    const ended = one.closedAt === null ? await endedAs(session, one.id) : null;
    found.push(ended === null ? one : { ...one, state: ended });
  }
  return found;
}

const ENDS: Readonly<Record<string, string>> = {
  TERMINATED: 'terminated',
  CANCELLED: 'cancelled',
  FAILED: 'failed',
  TIMED_OUT: 'failed',
};

/**
 * Null: it goes on, or has said itself how it ended; or a server whose history is new does not know it, as after a loss of Temporal's
 * database: then the records alone say what there was.
 */
async function endedAs(session: TemporalSession, workflowId: string): Promise<string | null> {
  try {
    const { status } = await session.client.workflow.getHandle(workflowId).describe();
    return ENDS[status.name] ?? null;
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
    throw error;
  }
}

/**
 * The same of an incident of this cluster.
 * @throws RepriseError `usage` for one of another cluster
 */
export async function findIncidentOf(session: TemporalSession, cluster: string, given: string): Promise<string> {
  const incident = await findIncident(session, given);
  if (incident.split('/')[1] === cluster) return incident;
  throw new RepriseError('usage', `${incident} is not an incident of ${cluster}`, 'see `reprise incident list`');
}

/**
 * Has an incident of a migration start the recovery that a person chose.
 * @throws RepriseError `usage` for what is not about its database; `conflict` while something else runs
 */
export function chooseRecovery(
  session: TemporalSession,
  incident: string,
  choice: { readonly by: string; readonly order: RecoveryOrder },
): Promise<StartedOperation> {
  return choose(session, incident, updateNames.chooseRecovery, choice);
}

/**
 * Has an incident of a table start the repair that a person chose.
 * @throws RepriseError `usage` for a repair of another table; `conflict` while it has one already
 */
export function chooseRepair(
  session: TemporalSession,
  incident: string,
  choice: { readonly by: string; readonly order: RepairOrder },
): Promise<StartedOperation> {
  return choose(session, incident, updateNames.chooseRepair, choice);
}

async function choose(
  session: TemporalSession,
  incident: string,
  name: string,
  choice: { readonly by: string; readonly order: object },
): Promise<StartedOperation> {
  const { workflowId, operationId } = await update<ChosenRepair>(session, incident, name, choice);
  return { workflowId, operationId, handle: session.client.workflow.getHandle(workflowId) };
}
