import { Socket } from 'node:net';
import type { ConnectionConfig } from '../../domain/config.js';
import { newClient } from './with-client.js';
import { sqlState } from './database-errors.js';

/** Result of a connectivity check: the first layer that does not work, from the outside in. */
export type ProbeResult =
  | {
      readonly ok: true;
      /** UTC ISO-8601; only where `track_commit_timestamp` is on. */ readonly lastCommitAt?: string;
    }
  | { readonly ok: false; readonly layer: ProbeLayer; readonly reason: string };
export type ProbeLayer = 'host' | 'port' | 'login' | 'query';

const QUERY = `SELECT CASE WHEN current_setting('track_commit_timestamp') = 'on' AND NOT pg_is_in_recovery()
  THEN (SELECT "timestamp" FROM pg_last_committed_xact()) END AS at`;

/**
 * One connectivity check, never longer than the time given. Layers: `host` (name, route, no answer), `port` (refused,
 * no socket), `login` (authentication, database, start-up, silence after the connection), `query`.
 * @param timeoutMs for the whole, default 5 s.
 */
export async function probe(connection: ConnectionConfig, timeoutMs = 5_000): Promise<ProbeResult> {
  const socket = new Socket();
  let layer: ProbeLayer = 'host';
  socket.once('connect', () => (layer = 'login'));
  const client = newClient(connection, connection.maintenanceDatabase, { connectTimeoutMs: 0, stream: () => socket });
  client.on('error', () => undefined);
  const timer = new AbortController();
  const late = new Promise<never>((_, reject) => {
    const handle = setTimeout(() => reject(new ProbeTimeout(timeoutMs)), timeoutMs);
    timer.signal.addEventListener('abort', () => clearTimeout(handle));
  });
  const attempt = (async (): Promise<ProbeResult> => {
    await client.connect();
    layer = 'query';
    const { rows } = await client.query<{ at: Date | null }>(QUERY);
    const at = rows[0]?.at;
    return at ? { ok: true, lastCommitAt: at.toISOString() } : { ok: true };
  })();
  try {
    return await Promise.race([attempt, late]);
  } catch (error) {
    return failure(error, layer, connection);
  } finally {
    timer.abort();
    // The attempt may still fail later, when its socket is gone: nobody waits for that any more.
    attempt.catch(() => undefined);
    await hangUp(client, socket);
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
  if (reached !== 'host') return { ok: false, layer: reached, reason: explainLogin(code, reason) };
  // A refusal comes from a host that is up; so does a missing socket file.
  const port = /^(ECONNREFUSED|ENOENT|EACCES|ECONNRESET)$/.test(code) || connection.host.startsWith('/');
  const place = `${connection.host}:${connection.port}`;
  return { ok: false, layer: port ? 'port' : 'host', reason: `${place}: ${reason || code}` };
}

function explainLogin(code: string, reason: string): string {
  if (code === '57P03') return `the server is not ready: ${reason}`;
  if (code === '53300') return `the server takes no more connections: ${reason}`;
  return reason;
}
