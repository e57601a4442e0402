import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { APPLICATION_NAME } from './environment.js';
import { passwordFor } from './passfile.js';

export interface ConnectOptions {
  /** Default 10 s. */
  readonly connectTimeoutMs?: number;
  /** Longest time of one statement; 0 (default) = no limit. */
  readonly statementTimeoutMs?: number;
  readonly applicationName?: string;
  /** `fixed` (default): only pg_catalog, so that no object of the database is called by surprise (F43). */
  readonly searchPath?: 'fixed' | 'database';
}

/** A client that is not connected yet; callers other than {@link withClient} and `probe` use `withClient`. */
export function newClient(
  connection: ConnectionConfig,
  database: string,
  options: ConnectOptions & Pick<pg.ClientConfig, 'stream'> = {},
): pg.Client {
  return new pg.Client({
    host: connection.host,
    port: connection.port,
    user: connection.user,
    database,
    // A function, so that the file is read only where the server asks, and PGPASSWORD is never used.
    password: () => passwordFor(connection, database),
    application_name: options.applicationName ?? APPLICATION_NAME,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    statement_timeout: options.statementTimeoutMs ?? 0,
    keepAlive: true,
    stream: options.stream,
  });
}
