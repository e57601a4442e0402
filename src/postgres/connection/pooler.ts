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
 * serves it, and Pgpool-II, which tells the very process, is on another port than the server.
 * @param settings expressions that set something
 * @throws RepriseError `pooler-refused`; then nothing was set
 */
export async function setForSession(client: pg.Client, address: Address, settings: readonly string[]): Promise<void> {
  const isOwn = `(pg_catalog.pg_backend_pid() = ${pidOf(client)})`;
  const isDirect = samePorts(client, address);
  const all = settings.join(', ');
  const setting =
    settings.length === 0 ? '' : `, CASE WHEN ${isOwn} AND ${isDirect} THEN ROW(${all})::pg_catalog.text END`;
  const { rows } = await client.query<{ own: boolean; direct: boolean }>(
    `SELECT ${isOwn} AS own, ${isDirect} AS direct${setting}`,
  );
  if (rows[0]?.own !== true) throw poolerRefused(address);
  if (rows[0].direct) return;
  // Something forwards what we send: Pgpool-II, or only a network such as that of containers.
  if (await isPgpool(client, address)) throw poolerRefused(address);
  if (settings.length > 0) await client.query(`SELECT ${all}`);
}

/** An expression: whether the server sees the same connection as we do, by its ports. */
function samePorts(client: pg.Client, { host, port }: Address): string {
  const { stream } = (
    client as unknown as { readonly connection: { readonly stream: { readonly localPort?: number } } }
  ).connection;
  return host.startsWith('/')
    ? `(pg_catalog.inet_client_port() IS NULL AND pg_catalog.current_setting('port') = '${port}')`
    : `(pg_catalog.inet_client_port() IS NOT DISTINCT FROM ${stream.localPort ?? 'NULL'})`;
}

const UNKNOWN_SETTING = '42704';
/** Each question is an error in the log of a server that is none. */
const ASKED_AGAIN_MS = 3_600_000;
const notPgpool = new Map<string, number>();

/** Pgpool-II answers this itself; PostgreSQL knows no such setting. */
async function isPgpool(client: pg.Client, { host, port }: Address): Promise<boolean> {
  const key = `${host}:${port}`;
  const askedAt = notPgpool.get(key);
  if (askedAt !== undefined && performance.now() - askedAt < ASKED_AGAIN_MS) return false;
  try {
    await client.query('SHOW pool_version');
    return true;
  } catch (error) {
    if ((error as { readonly code?: string }).code !== UNKNOWN_SETTING) throw error;
    notPgpool.set(key, performance.now());
    return false;
  }
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
    'set connection.host and connection.port of the cluster to those of PostgreSQL (often port 5432, or its socket directory), not to those of PgBouncer, Pgpool-II or their like',
  );
}
