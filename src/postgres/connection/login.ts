import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { RepriseError } from '../../domain/errors.js';

const ITERATIONS = 4096;
/** Sessions end within seconds of their signal. */
const [LONGEST_MS, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS] = [30_000, 5, 100];

/** What the server stores of a password (RFC 5803): sent in its place, so that none gets into a server's log. */
export function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const keyed = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${keyed('Server Key').toString('base64')}`;
}

/** Ends all sessions of a role that can begin none any more. @throws RepriseError `lock-held` */
export async function endSessionsOf(client: pg.ClientBase, role: string): Promise<void> {
  for (let waitedMs = 0, pauseMs = SHORTEST_PAUSE_MS; waitedMs < LONGEST_MS; waitedMs += pauseMs) {
    const { rowCount } = await client.query(
      'SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = $1',
      [role],
    );
    if (rowCount === 0) return;
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    await sleep(pauseMs);
  }
  throw new RepriseError('lock-held', `sessions of role ${role} do not end`, 'see pg_stat_activity, and end them');
}
