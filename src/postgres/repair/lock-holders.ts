import type pg from 'pg';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { sqlState } from '../connection/database-errors.js';
import { pidOf } from '../connection/pooler.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';

/** A table that others hold is waited for no longer: all who come after would wait behind this. */
export const LOCK_TIMEOUT = '10s';
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
    if (!isRepriseError(error) || error.code !== 'busy') throw error;
    // A look that is under way may be the first that sees them.
    await looking;
    if (holders === '') throw error;
    throw new RepriseError('busy', `${error.message} (${holders})`, error.hint, error.details);
  } finally {
    clearInterval(timer);
    await looking;
  }
}

/**
 * Reads what the catalogue says of a table: the server locks it for the text of a check or of a computed column, and somebody may hold it for hours.
 * @throws RepriseError `busy`, with who holds it
 */
export async function withoutWaiting<T>(client: pg.ClientBase, table: TableName, read: () => Promise<T>): Promise<T> {
  await client.query(`SET lock_timeout TO '${LOCK_TIMEOUT}'`);
  try {
    return await read();
  } catch (error) {
    const busy = othersInTheWay(error, formatTableName(table));
    if (busy === undefined) throw error;
    const holders = await exclusiveHolders(client, table).catch(() => '');
    throw holders === '' ? busy : new RepriseError('busy', `${busy.message} (${holders})`, busy.hint, busy.details);
  } finally {
    await client.query('RESET lock_timeout').catch(() => undefined);
  }
}

/** Who lets nobody read a table, as ALTER TABLE and TRUNCATE do until their transaction ends. */
async function exclusiveHolders(client: pg.ClientBase, { schema, table }: TableName): Promise<string> {
  const { rows } = await client.query<Session & { gid: string | null }>(
    `SELECT l.pid, coalesce(a.usename, p.owner)::text AS user, coalesce(a.application_name, '') AS application, p.gid,
            pg_catalog.to_char(coalesce(a.xact_start, p.prepared) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_locks l ON l.relation = c.oid AND l.granted AND l.mode = 'AccessExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
       LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
       LEFT JOIN pg_catalog.pg_locks own ON l.pid IS NULL AND own.pid IS NULL AND own.locktype = 'transactionid' AND own.virtualtransaction = l.virtualtransaction
       LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid
      WHERE n.nspname = $1 AND c.relname = $2 LIMIT 1`,
    [schema, table],
  );
  return rows.map((one) => (one.gid === null ? sessionText(one) : preparedText({ ...one, gid: one.gid }))).join(', ');
}

interface Session {
  readonly pid: number | null;
  readonly user: string | null;
  readonly application: string;
  readonly since: string | null;
}

function sessionText({ pid, user, application, since }: Session): string {
  return [
    `process ${pid}`,
    ...(user === null ? [] : [`of ${JSON.stringify(user)}`]),
    ...(application === '' ? [] : [`(${JSON.stringify(application)})`]),
    ...(since === null ? [] : [`since ${since}`]),
  ].join(' ');
}

const preparedText = ({ gid, user, since }: Pick<Session, 'user' | 'since'> & { readonly gid: string }): string =>
  `prepared transaction ${JSON.stringify(gid)} of ${JSON.stringify(user)} since ${since}, which ends by COMMIT PREPARED or ROLLBACK PREPARED`;

/** Sessions for which another one waits; empty: it waits for none. Says nothing of their statements, which may hold values. */
async function holdersOf(client: pg.ClientBase, pid: number): Promise<string> {
  const { rows } = await client.query<Session>(
    `SELECT pid, usename::text AS user, application_name AS application,
            pg_catalog.to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
       FROM pg_catalog.pg_stat_activity WHERE pid = ANY (pg_catalog.pg_blocking_pids($1)) ORDER BY xact_start NULLS LAST LIMIT ${NAMED + 1}`,
    [pid],
  );
  const prepared = await preparedHolders(client, pid);
  return [...rows.slice(0, NAMED).map(sessionText), ...prepared, ...(rows.length > NAMED ? ['and others'] : [])].join(
    ', ',
  );
}

/** Transactions that were prepared for a commit in two phases hold their locks without a session, until somebody ends them. */
async function preparedHolders(client: pg.ClientBase, pid: number): Promise<readonly string[]> {
  // Of them `pg_blocking_pids` says 0 only.
  const { rows } = await client.query<{ gid: string; user: string; since: string }>(
    `SELECT p.gid, p.owner::text AS user, pg_catalog.to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
       FROM pg_catalog.pg_prepared_xacts p
      WHERE 0 = ANY (pg_catalog.pg_blocking_pids($1)) AND EXISTS (
              SELECT FROM pg_catalog.pg_locks own
                JOIN pg_catalog.pg_locks held ON held.pid IS NULL AND held.granted AND held.virtualtransaction = own.virtualtransaction
                JOIN pg_catalog.pg_locks wanted ON wanted.pid = $1 AND NOT wanted.granted
                 AND held.locktype = wanted.locktype AND held.database IS NOT DISTINCT FROM wanted.database
                 AND held.relation IS NOT DISTINCT FROM wanted.relation AND held.transactionid IS NOT DISTINCT FROM wanted.transactionid
               WHERE own.locktype = 'transactionid' AND own.granted AND own.pid IS NULL AND own.transactionid = p.transaction)
      ORDER BY p.prepared LIMIT ${NAMED}`,
    [pid],
  );
  return rows.map(preparedText);
}
