import type { ConnectionConfig } from '../../domain/config.js';
import { type ComparisonOrder, comparisonOrder } from '../../domain/operation/orders.js';
import type { TableComparison } from '../../domain/table/compare.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { compareTables } from '../../postgres/compare/compare-tables.js';
import type { TreeStore } from '../../postgres/compare/comparison.js';
import { readLeafTree } from '../../postgres/compare/leaf-tree.js';
import { mayReadTable } from '../../postgres/compare/may-read.js';
import { withClient } from '../../postgres/connection/with-client.js';
import {
  keepComparedRows,
  keepTree,
  keptUntil,
  readTree,
  removeOldComparisons,
} from '../../records/compared-tables.js';
import type { InstanceContent } from '../../records/temporary-instances.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { InstanceStep, TableActivities } from '../api.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { readableInstance } from '../temporary/temporary-instance.js';

export function comparingActivities(deps: HostDependencies): Pick<TableActivities, 'compareTable'> {
  return {
    compareTable: wrapActivity(
      'compareTable',
      withOrder(comparisonOrder, async (step: Step, run) =>
        compareTable(await openClusterContext(deps, step.cluster), step, run),
      ),
    ),
  };
}

type Step = InstanceStep & { readonly order: ComparisonOrder };

async function compareTable(clusterContext: ClusterContext, step: Step, run: ActivityRun): Promise<TableComparison> {
  const { cluster, host } = clusterContext;
  const { order } = step;
  const { database, table, key, columns, scope, by } = order;
  const { connection, content } = await readableInstance(clusterContext, step, order, run);
  const good = await readerOf(connection, order, cluster.checksRole);
  const production = await readerOf(cluster.connection, order, cluster.checksRole);
  const compared = await withClient(good, database, (left) =>
    withClient(production, database, (right) =>
      compareTables({
        ...{ left, right, table, key, columns, scope, by, sampleLimit: order.samples },
        leftTree: treesOf(host.stateDir, content, order),
        signal: run.signal,
        report: ({ phase, done, total }) => run.report({ phase, done, ...(total > 0 ? { total } : {}), unit: 'steps' }),
      }),
    ),
  );
  const { samples, breakdown, ...told } = compared;
  const now = new Date();
  await removeOldComparisons(host.stateDir, now);
  const until = keptUntil(now);
  const file = await keepComparedRows(host.stateDir, {
    ...{ operationId: step.operationId, until, key: told.key, columns: told.columns, samples, breakdown },
  });
  return { database, table, ...told, file, fileUntil: until };
}

/**
 * As whom one side is read: the role of checks where it may read the table, so that the server can hash for it; else the role of the
 * connection. As a superuser the table is copied out, and nothing of its owner's runs.
 */
async function readerOf(
  connection: ConnectionConfig,
  { database, table }: ComparisonOrder,
  checksRole: string | undefined,
): Promise<ConnectionConfig> {
  if (checksRole === undefined || checksRole === connection.user) return connection;
  const may = await withClient(connection, database, (client) => mayReadTable(client, checksRole, table));
  return may ? { ...connection, user: checksRole } : connection;
}

/** What a restore leads to never changes; its tree is used again by the next comparison of that table. */
function treesOf(stateDir: string, { restore }: InstanceContent, { database, table }: ComparisonOrder): TreeStore {
  const { backups, recovery } = restore;
  const of = (terms: string): string =>
    canonicalJson({
      ...{ backups: backups.map(({ id, content }) => ({ id, content })), recovery: recovery ?? null },
      ...{ database, table, terms },
    });
  return {
    read: async (terms) => {
      const bytes = await readTree(stateDir, of(terms));
      return bytes === null ? null : readLeafTree(bytes);
    },
    write: (terms, tree) => keepTree(stateDir, of(terms), tree.toBytes()),
  };
}
