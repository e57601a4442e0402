import { RepriseError } from '../../domain/errors.js';
import { countLine } from '../../domain/table/counts.js';
import { abnormalChange } from '../../domain/table/history.js';
import { isBlockingPlan } from '../../domain/table/hold.js';
import type { TableCount } from '../../domain/table/repair.js';
import type { TableName } from '../../domain/table/table-name.js';
import { clipBytes, visible } from '../../domain/text/text.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';
import { rowsIn } from './repair-session.js';

/** In the host's ledger, numbered from 1. */
const COUNTED = 'rows counted';
/** The count that later ones are compared with. */
export const AFTER_REPAIR = 'the repair';

/** The rows of the table of an operation as they were counted, in order. */
export async function countsOfTable(
  state: HostState,
  { operationId, plan }: Pick<PlannedStep, 'operationId' | 'plan'>,
): Promise<readonly TableCount[]> {
  const counts: TableCount[] = [];
  for (;;) {
    const next = await state.onceDone<TableCount>(operationId, `${COUNTED} ${counts.length + 1}`, plan);
    if (next === null) return counts;
    counts.push(next.result);
  }
}

/** Counts the rows of the table of a plan, once for each `after`: it is kept on the host and stands in the journal. */
export async function countTableOf(
  clusterContext: ClusterContext,
  step: PlannedStep & { readonly after: string },
): Promise<TableCount> {
  const { cluster, host } = clusterContext;
  const state = openHostState(host.stateDir);
  const { database, table } = await tableOf(state, step.plan);
  const counts = await countsOfTable(state, step);
  // What a workflow says; it stands in the journal and the report.
  const after = visible(clipBytes(step.after, 200));
  const earlier = counts.find((one) => one.after === after);
  if (earlier !== undefined) return earlier;
  const rows = await withClient(cluster.connection, database, (client) => rowsIn(client, table));
  const base = counts.find((one) => one.after === AFTER_REPAIR) ?? counts[0];
  const isRepair = after === AFTER_REPAIR;
  const count: TableCount = {
    ...{ after, at: new Date().toISOString(), rows },
    ...{ change: base === undefined ? null : rows - base.rows, since: base?.after ?? null },
    // What the repair itself changes is approved.
    suspicion: base === undefined || isRepair ? null : abnormalChange(rows, base.rows),
  };
  await state.recordDone(step.operationId, `${COUNTED} ${counts.length + 1}`, count, step.plan);
  const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'rows', text: countLine(count) };
  await record(clusterContext, step, `rows/${step.plan}/${counts.length + 1}`, body);
  return count;
}

/** @throws RepriseError `plan-unknown` */
async function tableOf(state: HostState, digest: string): Promise<{ database: string; table: TableName }> {
  const plan = await state.readPlan(digest);
  if (plan !== null && isBlockingPlan(plan)) return plan.binding.order;
  throw new RepriseError(
    'plan-unknown',
    `plan ${digest.slice(0, 12)} is no plan of this host for a table`,
    'start the operation again, with its own command',
  );
}
