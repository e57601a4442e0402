import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { type LocateOrder, locateOrder } from '../../domain/operation/orders.js';
import type { TableState } from '../../domain/table/locate.js';
import { hasRows, hasValue } from '../../postgres/content/table-condition.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { InstanceStep, LocateActivities, OrderedStep } from '../api.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { readableInstance } from '../temporary/temporary-instance.js';
import { askInvariant, invariantNamed } from './invariants.js';
import { planLocate } from './locate-plan.js';
import { type CommitsStep, findCommits } from './table-commits.js';

type Step = OrderedStep<LocateOrder>;
type Probe = InstanceStep & { readonly order: LocateOrder };

/** The search for the newest coherent state of a table. */
export function locateActivities(deps: HostDependencies): LocateActivities {
  return {
    planLocate: wrapActivity(
      'planLocate',
      withOrder(locateOrder, async ({ cluster, order }: Step, run) => {
        const clusterContext = await openClusterContext(deps, cluster);
        const look = () => productionState(clusterContext, order);
        return planLocate(clusterContext, order, run, look);
      }),
    ),
    probeTable: wrapActivity(
      'probeTable',
      withOrder(locateOrder, async (step: Probe, run) =>
        probeTable(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
    findCommits: wrapActivity(
      'findCommits',
      withOrder(locateOrder, async (step: CommitsStep, run) =>
        findCommits(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
  };
}

async function probeTable(clusterContext: ClusterContext, step: Probe, run: ActivityRun): Promise<TableState> {
  const { database, table, condition } = step.order;
  return orAbsent(async () => {
    // A query may read other tables too.
    const read = { database, table: condition.kind === 'invariant' ? null : table };
    const { connection } = await readableInstance(clusterContext, step, read, run);
    return stateOf(clusterContext, connection, step.order);
  });
}

/** A database or a table that was dropped is a state too; what a query names beside the table has to be there. */
async function productionState(clusterContext: ClusterContext, order: LocateOrder): Promise<TableState> {
  const { connection } = clusterContext.cluster;
  if (order.condition.kind !== 'invariant') return stateOf(clusterContext, connection, order);
  return orAbsent(() => stateOf(clusterContext, connection, order));
}

/**
 * What was not there at that instant is a state like others: the column, or what a query of the configuration names. Production tells
 * whether it is a slip.
 */
async function orAbsent(look: () => Promise<TableState>): Promise<TableState> {
  try {
    return await look();
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    const isSchema = UNDEFINED.includes(String(error.details['sqlState']));
    if (!isSchema && error.code !== 'usage') throw error;
    return { holds: false, absent: true, figure: isSchema ? 'what it asks about is not there' : error.message };
  }
}

/** SQLSTATEs of a database, a schema, a table, a column and a function that are not there. */
const UNDEFINED: readonly string[] = ['3D000', '3F000', '42P01', '42703', '42883'];

async function stateOf(
  { cluster }: ClusterContext,
  connection: ConnectionConfig,
  { database, table, condition }: LocateOrder,
): Promise<TableState> {
  switch (condition.kind) {
    case 'min-rows':
      return hasRows(connection, database, table, condition.rows);
    case 'key':
      return hasValue(connection, database, table, condition);
    case 'invariant':
      return askInvariant(connection, cluster, database, invariantNamed(cluster, database, table, condition.name));
  }
}
