import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { withQueryLogin } from '../connection/query-login.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import type { ConnectOptions } from '../connection/with-client.js';

/** As whom queries of the configuration run. */
export interface QuerySource {
  readonly connection: ConnectionConfig;
  /** The role that is configured for them. */
  readonly checksRole?: string | undefined;
}

/** A query of the configuration, and what is done with a client that may run it. */
export interface ConfiguredQuery<T> {
  readonly database: string;
  readonly query: string;
  readonly run: (client: pg.Client) => Promise<T>;
  /**
   * The same without planning anything, as {@link ConfiguredQuery.run} cannot be done as a superuser; null where the query
   * is more than that.
   */
  readonly runUnplanned: (client: pg.Client) => Promise<T | null>;
  readonly statementTimeoutMs: number;
}

interface Rights {
  readonly role: string;
  readonly superuser: boolean;
  readonly standby: boolean;
  readonly version: number;
}

const [READ_ALL_DATA, EVENT_TRIGGERS] = [140_000, 170_000];

/**
 * Runs a query of the configuration read-only and never as a superuser: views, functions and indexes that it meets belong
 * to others, and their code runs with its rights. Without a configured role, and where the connection's own is a superuser,
 * a role is made for the one query.
 * @throws RepriseError `privilege-missing` where none can be had
 */
export async function withConfiguredQuery<T>(source: QuerySource, query: ConfiguredQuery<T>): Promise<T> {
  const { connection, checksRole } = source;
  if (checksRole !== undefined) return runAs({ ...connection, user: checksRole }, query);
  const rights = await withMaintenance(connection, rightsOf);
  if (!rights.superuser) return runAs(connection, query);
  const options: ConnectOptions = {
    statementTimeoutMs: query.statementTimeoutMs,
    withoutEventTriggers: rights.version >= EVENT_TRIGGERS,
  };
  const done = await withClient(connection, query.database, (client) => runAsSuperuser(client, query), options);
  if (done !== null) return done.result;
  if (rights.standby || rights.version < READ_ALL_DATA) throw noRole(rights);
  return withQueryLogin(connection, (login) => runAs(login.connection, query, login.password));
}

async function runAs<T>(connection: ConnectionConfig, query: ConfiguredQuery<T>, password?: string): Promise<T> {
  return withClient(
    connection,
    query.database,
    async (client) => {
      await client.query("SET default_transaction_read_only = on; SET search_path = 'pg_catalog', 'public'");
      const rights = await rightsOf(client);
      if (rights.superuser)
        throw new RepriseError(
          'privilege-missing',
          `role ${rights.role} is a superuser, and queries of the configuration run as none`,
          'name a role under checks_role: that may only read what they ask for',
        );
      return query.run(client);
    },
    { statementTimeoutMs: query.statementTimeoutMs, password },
  );
}

/** What calls nothing that others made; null where the query may. */
async function runAsSuperuser<T>(
  client: pg.Client,
  { query, run, runUnplanned }: ConfiguredQuery<T>,
): Promise<{ readonly result: T } | null> {
  await client.query('SET default_transaction_read_only = on');
  if (!(await namesSchema(client, query))) return { result: await run(client) };
  const result = await runUnplanned(client);
  return result === null ? null : { result };
}

/**
 * Whether a query may reach what is not PostgreSQL's own: with a search_path of `pg_catalog` alone, whatever it calls or
 * reads has its schema before it.
 */
async function namesSchema(client: pg.Client, query: string): Promise<boolean> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT nspname::text AS name FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`,
  );
  const text = query.toLowerCase().replaceAll('""', '"');
  return /u&"/.test(text) || rows.some(({ name }) => text.includes(name.toLowerCase()));
}

async function rightsOf(client: pg.Client): Promise<Rights> {
  const { rows } = await client.query<Rights>(
    `SELECT current_user::text AS role, pg_catalog.pg_is_in_recovery() AS standby,
            (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
            pg_catalog.current_setting('server_version_num')::int AS version`,
  );
  const [row] = rows;
  if (row === undefined) throw new RepriseError('internal', 'a query for the rights of a role returned no row');
  return row;
}

function noRole({ role, standby }: Rights): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `role ${role} is a superuser, and a query that may call functions of others runs as none; ${standby ? 'a server that replays WAL can make no role for it' : 'this version of PostgreSQL has no role that reads all data'}`,
    'add checks_role: to the cluster, a login that may only read what its checks ask for',
  );
}
