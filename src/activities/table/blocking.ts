import type { ClusterConfig } from '../../domain/config.js';
import { holdWorkflowId } from '../../domain/operation/names.js';
import { undoHooksOf } from '../../domain/plan/hooks.js';
import { type BlockingPlan, type HoldPlan, isHoldPlan } from '../../domain/table/hold.js';
import type { RepairBinding } from '../../domain/table/repair.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { openFrozenTables } from '../../records/frozen-tables.js';
import { openHostState } from '../../records/host-state.js';
import { openRunHooks } from '../../records/run-hooks.js';
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

/** A hold of this host that keeps a table from being written now. */
export interface ActiveHold {
  readonly workflowId: string;
  /** UTC ISO-8601. */
  readonly since: string;
  /** When it is over by itself, UTC ISO-8601; null: when somebody releases it. */
  readonly until: string | null;
}

/** Those of a table. */
export async function holdsOf(
  { host, cluster }: ClusterContext,
  { database, table }: TableOfDatabase,
): Promise<readonly ActiveHold[]> {
  const name = formatTableName(table);
  const plans = (await openHostState(host.stateDir).openPlans()).filter((plan) => isHoldPlan(plan));
  const found: ActiveHold[] = [];
  for (const { binding } of plans) {
    const { operationId, order } = binding;
    if (binding.cluster !== cluster.name || order.database !== database || formatTableName(order.table) !== name)
      continue;
    const blocked = await blockedSince(host.stateDir, binding);
    if (blocked !== null) found.push({ workflowId: holdWorkflowId(cluster.name, operationId), ...blocked });
  }
  return found;
}

/** Since when a hold keeps its table from being written, or has stopped batches where it blocks no writes; null: it does not, or no longer. */
export async function blockedSince(
  stateDir: string,
  { operationId, freeze }: Pick<HoldPlan['binding'], 'operationId' | 'freeze'>,
): Promise<Pick<ActiveHold, 'since' | 'until'> | null> {
  const frozen = await openFrozenTables(stateDir).of(operationId);
  const hook = (await openRunHooks(stateDir).all()).find((one) => one.operationId === operationId);
  const since = freeze === null ? hook?.at : frozen?.at;
  return since === undefined || frozen?.opening === true ? null : { since, until: frozen?.until ?? null };
}

/** How a repair blocks writes: not at all where a hold does already, which goes on when the repair has ended. */
export async function blockingOfRepair(
  clusterContext: ClusterContext,
  order: TableOfDatabase,
): Promise<{ readonly blocking: Blocking; readonly holds: readonly ActiveHold[] }> {
  const holds = await holdsOf(clusterContext, order);
  const blocking = holds.length > 0 ? { freeze: null, hooks: [] } : blockingOf(clusterContext.cluster, order);
  return { blocking, holds };
}

/** Why a repair's plan no longer says how writes are blocked; null where it does. */
export async function otherBlocking(
  clusterContext: ClusterContext,
  { order, freeze, hooks, undoHooks }: Blocking & { readonly order: TableOfDatabase },
): Promise<string | null> {
  const { blocking, holds } = await blockingOfRepair(clusterContext, order);
  const planned = { freeze, hooks, ...(undoHooks === undefined ? {} : { undoHooks }) };
  if (canonicalJson(blocking) === canonicalJson(planned)) return null;
  const [hold] = holds;
  return hold === undefined ? 'the table is not kept frozen any more' : `${hold.workflowId} keeps the table frozen now`;
}
