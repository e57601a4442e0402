import pg from 'pg';
import { visible } from '../../domain/text/text.js';
import { sqlState } from '../connection/database-errors.js';
import { released } from '../connection/snapshot.js';

/** What amcheck found in one database. */
export interface StructureFound {
  readonly indexes: number;
  readonly tables: number;
  /** Indexes on expressions or with a condition: their structure alone was checked. */
  readonly structureOnly: number;
  /** Each in words: names of relations, no values of rows. */
  readonly problems: readonly string[];
}

/** Why amcheck could not be used in a database. */
export interface StructureNotChecked {
  readonly notChecked: 'not-installed' | 'not-available' | 'event-triggers' | 'privilege';
}

/** A schema for the extension where the database has none: both are rolled back. */
const SCHEMA = 'reprise_amcheck';
const VERIFY_HEAP_SINCE = 140_000;
/** Of the classes XX000, XX001 and XX002 PostgreSQL says what is wrong with which relation; others may quote rows. */
const SPEAKS_OF_RELATIONS = /^XX00[012]$/;
const PRIVILEGE = '42501';

/**
 * Checks all B-tree indexes and tables of the connected database with contrib's amcheck: the order in the indexes, that every row has its
 * index entries, and what tables and their TOAST say of each other. That every row has an entry is not looked for where an index is on
 * expressions or has a condition: it would run code of the table's owner. Where the extension is not installed and the server takes writes,
 * it is installed in a transaction that is rolled back.
 */
export async function checkStructure(
  client: pg.Client,
  signal: AbortSignal,
): Promise<StructureFound | StructureNotChecked> {
  await client.query('BEGIN');
  try {
    const server = await factsOf(client);
    const schema = await schemaOfAmcheck(client, server);
    if (typeof schema !== 'string') return schema;
    const indexes = await listIndexes(client, server.recovery);
    const tables = server.version >= VERIFY_HEAP_SINCE ? await listHeaps(client, server.recovery) : [];
    const problems: string[] = [];
    const amcheck = pg.escapeIdentifier(schema);
    for (const { oid, name, whole } of indexes) {
      signal.throwIfAborted();
      const problem = await problemOf(client, async () => {
        await client.query(`SELECT ${amcheck}.bt_index_check($1::oid::regclass, $2)`, [oid, whole]);
        return null;
      });
      if (problem !== null) problems.push(`index ${name}: ${problem}`);
    }
    for (const { oid, name } of tables) {
      signal.throwIfAborted();
      const problem = await problemOf(client, async () => {
        const { rows } = await client.query<{ msg: string }>(
          `SELECT msg FROM ${amcheck}.verify_heapam($1::oid::regclass, false, true) LIMIT 1`,
          [oid],
        );
        return rows[0]?.msg ?? null;
      });
      if (problem !== null) problems.push(`table ${name}: ${problem}`);
    }
    const structureOnly = indexes.filter(({ whole }) => !whole).length;
    return { indexes: indexes.length, tables: tables.length, structureOnly, problems };
  } catch (error) {
    if (sqlState(error) === PRIVILEGE) return { notChecked: 'privilege' };
    throw error;
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}

interface ServerFacts {
  readonly recovery: boolean;
  readonly version: number;
}

async function factsOf(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>(
    `SELECT pg_catalog.pg_is_in_recovery() AS recovery, pg_catalog.current_setting('server_version_num')::int AS version`,
  );
  return rows[0] ?? { recovery: false, version: 0 };
}

async function schemaOfAmcheck(client: pg.Client, { recovery }: ServerFacts): Promise<string | StructureNotChecked> {
  const { rows } = await client.query<{ schema: string | null; available: boolean; triggers: boolean }>(
    `SELECT (SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
              WHERE e.extname = 'amcheck') AS schema,
            EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck') AS available,
            EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D') AS triggers`,
  );
  const [found] = rows;
  if (found?.schema != null) return found.schema;
  if (found?.available !== true) return { notChecked: 'not-available' };
  if (recovery) return { notChecked: 'not-installed' };
  // What they call would run with our rights.
  if (found.triggers) return { notChecked: 'event-triggers' };
  await client.query(`CREATE SCHEMA ${SCHEMA}; CREATE EXTENSION amcheck SCHEMA ${SCHEMA}`);
  return SCHEMA;
}

interface Listed {
  readonly oid: number;
  readonly name: string;
}

/** Those whose files are in a restored copy: no temporary ones, and in a server that replays WAL no unlogged ones. */
const HAS_FILES = `c.relpersistence <> 't' AND (c.relpersistence <> 'u' OR NOT $1::boolean)`;

async function listIndexes(client: pg.Client, recovery: boolean): Promise<readonly (Listed & { whole: boolean })[]> {
  const { rows } = await client.query<Listed & { whole: boolean }>(
    `SELECT c.oid, pg_catalog.format('%s.%s', n.nspname, c.relname) AS name, i.indexprs IS NULL AND i.indpred IS NULL AS whole
       FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
      WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND i.indisready AND ${HAS_FILES}
      ORDER BY c.oid`,
    [recovery],
  );
  return rows.map((one) => ({ ...one, name: visible(one.name) }));
}

async function listHeaps(client: pg.Client, recovery: boolean): Promise<readonly Listed[]> {
  const { rows } = await client.query<Listed>(
    `SELECT c.oid, pg_catalog.format('%s.%s', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
      WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm') AND ${HAS_FILES}
      ORDER BY c.oid`,
    [recovery],
  );
  return rows.map((one) => ({ ...one, name: visible(one.name) }));
}

/** What is wrong with one relation; null: nothing. */
async function problemOf(client: pg.Client, check: () => Promise<string | null>): Promise<string | null> {
  try {
    return await released(client, check);
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined || state === PRIVILEGE) throw error;
    const says = error instanceof Error ? error.message.split('\n')[0] : undefined;
    return SPEAKS_OF_RELATIONS.test(state) && says !== undefined ? visible(says) : `SQLSTATE ${state}`;
  }
}
