import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { endSessionsOf, scramVerifier } from './login.js';
import { withMaintenance } from './with-client.js';

/** So long a role that a killed worker left can be used by nobody any more; another query's drops it then. */
const VALID_FOR = '2 hours';

/** A role that reads for the time of one query, and how one connects as it. */
export interface QueryLogin {
  readonly connection: ConnectionConfig;
  readonly password: string;
}

/**
 * Has a query run by a role that may read all rows and do nothing else: made for it, dropped after it. Only a server that
 * takes writes can make one.
 */
export async function withQueryLogin<T>(
  connection: ConnectionConfig,
  fn: (login: QueryLogin) => Promise<T>,
): Promise<T> {
  const [role, password] = [`reprise_query_${randomBytes(8).toString('hex')}`, randomBytes(24).toString('hex')];
  const name = pg.escapeIdentifier(role);
  const maintenance = <R>(work: (client: pg.Client) => Promise<R>): Promise<R> => withMaintenance(connection, work);
  await maintenance(async (client) => {
    await dropExpired(client);
    const { rows } = await client.query<{ until: string }>(
      `SELECT (pg_catalog.now() + interval '${VALID_FOR}')::text AS until`,
    );
    await client.query(
      `CREATE ROLE ${name} LOGIN INHERIT BYPASSRLS IN ROLE pg_read_all_data VALID UNTIL ${pg.escapeLiteral(rows[0]?.until ?? '')} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`,
    );
  });
  try {
    return await fn({ connection: { ...connection, user: role }, password });
  } finally {
    await maintenance(async (client) => {
      await client.query(`ALTER ROLE ${name} NOLOGIN`);
      await endSessionsOf(client, role);
      await client.query(`DROP ROLE ${name}`);
    });
  }
}

/** Whether a server has this role, it may log in, and it is no superuser. */
export async function logsInReading(connection: ConnectionConfig, role: string): Promise<boolean> {
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query(
      'SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper',
      [role],
    );
    return rows.length > 0;
  });
}

async function dropExpired(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    `SELECT rolname::text AS role FROM pg_catalog.pg_roles
      WHERE rolname ~ '^reprise_query_[0-9a-f]{16}$' AND rolvaliduntil < pg_catalog.now()`,
  );
  for (const { role } of rows) {
    await endSessionsOf(client, role);
    await client.query(`DROP ROLE IF EXISTS ${pg.escapeIdentifier(role)}`);
  }
}
