import { isRepriseError } from '../../domain/errors.js';
import { type BelongsTo, isTable, tableHistory, type TableHistoryLine } from '../../domain/table/history.js';
import type { TableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { rootsInDatabase } from '../../postgres/content/inventory.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, currentBackups } from '../cluster-context.js';

/** Rows of a table in each backup, as the records have them. */
export async function historyOf(
  clusterContext: ClusterContext,
  database: string,
  table: TableName,
  run: ActivityRun,
): Promise<readonly TableHistoryLine[]> {
  const backups = await currentBackups(clusterContext, run);
  return tableHistory(backups, database, await rowsOf(clusterContext, database, table));
}

/** Backups count the partitions of a table; which ones are its own says the server, where it answers. */
export async function rowsOf({ cluster }: ClusterContext, database: string, table: TableName): Promise<BelongsTo> {
  const own = isTable(table);
  try {
    const rootOf = await withClient(cluster.connection, database, rootsInDatabase);
    return (counted) => own(counted) || own(rootOf({ schema: counted.schema, table: counted.table }));
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return own;
  }
}
