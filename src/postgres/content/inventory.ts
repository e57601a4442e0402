import type pg from 'pg';
import type { TableCount } from '../../domain/backup/backup.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import { sqlState } from '../connection/database-errors.js';
import { inSnapshot, released } from '../connection/snapshot.js';
import { COUNTED_BY, countRows, TABLE_NAME } from './copy-rows.js';
import { databaseTextReader, inDatabaseBytes } from './encoding.js';
import { hashRows, SAME_TEXT } from './row-hash.js';
import { absentDatabases, invalidDatabases } from '../server/databases.js';

/** Tables whose locks are held together: few enough for the lock table, many enough that 100,000 tables take minutes. */
const BATCH = 100;
/** So long a lock is waited for that keeps the size of a table from being read. */
const SIZE_LOCK = '200ms';
/** What no other attempt makes good. */
const NO_COUNT: readonly string[] = ['privilege-missing', 'query-failed', 'query-timeout', 'lock-table-full'];
/** A lock is not to be had, files of a table that is dropped meanwhile are gone, or the time of a statement is over. */
const NO_SIZE: readonly string[] = ['55P03', '42P01', 'XX000', '58P01', '57014'];
const UNDEFINED_TABLE = '42P01';
const UNDEFINED_SCHEMA = '3F000';

export interface TableName {
  readonly schema: string;
  readonly table: string;
  /** As {@link COUNTED_BY} gives it. */
  readonly countedBy: string;
}

export interface ListedTable extends TableName {
  readonly oid: number;
  /** As {@link TABLE_NAME} gives it. */
  readonly name: string;
  readonly unlogged: boolean;
  /** A transaction without a session, so that nobody sees its end, holds it or one of its indexes exclusively. */
  readonly locked: boolean;
}

/** Relations whose rows belong to no backup's count. */
export interface RelationsApart {
  /** PostgreSQL writes no WAL for them: after a recovery from a physical backup they are empty. */
  readonly unlogged: number;
  /** Of sessions; in a restored copy what is left of their entries. */
  readonly temporary: number;
  /** Their rows are on other servers. */
  readonly foreign: number;
  /** A transaction that is prepared, or that was under way where the replay stopped, keeps everybody from reading them. */
  readonly locked: readonly Omit<TableName, 'countedBy'>[];
}

/** What is recorded of each table besides its rows. */
interface CountOptions {
  readonly hashes?: boolean;
  readonly sizes?: boolean;
}

/**
 * Exact rows of every ordinary table of the connected database, all as of one snapshot: that of the transaction the
 * client is in, or one of its own. No code of theirs runs for that, as {@link countRows} counts. Of a partitioned table the leaves are counted; foreign tables, views, extensions' and
 * other sessions' temporary tables are not. A table dropped meanwhile is left out, and so is one that nobody can read
 * because of a prepared transaction. Unlogged tables are marked; in a server in recovery, which refuses to read them,
 * they count as empty, as its promotion makes them.
 * @param database name that the counts bear.
 * @param options `hashes`: rows are hashed too, for which they are read whole; `sizes`: with bytes on disk, where they can be had
 * @throws where row security would hide rows: a count must not be too low unnoticed.
 */
export async function countTables(
  client: pg.Client,
  database: string,
  { hashes = false, sizes = false }: CountOptions = {},
): Promise<TableCount[]> {
  return inSnapshot(client, async () => {
    const { rows } = await client.query<{ recovery: boolean }>('SELECT pg_catalog.pg_is_in_recovery() AS recovery');
    const readsUnlogged = rows[0]?.recovery !== true;
    // No name is converted: the server may have none of its characters in UTF-8.
    await client.query("SET LOCAL client_encoding TO 'SQL_ASCII'");
    if (hashes) await client.query(SAME_TEXT);
    const read = hashes ? ({ name }: ListedTable) => hashRows(client, name) : countOnly(client);
    const listed = await listTables(client);
    const names = listed.filter(({ unlogged, locked }) => !locked && (readsUnlogged || !unlogged));
    const counts = new Map<ListedTable, Counted>();
    if (!readsUnlogged) for (const one of listed) if (one.unlogged) counts.set(one, { rows: 0 });
    for (let start = 0; start < names.length; start += BATCH) {
      const batch = names.slice(start, start + BATCH);
      const bytes = sizes ? await sizesOf(client, batch) : new Map<number, number>();
      for (const [one, counted] of await countBatch(client, batch, read)) {
        const size = bytes.get(one.oid);
        counts.set(one, size === undefined ? counted : { ...counted, bytes: size });
      }
    }
    await client.query("SET LOCAL client_encoding TO 'UTF8'");
    return listed.flatMap((one): TableCount[] => {
      const counted = counts.get(one);
      if (counted === undefined) return [];
      const { schema, table, unlogged } = one;
      return [{ database, schema, table, ...counted, ...(unlogged ? { unlogged } : {}) }];
    });
  });
}

/**
 * Bytes on disk of tables with TOAST and indexes, by their OIDs. A table that somebody has locked, as by REINDEX, is not waited for: what
 * it takes is not recorded then. Nor is anything of its batch.
 */
async function sizesOf(client: pg.Client, tables: readonly ListedTable[]): Promise<ReadonlyMap<number, number>> {
  try {
    return await released(client, async () => {
      await client.query(`SET LOCAL lock_timeout = '${SIZE_LOCK}'`);
      const { rows } = await client.query<{ oid: string; bytes: string | null }>(
        `SELECT t.oid::pg_catalog.text AS oid, pg_catalog.pg_total_relation_size(t.oid)::pg_catalog.text AS bytes
           FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t(oid)`,
        [tables.map(({ oid }) => oid)],
      );
      return new Map(rows.flatMap(({ oid, bytes }) => (bytes === null ? [] : [[Number(oid), Number(bytes)]])));
    });
  } catch (error) {
    if (!NO_SIZE.includes(sqlState(error) ?? '')) throw error;
    return new Map();
  }
}

/** How many relations of the connected database are no part of what {@link countTables} counts, or only as marked. */
export async function countApart(client: pg.Client): Promise<RelationsApart> {
  const { rows } = await client.query<Omit<RelationsApart, 'locked'>>(`
    SELECT count(*) FILTER (WHERE c.relkind = 'r' AND c.relpersistence = 'u')::int AS unlogged,
           count(*) FILTER (WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 't')::int AS temporary,
           count(*) FILTER (WHERE c.relkind = 'f')::int AS "foreign"
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname <> 'information_schema' AND (n.nspname !~ '^pg_' OR c.relpersistence = 't')`);
  const { unlogged = 0, temporary = 0, foreign = 0 } = rows[0] ?? {};
  const locked = (await listTables(client)).filter((one) => one.locked).map(({ schema, table }) => ({ schema, table }));
  return { unlogged, temporary, foreign, locked };
}

type Table = Pick<TableName, 'schema' | 'table'>;

/** To which partitioned table the rows of a partition of the connected database belong; itself for any other table. */
export async function rootsInDatabase(client: pg.Client): Promise<(table: Table) => Table> {
  const read = await databaseTextReader(client);
  const { rows } = await client.query<{ names: [string, string, string, string] }>(`
    SELECT ARRAY[${['n.nspname', 'c.relname', 'rn.nspname', 'r.relname'].map(inDatabaseBytes).join(', ')}] AS names
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid) JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
     WHERE c.relispartition AND c.relkind = 'r'`);
  const roots = new Map(
    rows.map(({ names }) => {
      const [schema = '', table = '', ...[rootSchema = '', root = '']] = names.map(read);
      return [JSON.stringify([schema, table]), { schema: rootSchema, table: root }];
    }),
  );
  return ({ schema, table }) => roots.get(JSON.stringify([schema, table])) ?? { schema, table };
}

/**
 * The same of several databases, one after the other: as they are close to a physical backup, which has no snapshot to
 * count in. Invalid ones, those that are not there, and those that cannot be counted are skipped.
 */
export async function countDatabases(
  connection: ConnectionConfig,
  databases: readonly string[],
  signal: AbortSignal,
): Promise<TableCount[]> {
  const counts: TableCount[] = [];
  const skipped = await withMaintenance(connection, async (client) => [
    ...(await invalidDatabases(client, databases)),
    ...(await absentDatabases(client, databases)),
  ]);
  for (const database of databases) {
    if (skipped.includes(database)) continue;
    signal.throwIfAborted();
    counts.push(...(await countOne(connection, database)));
  }
  return counts;
}

/** The backup is there, and good, whether its rows can be counted or not: what the server refuses leaves the database without numbers. */
async function countOne(connection: ConnectionConfig, database: string): Promise<readonly TableCount[]> {
  try {
    return await withClient(connection, database, (client) => countTables(client, database, { sizes: true }));
  } catch (error) {
    if (!isRepriseError(error) || !NO_COUNT.includes(error.code)) throw error;
    return [];
  }
}

/** Every ordinary table of the connected database that is no part of an extension and of no other session. */
export async function listTables(client: pg.Client): Promise<ListedTable[]> {
  const read = await databaseTextReader(client);
  // Exclusive locks that were replayed are the startup process's; those of a prepared transaction have no process.
  const { rows } = await client.query<ListedTable>(`
    WITH held AS MATERIALIZED (
      SELECT relation FROM pg_catalog.pg_locks
       WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted
         AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
         AND (pid IS NULL OR pg_catalog.pg_is_in_recovery()))
    SELECT ${inDatabaseBytes('n.nspname')} AS schema, ${inDatabaseBytes('c.relname')} AS "table",
           ${TABLE_NAME} AS name, ${COUNTED_BY} AS "countedBy", c.relpersistence = 'u' AS unlogged, c.oid AS oid,
           c.oid IN (SELECT relation FROM held)
             OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indexrelid IN (SELECT relation FROM held))
             AS locked
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY 1, 2`);
  return rows.map((one) => ({ ...one, schema: read(one.schema), table: read(one.table) }));
}

type Counted = Pick<TableCount, 'rows' | 'hash' | 'bytes'>;
type ReadTable = (table: ListedTable) => Promise<Counted>;

const countOnly =
  (client: pg.Client): ReadTable =>
  async ({ countedBy }) => ({ rows: await countRows(client, countedBy) });

async function countBatch(
  client: pg.Client,
  tables: readonly ListedTable[],
  read: ReadTable,
): Promise<readonly (readonly [ListedTable, Counted])[]> {
  try {
    return await released(client, async () => {
      const counts: [ListedTable, Counted][] = [];
      for (const table of tables) counts.push([table, await read(table)]);
      return counts;
    });
  } catch (error) {
    const dropped = [UNDEFINED_TABLE, UNDEFINED_SCHEMA].includes(sqlState(error) ?? '');
    if (!dropped) throw error;
    if (tables.length === 1) return [];
    const counts: (readonly [ListedTable, Counted])[] = [];
    for (const table of tables) counts.push(...(await countBatch(client, [table], read)));
    return counts;
  }
}
