import { Socket } from 'node:net';
import type { ConnectionConfig } from '../../domain/config.js';
import type pg from 'pg';
import { byFirstWay, waysToConnect } from './tls.js';
import { newClient } from './with-client.js';
import { orPoolerRefused, setForSession } from './pooler.js';
import { TIMES_AS_ISO } from './session-options.js';
import { isRepriseError } from '../../domain/errors.js';
import { sqlState } from './database-errors.js';

/** Result of a connectivity check: the first layer that does not work, from the outside in. */
export type ProbeResult =
  | {
      readonly ok: true;
      /** UTC ISO-8601; only where `track_commit_timestamp` is on. */ readonly lastCommitAt?: string;
    }
  | {
      readonly ok: false;
      readonly layer: ProbeLayer;
      readonly reason: string;
      /** What lets it in again: the server is there, and refuses this login. Absent: it does not work. */
      readonly fix?: string;
    };
export type ProbeLayer = 'host' | 'port' | 'login' | 'query';

const QUERY = `SELECT CASE WHEN current_setting('track_commit_timestamp') = 'on' AND NOT pg_is_in_recovery()
  THEN (SELECT "timestamp" FROM pg_last_committed_xact()) END AS at`;

/**
 * One connectivity check, never longer than the time given. Layers: `host` (name, route, no answer), `port` (refused,
 * no socket), `login` (authentication, database, start-up, silence after the connection), `query`.
 * @param timeoutMs for the whole, default 5 s.
 */
export async function probe(connection: ConnectionConfig, timeoutMs = 5_000): Promise<ProbeResult> {
  let layer: ProbeLayer = 'host';
  const opened: { readonly client: pg.Client; readonly socket: Socket }[] = [];
  const timer = new AbortController();
  const late = new Promise<never>((_, reject) => {
    const handle = setTimeout(() => reject(new ProbeTimeout(timeoutMs)), timeoutMs);
    timer.signal.addEventListener('abort', () => clearTimeout(handle));
  });
  const attempt = (async (): Promise<ProbeResult> => {
    const client = await byFirstWay(await waysToConnect(connection), async (way) => {
      const socket = new Socket();
      layer = 'host';
      socket.once('connect', () => (layer = 'login'));
      const stream = (): Socket => socket;
      const one = newClient(connection, connection.maintenanceDatabase, { connectTimeoutMs: 0, stream, way });
      one.on('error', () => undefined);
      opened.push({ client: one, socket });
      await one.connect();
      return one;
    });
    layer = 'query';
    await setForSession(client, connection, [TIMES_AS_ISO]).catch((error: unknown) => {
      if (isRepriseError(error)) layer = 'login';
      throw error;
    });
    const { rows } = await client.query<{ at: Date | null }>(QUERY);
    const at = rows[0]?.at;
    return at ? { ok: true, lastCommitAt: at.toISOString() } : { ok: true };
  })();
  try {
    return await Promise.race([attempt, late]);
  } catch (error) {
    return failure(orPoolerRefused(error, connection), layer, connection);
  } finally {
    timer.abort();
    // The attempt may still fail later, when its socket is gone: nobody waits for that any more.
    attempt.catch(() => undefined);
    await Promise.all(opened.map(({ client, socket }) => hangUp(client, socket)));
  }
}

class ProbeTimeout extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms / 1000} s`);
  }
}

async function hangUp(client: { end(): Promise<void> }, socket: Socket): Promise<void> {
  const ended = client.end().catch(() => undefined);
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 200).unref())]);
  socket.destroy();
}

function failure(error: unknown, reached: ProbeLayer, connection: ConnectionConfig): ProbeResult {
  const code = sqlState(error) ?? '';
  const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  if (reached !== 'host') {
    const fix = reached === 'login' ? loginFix(error, connection) : null;
    return { ok: false, layer: reached, reason: explainLogin(code, reason), ...(fix !== null && { fix }) };
  }
  // A refusal comes from a host that is up; so does a missing socket file.
  const port = /^(ECONNREFUSED|ENOENT|EACCES|ECONNRESET)$/.test(code) || connection.host.startsWith('/');
  const place = `${connection.host}:${connection.port}`;
  return { ok: false, layer: port ? 'port' : 'host', reason: `${place}: ${reason || code}` };
}

/**
 * What a person corrects where the server itself, or the password file, refuses the login: null where the server is not able to let
 * anybody in, as without its files, while it starts, or when it falls silent.
 */
function loginFix(error: unknown, connection: ConnectionConfig): string | null {
  if (isRepriseError(error)) return error.hint ?? 'see reprise doctor';
  const { code = '', detail = '' } = error as { readonly code?: string; readonly detail?: string };
  const message = error instanceof Error ? error.message : '';
  const cause = code.startsWith('28') || (code === '' && /SASL|password/i.test(message)) ? 'login' : code;
  if (cause === '3D000' && detail.includes('subdirectory')) return null;
  const fixes = fixesOf(connection);
  if (Object.hasOwn(fixes, cause)) return fixes[cause] ?? null;
  return /certificate|SSL|TLS/i.test(`${code} ${message}`)
    ? 'correct the TLS settings of the connection, or ssl of the server'
    : null;
}

/** By SQLSTATE, or by the code of a file that cannot be read: the socket is open, so that this is the password file. */
function fixesOf({
  user,
  passfile,
  maintenanceDatabase: database,
  host,
  port,
}: ConnectionConfig): Record<string, string> {
  const address = `${host}:${port}`;
  const unreadable = `make ${passfile ?? 'the password file'} readable for the user of the worker`;
  return {
    login: `correct the login of user ${user} at ${address}: the password in ${passfile ?? 'passfile: of the connection'}, the role on the server, or pg_hba.conf; \`reprise doctor\` tries it`,
    '3D000': `name a database that is there: maintenance_database: of the connection, now ${database}`,
    '53300': `end sessions of ${address} that are not needed, or raise max_connections: one connection is needed`,
    '42501': `GRANT CONNECT ON DATABASE ${database} TO ${user}`,
    '55000': `ALTER DATABASE ${database} ALLOW_CONNECTIONS true, or name another one: maintenance_database: of the connection`,
    ENOENT: unreadable,
    EACCES: unreadable,
  };
}

function explainLogin(code: string, reason: string): string {
  if (code === '57P03') return `the server is not ready: ${reason}`;
  if (code === '53300') return `the server takes no more connections: ${reason}`;
  return reason;
}
