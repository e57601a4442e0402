import pg from 'pg';
import type { TableCount } from '../../domain/backup/backup.js';
import type { ConnectionConfig } from '../../domain/config.js';
import type { Progress } from '../../domain/operation/progress.js';
import { withClient } from '../connection/with-client.js';
import { sqlState } from '../connection/database-errors.js';
import { inSnapshot, released } from '../connection/snapshot.js';

/** Tables of one statement: few enough that its plan stays small, many enough that 100,000 tables take minutes. */
const BATCH = 100;
const UNDEFINED_TABLE = '42P01';
const UNDEFINED_SCHEMA = '3F000';

interface TableName {
  readonly schema: string;
  readonly table: string;
}

/**
 * Exact rows of every ordinary table of the connected database, all as of one snapshot: that of the transaction the
 * client is in, or one of its own. Of a partitioned table the leaves are counted; foreign tables, views, extensions' and
 * other sessions' temporary tables are not. A table dropped meanwhile is left out.
 * @param database name that the counts bear.
 * @throws where row security would hide rows: a count must not be too low unnoticed.
 */
export async function countTables(
  client: pg.Client,
  database: string,
  report?: (progress: Progress) => void,
): Promise<TableCount[]> {
  return inSnapshot(client, async () => {
    const counts: TableCount[] = [];
    const names = await listTables(client);
    for (let start = 0; start < names.length; start += BATCH) {
      const counted = await countBatch(client, names.slice(start, start + BATCH));
      counts.push(...counted.map((one) => ({ database, ...one })));
      report?.({ phase: `counting the rows of ${database}`, done: counts.length, total: names.length, unit: 'tables' });
    }
    return counts;
  });
}

/** The same of several databases, one after the other: as they are close to a physical backup, which has no snapshot to count in. */
export async function countDatabases(
  connection: ConnectionConfig,
  databases: readonly string[],
  { signal, report }: { readonly signal: AbortSignal; readonly report: (progress: Progress) => void },
): Promise<TableCount[]> {
  const counts: TableCount[] = [];
  for (const database of databases) {
    signal.throwIfAborted();
    counts.push(...(await withClient(connection, database, (client) => countTables(client, database, report))));
  }
  return counts;
}

async function listTables(client: pg.Client): Promise<TableName[]> {
  const { rows } = await client.query<TableName>(`
    SELECT n.nspname::text AS schema, c.relname::text AS "table"
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY 1, 2`);
  return rows;
}

async function countBatch(client: pg.Client, names: readonly TableName[]): Promise<(TableName & { rows: number })[]> {
  const statement = names
    .map(
      ({ schema, table }, index) =>
        `SELECT ${index} AS i, count(*) AS n FROM ONLY ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`,
    )
    .join(' UNION ALL ');
  try {
    const { rows } = await released(client, () => client.query<{ i: number; n: string }>(statement));
    const counted = new Map(rows.map(({ i, n }) => [i, Number(n)]));
    return names.map((name, index) => ({ ...name, rows: counted.get(index) ?? 0 }));
  } catch (error) {
    const dropped = [UNDEFINED_TABLE, UNDEFINED_SCHEMA].includes(sqlState(error) ?? '');
    if (!dropped) throw error;
    if (names.length === 1) return [];
    const counts = [];
    for (const name of names) counts.push(...(await countBatch(client, [name])));
    return counts;
  }
}
