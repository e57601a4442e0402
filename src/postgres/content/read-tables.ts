import type pg from 'pg';
import { LARGE_OBJECTS } from '../../domain/backup/large-objects.js';
import type { ConnectionConfig } from '../../domain/config.js';
import type { TableContent } from '../../domain/drill/content.js';
import { isRepriseError } from '../../domain/errors.js';
import { visible } from '../../domain/text/text.js';
import { sqlState } from '../connection/database-errors.js';
import { inSnapshot, released } from '../connection/snapshot.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import { invalidDatabaseText, walkDatabases } from '../server/databases.js';
import { largeObjectsHash } from './content-hash.js';
import { listTables, rootsInDatabase } from './inventory.js';
import { hashRows, SAME_TEXT } from './row-hash.js';

/** What a server holds, as far as it could be read. */
export interface ReadTables {
  readonly databases: readonly string[];
  readonly tables: readonly TableContent[];
  /** Tables that nobody can read now: a prepared transaction, or one under way where the replay stopped, holds them. */
  readonly locked: readonly Pick<TableContent, 'database' | 'schema' | 'table'>[];
  /** What could not be read, in words. */
  readonly problems: readonly string[];
  /** Databases among them that nobody can connect to: a DROP DATABASE was interrupted. */
  readonly invalid: readonly string[];
}

/**
 * Reads every ordinary table of these databases whole by COPY, and counts and hashes its rows: no code of theirs runs for that, and the
 * hash does not depend on the order of the rows. A table that cannot be read is a finding and no error. Of a partition the table is told
 * to which its rows belong. In a server that replays WAL unlogged tables cannot be read, and count as empty.
 * @param databases null: all that take connections
 */
export async function readTables(
  connection: ConnectionConfig,
  databases: readonly string[] | null,
  signal: AbortSignal,
): Promise<ReadTables> {
  const walked = await withMaintenance(connection, walkDatabases);
  const read = databases ?? walked.usable;
  const invalid = walked.invalid.filter((name) => databases === null || databases.includes(name));
  const problems = invalid.map((name) => invalidDatabaseText(name));
  const tables: TableContent[] = [];
  const locked: Pick<TableContent, 'database' | 'schema' | 'table'>[] = [];
  for (const database of read) {
    if (walked.invalid.includes(database)) continue;
    signal.throwIfAborted();
    try {
      const found = await withClient(connection, database, (client) => readDatabase(client, database, signal));
      tables.push(...found.tables);
      locked.push(...found.locked);
      problems.push(...found.problems);
    } catch (error) {
      // A catalogue that is damaged; a server that is gone is no finding of this kind.
      if (!isRepriseError(error) || error.code === 'database-unreachable') throw error;
      problems.push(`database ${visible(database)} cannot be read (${stateOf(error.details['sqlState'])})`);
    }
  }
  return { databases: read, tables, locked, problems, invalid };
}

async function readDatabase(
  client: pg.Client,
  database: string,
  signal: AbortSignal,
): Promise<Omit<ReadTables, 'databases' | 'invalid'>> {
  return inSnapshot(client, async () => {
    const { rows } = await client.query<{ recovery: boolean }>('SELECT pg_catalog.pg_is_in_recovery() AS recovery');
    const inRecovery = rows[0]?.recovery === true;
    const rootOf = await rootsInDatabase(client);
    await client.query(`${SAME_TEXT}; SET LOCAL client_encoding TO 'SQL_ASCII'; SET LOCAL row_security TO off`);
    const [tables, problems]: [TableContent[], string[]] = [[], []];
    const listed = await listTables(client);
    for (const { schema, table, name, unlogged } of listed.filter((one) => !one.locked)) {
      signal.throwIfAborted();
      const of = { database, schema, table, ...(unlogged ? { unlogged } : {}) };
      const root = rootOf({ schema, table });
      const part = root.schema === schema && root.table === table ? {} : { root };
      const read =
        unlogged && inRecovery ? { rows: 0, hash: '0' } : await orProblem(client, () => hashRows(client, name));
      if (typeof read === 'string') problems.push(`${visible(`${database}: ${schema}.${table}`)} ${read}`);
      else tables.push({ ...of, ...read, ...part });
    }
    const large = await orProblem(client, () => largeObjectsHash(client));
    if (typeof large === 'string') problems.push(`${visible(database)}: large objects ${large}`);
    else if (large.rows > 0) tables.push({ database, ...LARGE_OBJECTS, ...large });
    const locked = listed.filter((one) => one.locked).map(({ schema, table }) => ({ database, schema, table }));
    return { tables, locked, problems };
  });
}

/** What the server says of one table is a finding; a connection that is lost is none. */
async function orProblem<T>(client: pg.Client, read: () => Promise<T>): Promise<T | string> {
  try {
    return await released(client, read);
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined) throw error;
    return `cannot be read (${stateOf(state)})`;
  }
}

const stateOf = (state: unknown): string => `SQLSTATE ${String(state ?? 'unknown')}`;
