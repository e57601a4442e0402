import { RepriseError } from '../domain/errors.js';
import { isClosedStatus, OPEN_EXECUTIONS } from '../domain/operation/executions.js';
import { holdWorkflowId, queryNames, updateNames, workflowTypes } from '../domain/operation/names.js';
import type { Rejection } from '../domain/plan/plan.js';
import type { HeldTable } from '../domain/table/hold.js';
import { formatTableName, type TableName } from '../domain/table/table-name.js';
import type { HoldView } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { update } from './decide.js';

/** A workflow that keeps a table frozen, or waits for the approval of that. */
export interface Hold extends HeldTable {
  readonly workflowId: string;
  readonly cluster: string;
}

const QUERY_MS = 10_000;
/** Others may have the table when it is opened, and hooks take their time. */
const RELEASE_MS = 3_600_000;
const LIST = 'see which tables are frozen: reprise status';

/** How it is now, as its workflow says. */
export function heldBy(session: TemporalSession, workflowId: string): Promise<HoldView> {
  const handle = session.client.workflow.getHandle(workflowId);
  return session.connection.withDeadline(Date.now() + QUERY_MS, () => handle.query<HoldView>(queryNames.held));
}

/**
 * What keeps a table frozen; where nothing does yet, what is to.
 * @throws RepriseError `not-found`
 */
export async function holdsOfTable(
  session: TemporalSession,
  { cluster, database, table }: { readonly cluster: string; readonly database: string; readonly table: TableName },
): Promise<readonly Hold[]> {
  const found: Hold[] = [];
  const prefix = holdWorkflowId(cluster, '');
  const query = `WorkflowType = '${workflowTypes.holdTable}' AND ${OPEN_EXECUTIONS}`;
  for await (const { workflowId, memo } of session.client.workflow.list({ query })) {
    const { held } = (memo ?? {}) as { held?: HeldTable };
    if (!workflowId.startsWith(prefix) || held?.database !== database) continue;
    if (formatTableName(held.table) === formatTableName(table)) found.push({ ...held, workflowId, cluster });
  }
  if (found.length === 0)
    throw new RepriseError('not-found', `nothing keeps ${formatTableName(table)} of ${cluster} frozen`, LIST);
  const frozen = found.filter(({ since }) => since !== null);
  return frozen.length > 0 ? frozen : found;
}

/** @throws RepriseError `not-found`; `conflict` for one that has ended */
export async function holdNamed(session: TemporalSession, workflowId: string): Promise<Hold> {
  const described = await session.client.workflow
    .getHandle(workflowId)
    .describe()
    .catch((error: unknown) => {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
      throw error;
    });
  const { held } = (described?.memo ?? {}) as { held?: HeldTable };
  if (described === null || held === undefined || !workflowId.startsWith(holdWorkflowId('', '').slice(0, -1)))
    throw new RepriseError('not-found', `there is no workflow "${workflowId}" that keeps a table frozen`, LIST);
  if (isClosedStatus(described.status.name))
    throw new RepriseError('conflict', `${workflowId} has ended: it keeps no table frozen`, LIST);
  return { ...held, workflowId, cluster: workflowId.split('/')[1] ?? '' };
}

/** Answers when the table takes writes again. @throws why it could not be opened */
export async function releaseHold(
  session: TemporalSession,
  { workflowId }: Pick<Hold, 'workflowId'>,
  person: Rejection,
): Promise<void> {
  await update(session, workflowId, updateNames.releaseTable, person, RELEASE_MS);
}
