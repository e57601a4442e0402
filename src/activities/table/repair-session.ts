import { serverFacts } from '../../postgres/server/server-facts.js';
import { countTable } from '../../postgres/content/copy-rows.js';
import type { TableName } from '../../domain/table/table-name.js';
import { RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import {
  type AppliedChanges,
  type ChangeCounts,
  isRepairPlan,
  type RepairPlan,
  type RowChange,
} from '../../domain/table/repair.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import type { ReadChangeSet } from '../../postgres/repair/change-set-file.js';
import { closeRepairLogin, openRepairLogin, type RepairLogin } from '../../postgres/repair/repair-login.js';
import { readTableFacts, type TableFacts } from '../../postgres/repair/table-facts.js';
import { crashPoint } from '../../process/jobs/crash-points.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import { openRepairFiles } from '../../records/repair-files.js';
import type { ClusterContext } from '../cluster-context.js';
import type pg from 'pg';

/** In the host's ledger: what was carried out. */
export const APPLIED = 'repair-applied';

/** In the host's ledger: the report of a repair that has come to its end. */
export const OUTCOME = 'repair-outcome';

/** In the host's ledger: when the rows began to be changed. */
export const STARTED = 'repair-started';

/** What was carried out, for the report and for who takes it back. */
export interface Applied extends AppliedChanges {
  readonly plan: string;
}

/** What was done, in numbers; what was left out counts as a conflict. */
export const countsOf = ({ insert, update, delete: removed, left }: AppliedChanges): ChangeCounts => ({
  ...{ insert, update, delete: removed, conflicts: left.length },
});

/** What a plan of an operation has done to its end; null: nothing, or not to its end. */
export async function appliedBy(state: HostState, operationId: string, plan: string): Promise<Applied | null> {
  const done = await state.onceDone<Applied>(operationId, APPLIED, plan);
  // Without one of its own, the record of another plan is found.
  return done?.result.plan === plan ? done.result : null;
}

/** With a session that has no more rights than the owner of the table; `watcher` is another one, which sees all sessions. */
export async function asRepair<T>(
  { cluster }: ClusterContext,
  { database, table }: RepairOrder,
  operationId: string,
  facts: TableFacts,
  use: (client: pg.Client, watcher: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(cluster.connection, database, async (superuser) => {
    const login: RepairLogin = await openRepairLogin(superuser, cluster.connection, { operationId, table }, facts);
    crashPoint('repair:login');
    try {
      return await withClient(login.connection, database, (client) => use(client, superuser), login.options);
    } finally {
      await closeRepairLogin(superuser, operationId);
    }
  });
}

/** @throws RepriseError `plan-unknown` */
export async function repairPlanOf({ host }: ClusterContext, digest: string): Promise<RepairPlan> {
  const plan = await openHostState(host.stateDir).readPlan(digest);
  if (plan !== null && isRepairPlan(plan)) return plan;
  throw new RepriseError(
    'plan-unknown',
    `plan ${digest.slice(0, 12)} is no plan of this host for a repair`,
    'start the repair again: reprise table repair',
  );
}

export async function opened(clusterContext: ClusterContext, digest: string, operationId: string) {
  const { cluster, host } = clusterContext;
  const plan = await repairPlanOf(clusterContext, digest);
  const { order } = plan.binding;
  const facts = await withClient(cluster.connection, order.database, (client) => readTableFacts(client, order.table));
  return { plan, binding: plan.binding, facts, files: await openRepairFiles(host.stateDir, operationId) };
}

export async function* changesOnly(changes: ReadChangeSet): AsyncGenerator<RowChange> {
  for await (const entry of changes.entries()) if (entry.op !== 'conflict') yield entry;
}

export async function systemIdentifierOf({ cluster: { connection } }: ClusterContext): Promise<string> {
  return (await withMaintenance(connection, serverFacts)).systemIdentifier;
}

/** @throws RepriseError `identity-mismatch` where another cluster answers than when the plan was made */
export async function requireSameCluster(
  clusterContext: ClusterContext,
  { systemIdentifier }: { readonly systemIdentifier: string },
): Promise<void> {
  if ((await systemIdentifierOf(clusterContext)) === systemIdentifier) return;
  throw new RepriseError(
    'identity-mismatch',
    `${clusterContext.cluster.name} is another cluster than the plan was made for`,
    'make a new plan',
  );
}

/** Rows of a table: an ordinary one without its children, a partitioned one with its partitions. */
export async function rowsIn(client: pg.Client, table: TableName): Promise<number> {
  return (await rowsIfThere(client, table)) ?? 0;
}

/** The same; null where it is no table. */
export async function rowsIfThere(client: pg.Client, { schema, table }: TableName): Promise<number | null> {
  return (await countTable(client, schema, table, false)) ?? (await countTable(client, schema, table, true));
}
