/**
 * A connection pooler (PgBouncer, Odyssey, Pgpool-II, PgCat) hands our statements to sessions of applications: what we set for a
 * session would stay in theirs. It is recognised before anything is set.
 */
import type pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ConnectionConfig } from '../../domain/config.js';

type Address = Pick<ConnectionConfig, 'host' | 'port'>;

/** The process that serves the session, as the server has told the client at its start; the types of `pg` do not know it. */
export const pidOf = (client: pg.Client): number =>
  (client as pg.Client & { readonly processID?: number }).processID ?? 0;

/**
 * Sets what a session needs, if the session is the client's own: a pooler tells the client another process than that which
 * serves it.
 * @param settings expressions that set something
 * @throws RepriseError `pooler-refused`; then nothing was set
 */
export async function setForSession(client: pg.Client, address: Address, settings: readonly string[]): Promise<void> {
  const isOwn = `pg_catalog.pg_backend_pid() = ${pidOf(client)}`;
  const setting =
    settings.length === 0 ? '' : `, CASE WHEN ${isOwn} THEN ROW(${settings.join(', ')})::pg_catalog.text END`;
  const { rows } = await client.query<{ own: boolean }>(`SELECT ${isOwn} AS own${setting}`);
  if (rows[0]?.own !== true) throw poolerRefused(address);
}

/** The error, or `pooler-refused` where it is what a pooler says to a session that brings settings with it. */
export function orPoolerRefused(error: unknown, address: Address): unknown {
  const { message = '' } = error as { readonly message?: string };
  return /unsupported startup parameter/i.test(message) ? poolerRefused(address) : error;
}

function poolerRefused({ host, port }: Address): RepriseError {
  return new RepriseError(
    'pooler-refused',
    `${host}:${port} is a connection pooler, not the server itself: what Reprise sets for its sessions would stay in those of applications`,
    'set connection.host and connection.port of the cluster to those of PostgreSQL (often port 5432, or its socket directory), not to those of PgBouncer or its like',
  );
}
