import { isRepriseError } from '../../domain/errors.js';
import {
  type BelongsTo,
  isTable,
  newSuspicions,
  SUSPICION,
  tableHistory,
  type TableHistoryLine,
  type TableSuspicion,
} from '../../domain/table/history.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { rootsInDatabase } from '../../postgres/content/inventory.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { HostActivities } from '../api.js';
import { type ClusterContext, currentBackups, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { configuredTable } from '../table/invariants.js';

/** Rows of a table in each backup, as the records have them. */
export async function historyOf(
  clusterContext: ClusterContext,
  database: string,
  table: TableName,
  run: ActivityRun,
): Promise<readonly TableHistoryLine[]> {
  const backups = await currentBackups(clusterContext, run);
  const rule = configuredTable(clusterContext.cluster, database, table)?.suspect;
  return tableHistory(backups, database, await rowsOf(clusterContext, database, table), rule);
}

/** Backups count the partitions of a table; which ones are its own says the server, where it answers. */
export async function rowsOf(clusterContext: ClusterContext, database: string, table: TableName): Promise<BelongsTo> {
  const own = isTable(table);
  const rootOf = await rootsOf(clusterContext, database);
  return (counted) => own(counted) || own(rootOf({ schema: counted.schema, table: counted.table }));
}

/** Where the server does not answer each partition is a table of its own. */
async function rootsOf({ cluster }: ClusterContext, database: string): Promise<(table: TableName) => TableName> {
  try {
    return await withClient(cluster.connection, database, rootsInDatabase);
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return (table) => table;
  }
}

/** So many tables are named to people and kept in histories. */
const TOLD_TABLES = 20;

/** What is suspicious of the rows of tables in backups that were just made; the journal has it. */
export function suspicionActivities(deps: HostDependencies): Pick<HostActivities, 'suspectTables'> {
  return {
    suspectTables: wrapActivity('suspectTables', async ({ backupIds, ...step }, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const found = await suspicionsOf(clusterContext, backupIds, run);
      const tables = found.slice(0, TOLD_TABLES);
      for (const { database, table, backupId, text } of tables) {
        const named = `${formatTableName(table)} of ${database}`;
        await record(clusterContext, step, `suspicion/${backupId}/${named}`, {
          ...{ kind: 'journal', workflowId: step.workflowId, step: 'suspicion', text: `${named}: ${text}` },
        });
      }
      return { tables, more: found.length - tables.length };
    }),
  };
}

async function suspicionsOf(
  clusterContext: ClusterContext,
  backupIds: readonly string[],
  run: ActivityRun,
): Promise<readonly TableSuspicion[]> {
  const backups = await currentBackups(clusterContext, run);
  const made = backups.filter(({ id }) => backupIds.includes(id));
  const databases = new Set(made.flatMap(({ contents = [] }) => contents.map(({ database }) => database)));
  const roots = new Map<string, (table: TableName) => TableName>();
  for (const database of databases) roots.set(database, await rootsOf(clusterContext, database));
  return newSuspicions(backups, backupIds, {
    rootOf: (database, table) => roots.get(database)?.(table) ?? table,
    ruleOf: (database, table) => {
      const configured = configuredTable(clusterContext.cluster, database, table);
      if (configured?.suspect === null) return null;
      return { rule: configured?.suspect ?? SUSPICION, watched: configured !== undefined };
    },
  });
}
