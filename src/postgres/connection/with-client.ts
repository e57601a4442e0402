import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { newClient } from './client.js';
import type { ConnectOptions } from './client.js';
import { databaseError } from './database-errors.js';

export { probe } from './probe.js';
export type { ProbeLayer, ProbeResult } from './probe.js';
export type { ConnectOptions } from './client.js';

/**
 * Connects, calls the function and closes the session, also when the function throws.
 * Inside it errors are those of `pg`; outside they are RepriseErrors.
 * @param database its very name: nothing in it is read as a connection string (F36).
 * @throws RepriseError `database-unreachable`; `privilege-missing`, `storage-full`, `query-timeout` or `query-failed`
 *   with `details.sqlState` for what a statement met.
 */
export async function withClient<T>(
  connection: ConnectionConfig,
  database: string,
  fn: (client: pg.Client) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  const client = newClient(connection, database, options);
  // Without a listener a server that dies between two statements would end the whole process.
  let lost: unknown;
  client.on('error', (error) => (lost = error));
  try {
    await client.connect();
    if (options.searchPath !== 'database')
      await client.query("SELECT pg_catalog.set_config('search_path', 'pg_catalog', false)");
    return await fn(client);
  } catch (error) {
    throw databaseError(lost ?? error, connection, database);
  } finally {
    await client.end().catch(() => undefined);
  }
}
