import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** A statement that is bound to its disks waits for them nearly always; one look would not tell it from one that hangs. */
const LOOKS = 10;
const BETWEEN_LOOKS_MS = 100;

/**
 * Whether a session's statement advances, as far as its server shows: it, or a parallel worker of it, runs, or waits for one
 * thing after the other. One that waits for the same lock, client or dead mount all the time does not.
 */
export async function backendAdvances(client: pg.ClientBase, pid: number): Promise<boolean> {
  let before: string | null = null;
  for (let look = 0; look < LOOKS; look++) {
    if (look > 0) await sleep(BETWEEN_LOOKS_MS);
    const { rows } = await client.query<{ runs: boolean | null; waits: string | null }>(
      `SELECT bool_or(wait_event IS NULL) AS runs,
              string_agg(concat_ws(' ', pid, wait_event_type, wait_event), ', ' ORDER BY pid) AS waits
         FROM pg_catalog.pg_stat_activity AS one
        WHERE (pid = $1 OR pg_catalog.to_jsonb(one) ->> 'leader_pid' = $1::text) AND state = 'active'`,
      [pid],
    );
    const { runs = null, waits = null } = rows[0] ?? {};
    if (waits === null) return false;
    if (runs === true || (before !== null && before !== waits)) return true;
    before = waits;
  }
  return false;
}
