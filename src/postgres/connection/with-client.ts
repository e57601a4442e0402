import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { askWhileWaiting } from '../../files/work-signs.js';
import { backendAdvances } from './backend-activity.js';
import { databaseError } from './database-errors.js';
import { APPLICATION_NAME } from './environment.js';
import { passwordFor } from './passfile.js';
import { pidOf, orPoolerRefused, setForSession } from './pooler.js';
import { byFirstWay, waysToConnect } from './tls.js';
import type { TlsWay } from './tls.js';
import {
  COMMITS_ON_DISK,
  CONSTRAINTS_COUNT,
  sessionOptions,
  TIMES_AS_ISO,
  WITHOUT_NEWER_TIMEOUTS,
} from './session-options.js';

/**
 * Connects, calls the function and closes the session, also when the function throws.
 * Inside it errors are those of `pg`; outside they are RepriseErrors.
 * @param database its very name: nothing in it is read as a connection string.
 * @throws RepriseError `database-unreachable`; `privilege-missing`, `storage-full`, `query-timeout` or `query-failed`
 *   with `details.sqlState` for what a statement met.
 */
export async function withClient<T>(
  connection: ConnectionConfig,
  database: string,
  fn: (client: pg.Client) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  let lost: unknown;
  let client: pg.Client | undefined;
  try {
    client = await byFirstWay(await waysToConnect(connection), async (way) => {
      const attempt = newClient(connection, database, { ...options, way });
      // Without a listener a server that dies between two statements would end the whole process.
      attempt.on('error', (error) => {
        if (attempt === client) lost = error;
      });
      return connected(attempt);
    });
    const settings =
      options.asServerSets === true
        ? []
        : [...WITHOUT_NEWER_TIMEOUTS, COMMITS_ON_DISK, CONSTRAINTS_COUNT, TIMES_AS_ISO];
    await setForSession(client, connection, [...fixedSearchPath(options), ...settings]);
    const session = client;
    const pid = pidOf(session);
    const advances = (): Promise<boolean> =>
      withMaintenance(connection, (looking) => backendAdvances(looking, pid), LOOKING);
    return await askWhileWaiting(() => fn(session), advances);
  } catch (error) {
    throw databaseError(orPoolerRefused(lost ?? error, connection), connection, database);
  } finally {
    await client?.end().catch(() => undefined);
  }
}

async function connected(client: pg.Client): Promise<pg.Client> {
  try {
    await client.connect();
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}

/** PostgreSQL makes both in every cluster. */
const EVERYWHERE = ['postgres', 'template1'];

/**
 * The same in the database for what concerns the whole cluster. Where that one is not there, takes no connections or is not to be
 * used, it is another one that every cluster has: a lost maintenance database is recovered like any other.
 * @param options `notIn`: databases that are replaced or dropped, which nobody does from within
 * @throws RepriseError as {@link withClient}; `conflict` where no database is left
 */
export async function withMaintenance<T>(
  connection: ConnectionConfig,
  fn: (client: pg.Client) => Promise<T>,
  { notIn = [], ...options }: ConnectOptions & { readonly notIn?: readonly string[] } = {},
): Promise<T> {
  const places = [...new Set([connection.maintenanceDatabase, ...EVERYWHERE])].filter((name) => !notIn.includes(name));
  let first: unknown;
  for (const place of places) {
    let isReached = false;
    const reached = (client: pg.Client): Promise<T> => {
      isReached = true;
      return fn(client);
    };
    try {
      return await withClient(connection, place, reached, options);
    } catch (error) {
      if (isReached || !isClosed(error)) throw error;
      first ??= error;
    }
  }
  if (notIn.length === 0) throw first;
  throw new RepriseError(
    'conflict',
    `${connection.user} can connect to no database from which ${notIn.map((name) => JSON.stringify(name)).join(', ')} can be replaced`,
    'set connection.maintenance_database to another database, which this role may connect to',
  );
}

/** Whether it says that a database is not there, takes no connections, or is invalid. */
function isClosed(error: unknown): boolean {
  return isRepriseError(error) && ['3D000', '55000'].includes(String(error.details['sqlState']));
}

const fixedSearchPath = ({ searchPath }: ConnectOptions): readonly string[] =>
  searchPath === 'database' ? [] : ["pg_catalog.set_config('search_path', 'pg_catalog', false)"];

// In the maintenance database: a further session in another one would hinder who renames or drops it.
const LOOKING: ConnectOptions = { statementTimeoutMs: 10_000 };

export interface ConnectOptions {
  /** Default 10 s. */
  readonly connectTimeoutMs?: number;
  /** Longest time of one statement; 0 (default) = no limit. */
  readonly statementTimeoutMs?: number;
  readonly applicationName?: string;
  /** `fixed` (default): only pg_catalog, so that no object of the database is called by surprise. */
  readonly searchPath?: 'fixed' | 'database';
  /** Of a role that was made for the session; absent: as the connection's password file has it. */
  readonly password?: string | undefined;
  /** As a superuser and from PostgreSQL 17 on: what a database has put on logins is not run. */
  readonly withoutEventTriggers?: boolean;
  /** With the time-outs that role, database and server set, as the session of a tool that brings no settings. */
  readonly asServerSets?: boolean;
}

/** A client that is not connected yet; callers other than {@link withClient} and `probe` use `withClient`. */
export function newClient(
  connection: ConnectionConfig,
  database: string,
  options: ConnectOptions & Pick<pg.ClientConfig, 'stream'> & { readonly way: TlsWay },
): pg.Client {
  return new pg.Client({
    host: connection.host,
    port: connection.port,
    user: connection.user,
    database,
    // A function, so that the file is read only where the server asks, and PGPASSWORD is never used.
    password: () => options.password ?? passwordFor(connection, database),
    application_name: options.applicationName ?? APPLICATION_NAME,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    options:
      options.asServerSets === true
        ? undefined
        : sessionOptions({
            statementTimeoutMs: options.statementTimeoutMs,
            others: options.withoutEventTriggers === true ? ['event_triggers=off'] : [],
          }),
    keepAlive: true,
    ssl: options.way,
    stream: options.stream,
  });
}
