import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { type DetachedReplication, topologyRefusal, withoutDetached } from '../../domain/plan/topology.js';
import { topologyOfDatabases } from '../server/topology.js';
import { withMaintenance } from '../connection/with-client.js';
import { sqlState } from '../connection/database-errors.js';
import { invalidDatabases } from '../server/databases.js';

/** Names of a swap: `fresh` becomes `live`, and what was `live` is kept as `oldData`. */
export interface DatabaseSwap {
  readonly live: string;
  readonly fresh: string;
  readonly oldData: string;
  /** Stands in the comment of `fresh`, which is not swapped in without it; absent for the way back, where there is none. */
  readonly mark?: string;
  /** Subscriptions and logical slots that stay with `live` under its new name; with any other one it is not swapped. `all`: nobody depends on them. */
  readonly detaches?: DetachedReplication | 'all';
}

/** How often sessions that come back between their end and the rename are ended again. */
const ATTEMPTS = 20;
const OBJECT_IN_USE = '55006';

/**
 * Puts a restored database in the place of the live one. Both renames are one transaction, so that a kill at any instant
 * leaves either the old names or the new ones; a repeated call finds out which. The old database takes no connections
 * from the start and keeps refusing them: what is in it is evidence, and applications cannot write there unnoticed.
 * A live one that is already gone is no error. The way back is a swap with `fresh` and `oldData` exchanged.
 * @throws RepriseError `not-found` where there is nothing to swap in; `conflict` where it is another one; `topology-refused` where
 *   a subscription or a logical slot would stay behind with the old one;
 *   `lock-held` where sessions cannot be ended.
 */
export async function swapDatabases(connection: ConnectionConfig, swap: DatabaseSwap): Promise<void> {
  const { live, fresh, oldData, mark } = swap;
  const swapIn = async (client: pg.Client): Promise<void> => {
    const there = await existing(client, swap);
    if (!there.has(fresh)) {
      if (isMarked(there.get(live), mark) && there.has(oldData)) return;
      throw new RepriseError(
        'not-found',
        `there is no database ${JSON.stringify(fresh)} to replace ${JSON.stringify(live)}`,
        'Restore it first.',
      );
    }
    if (!isMarked(there.get(fresh), mark))
      throw new RepriseError(
        'conflict',
        `the database ${JSON.stringify(fresh)} is not the one that this operation has restored`,
        'drop or rename it, then recover again',
      );
    const closing = [fresh, ...(there.has(live) ? [live] : [])];
    if (there.has(live)) {
      await refusePrepared(client, live);
      // It may have got one while the restore took hours.
      if (swap.detaches !== 'all') {
        const found = await topologyOfDatabases(client, [live]);
        const refusal = topologyRefusal(withoutDetached(found, swap.detaches));
        if (refusal) throw refusal;
      }
    }
    await exclusively(client, live, closing, async () => {
      await client.query('BEGIN');
      if (there.has(live)) {
        await disableSubscriptions(client, live);
        await rename(client, live, oldData);
      }
      await rename(client, fresh, live);
      await allowConnections(client, live, true);
      await client.query('COMMIT');
    });
  };
  await withMaintenance(connection, swapIn, { notIn: [live, fresh, oldData] });
}

/**
 * For all who ever open the old database again: what it would take from a publisher then is needed by whoever is rebuilt. Only a
 * superuser can; while it is closed its workers cannot start.
 */
async function disableSubscriptions(client: pg.ClientBase, database: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
      WHERE d.datname = $1 AND s.subenabled AND (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)`,
    [database],
  );
  if (rows.length === 0) return;
  await client.query(
    `UPDATE pg_catalog.pg_subscription SET subenabled = false
      WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = $1)`,
    [database],
  );
}

/** Those that are there, each with its comment. */
async function existing(
  client: pg.ClientBase,
  { live, fresh, oldData }: DatabaseSwap,
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ name: string; comment: string }>(
    `SELECT datname::text AS name, coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '') AS comment
       FROM pg_catalog.pg_database WHERE datname = ANY ($1)`,
    [[live, fresh, oldData]],
  );
  return new Map(rows.map(({ name, comment }) => [name, comment]));
}

/** Whether it is there, and the one that bears the mark. */
function isMarked(comment: string | undefined, mark: string | undefined): boolean {
  return comment !== undefined && (mark === undefined || comment.includes(mark));
}

/** A rename waits for all sessions of a database and then gives up; poolers come back faster than that. */
async function exclusively(
  client: pg.ClientBase,
  live: string,
  databases: readonly string[],
  renames: () => Promise<void>,
): Promise<void> {
  try {
    await closed(client, databases, renames);
  } catch (error) {
    // A failure after this must not leave a live database that nobody can use.
    if (databases.includes(live)) await allowConnections(client, live, true).catch(() => undefined);
    throw error;
  }
}

async function closed(
  client: pg.ClientBase,
  databases: readonly string[],
  renames: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    // An invalid one, which a cut DROP DATABASE has left, can be renamed but not altered; it takes no connections anyway.
    const invalid = await invalidDatabases(client, databases);
    for (const database of databases) if (!invalid.includes(database)) await allowConnections(client, database, false);
    await client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY ($1) AND pid <> pg_backend_pid()',
      [databases],
    );
    try {
      return await renames();
    } catch (error) {
      // Where the session itself is gone this fails, too; what happened first is what counts.
      await client.query('ROLLBACK').catch(() => undefined);
      if (sqlState(error) !== OBJECT_IN_USE) throw error;
      if (attempt >= ATTEMPTS) {
        throw new RepriseError(
          'lock-held',
          `sessions of ${databases.map((name) => JSON.stringify(name)).join(', ')} do not end`,
          'See pg_stat_activity, end them, then try again.',
        );
      }
      await sleep(100);
    }
  }
}

/** A prepared transaction belongs to a database and has no session that could be ended. */
async function refusePrepared(client: pg.ClientBase, database: string): Promise<void> {
  const { rows } = await client.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts WHERE database = $1', [
    database,
  ]);
  if (rows.length === 0) return;
  throw new RepriseError(
    'lock-held',
    `${rows.length} prepared transactions keep ${JSON.stringify(database)} from being renamed`,
    'Decide each with COMMIT PREPARED or ROLLBACK PREPARED (pg_prepared_xacts lists them), then try again.',
  );
}

async function rename(client: pg.ClientBase, from: string, to: string): Promise<void> {
  await client.query(`ALTER DATABASE ${pg.escapeIdentifier(from)} RENAME TO ${pg.escapeIdentifier(to)}`);
}

async function allowConnections(client: pg.ClientBase, database: string, allowed: boolean): Promise<void> {
  await client.query(`ALTER DATABASE ${pg.escapeIdentifier(database)} WITH ALLOW_CONNECTIONS ${String(allowed)}`);
}
