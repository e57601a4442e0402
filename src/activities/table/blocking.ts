import type { ClusterConfig } from '../../domain/config.js';
import { undoHooksOf } from '../../domain/plan/hooks.js';
import { type BlockingPlan, isHoldPlan } from '../../domain/table/hold.js';
import type { RepairBinding } from '../../domain/table/repair.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { type FrozenTable, openFrozenTables } from '../../records/frozen-tables.js';
import { openHostState } from '../../records/host-state.js';
import type { ClusterContext } from '../cluster-context.js';
import { configuredTable } from './invariants.js';

interface TableOfDatabase {
  readonly database: string;
  readonly table: TableName;
}

export type Blocking = Pick<BlockingPlan['binding'], 'freeze' | 'hooks' | 'undoHooks'>;

/** How the configuration keeps others from writing to a table. */
export function blockingOf(cluster: ClusterConfig, { database, table }: TableOfDatabase): Blocking {
  const found = configuredTable(cluster, database, table);
  const hooks = found?.hooks ?? [];
  const undoHooks = undoHooksOf(hooks, cluster.hooks);
  return { freeze: found?.freeze ?? null, hooks, ...(undoHooks === undefined ? {} : { undoHooks }) };
}

/** What the configuration has follow the repair of a table. */
export function afterRepairOf(
  cluster: ClusterConfig,
  { database, table }: TableOfDatabase,
): Pick<RepairBinding, 'signOff' | 'watchSeconds'> {
  const { signOff, watchSeconds } = configuredTable(cluster, database, table) ?? {};
  return { ...(signOff === undefined ? {} : { signOff }), ...(watchSeconds === undefined ? {} : { watchSeconds }) };
}

/** Holds of this host that keep a table frozen now. */
export async function holdsOf(
  { host, cluster }: ClusterContext,
  { database, table }: TableOfDatabase,
): Promise<readonly FrozenTable[]> {
  const frozen = (await openFrozenTables(host.stateDir).all()).filter(
    (one) =>
      one.cluster === cluster.name &&
      one.database === database &&
      formatTableName(one.table) === formatTableName(table),
  );
  if (frozen.length === 0) return [];
  const holds = new Set(
    (await openHostState(host.stateDir).openPlans())
      .filter((plan) => isHoldPlan(plan))
      .map(({ binding }) => binding.operationId),
  );
  return frozen.filter(({ operationId }) => holds.has(operationId));
}
