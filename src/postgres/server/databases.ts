import pg from 'pg';

/** Databases by whether a session in them is possible. */
export interface WalkedDatabases {
  readonly usable: readonly string[];
  /** What an interrupted DROP DATABASE has left (`datconnlimit` -2): no session is possible, it can only be dropped. */
  readonly invalid: readonly string[];
}

/** `pg_database.datconnlimit` of an invalid database. */
export const INVALID_LIMIT = -2;
const IS_INVALID = `datconnlimit = ${INVALID_LIMIT}`;

/** Every database that applications may use: not those that take no connections, nor templates. */
export async function walkDatabases(client: pg.ClientBase): Promise<WalkedDatabases> {
  const { rows } = await client.query<{ name: string; invalid: boolean }>(
    `SELECT datname::text AS name, ${IS_INVALID} AS invalid
       FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1`,
  );
  return {
    usable: rows.filter(({ invalid }) => !invalid).map(({ name }) => name),
    invalid: rows.filter(({ invalid }) => invalid).map(({ name }) => name),
  };
}

/** Which of these databases are invalid; without names, of all. */
export async function invalidDatabases(client: pg.ClientBase, names?: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT datname::text AS name FROM pg_catalog.pg_database
      WHERE ${IS_INVALID} AND ($1::text[] IS NULL OR datname::text = ANY ($1)) ORDER BY 1`,
    [names ?? null],
  );
  return rows.map(({ name }) => name);
}

/** Which of these databases the server has not. */
export async function absentDatabases(client: pg.ClientBase, names: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT datname::text AS name FROM pg_catalog.pg_database WHERE datname::text = ANY ($1)',
    [names],
  );
  return names.filter((name) => rows.every((row) => row.name !== name));
}

/** What people are told of a database of the configuration that the server has not. */
export function absentDatabaseText(name: string): string {
  return `there is no database ${JSON.stringify(name)} on the server, and the configuration names it`;
}

/** What people are told of an invalid database, wherever it is skipped. */
export function invalidDatabaseText(name: string): string {
  return `database ${JSON.stringify(name)} is invalid: a DROP DATABASE of it was interrupted, and nobody can connect to it`;
}

/** The statement that removes one. */
export function dropStatement(name: string): string {
  return `DROP DATABASE ${pg.escapeIdentifier(name)}`;
}

/** A transaction that PREPARE TRANSACTION left: it keeps its locks until somebody decides it, over restarts and recoveries. */
export interface PreparedTransaction {
  readonly gid: string;
  readonly database: string;
  readonly owner: string;
  readonly ageSeconds: number;
}

/** Oldest first. */
export async function preparedTransactions(client: pg.ClientBase): Promise<readonly PreparedTransaction[]> {
  const { rows } = await client.query<PreparedTransaction>(
    `SELECT gid, database::text AS database, owner::text AS owner,
            greatest(0, extract(epoch FROM now() - prepared))::float8 AS "ageSeconds"
       FROM pg_catalog.pg_prepared_xacts ORDER BY prepared`,
  );
  return rows;
}

/** The two statements of which one ends it; they work in its own database only. */
export function decisionStatements({ gid }: Pick<PreparedTransaction, 'gid'>): string {
  return `COMMIT PREPARED ${pg.escapeLiteral(gid)} or ROLLBACK PREPARED ${pg.escapeLiteral(gid)}`;
}
