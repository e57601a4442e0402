import type pg from 'pg';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { sqlState } from '../connection/database-errors.js';
import { pidOf } from '../connection/pooler.js';

const LOOK_MS = 1000;
/** Most of them that are named. */
const NAMED = 3;

/** SQLSTATEs of what passes by itself: other transactions were in the way. */
const IN_THE_WAY: Readonly<Record<string, string>> = {
  '55P03': 'is held by others',
  '40P01': 'was wanted by others in another order (a deadlock)',
  '40001': 'was changed by others at the same time',
};

/** What such an error says to people, who may wait or end the others; undefined: it is another error. */
export function othersInTheWay(error: unknown, what: string): RepriseError | undefined {
  const words = IN_THE_WAY[sqlState(error) ?? ''];
  if (words === undefined) return undefined;
  return new RepriseError(
    'busy',
    `${what} ${words}: nothing was changed by this attempt`,
    'it is tried again; or end those sessions: SELECT pg_terminate_backend(PID)',
    { sqlState: sqlState(error) },
  );
}

/**
 * Does work whose statements may wait for locks of others, and looks who holds them: told while it waits, and said in the `busy` that the work
 * fails with.
 * @param watcher another session, of a role that sees all others, and that does nothing else meanwhile
 */
export async function namingHolders<T>(
  watcher: pg.Client,
  worker: pg.Client,
  told: (holders: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  let [holders, looking] = ['', Promise.resolve()];
  let isLooking = false;
  const look = async (): Promise<void> => {
    const found = await holdersOf(watcher, pidOf(worker));
    if (found === '') return;
    holders = found;
    told(found);
  };
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    looking = look()
      .catch(() => undefined)
      .finally(() => (isLooking = false));
  }, LOOK_MS);
  try {
    return await work();
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'busy' || holders === '') throw error;
    throw new RepriseError('busy', `${error.message} (${holders})`, error.hint, error.details);
  } finally {
    clearInterval(timer);
    await looking;
  }
}

/** Sessions for which another one waits; empty: it waits for none. Says nothing of their statements, which may hold values. */
async function holdersOf(client: pg.ClientBase, pid: number): Promise<string> {
  const { rows } = await client.query<{ pid: number; user: string | null; application: string; since: string | null }>(
    `SELECT pid, usename::text AS user, application_name AS application,
            pg_catalog.to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
       FROM pg_catalog.pg_stat_activity WHERE pid = ANY (pg_catalog.pg_blocking_pids($1)) ORDER BY xact_start NULLS LAST LIMIT ${NAMED + 1}`,
    [pid],
  );
  const words = rows
    .slice(0, NAMED)
    .map(({ pid: other, user, application, since }) =>
      [
        `process ${other}`,
        ...(user === null ? [] : [`of ${JSON.stringify(user)}`]),
        ...(application === '' ? [] : [`(${JSON.stringify(application)})`]),
        ...(since === null ? [] : [`since ${since}`]),
      ].join(' '),
    );
  return [...words, ...(rows.length > NAMED ? ['and others'] : [])].join(', ');
}
