import type pg from 'pg';
import type { TableCount } from '../../../domain/backup/backup.js';
import type { RecordedObjects, SequenceValue } from '../../../domain/backup/recorded-objects.js';
import type { ConnectionConfig } from '../../../domain/config.js';
import { isRepriseError } from '../../../domain/errors.js';
import { withClient } from '../../../postgres/connection/with-client.js';
import { countTables } from '../../../postgres/content/inventory.js';
import { readSequences, recordDatabaseObjects } from '../../../postgres/content/read-objects.js';
import { inSnapshot } from '../../../postgres/connection/snapshot.js';
import type { ObjectCounts } from '../repository/manifest.js';
import { countObjects } from './database-facts.js';
import { LOCK_WAIT_TIMEOUT } from '../tools.js';

/** What a database held in one snapshot, counted by SQL. */
export interface Inventory {
  readonly contents: readonly TableCount[];
  readonly objects: ObjectCounts;
  /** Read in a snapshot that is dumped; absent where it could not be read. */
  readonly recorded?: RecordedObjects;
}

/** Which database is counted, and whether its rows are hashed too. */
interface Counted {
  readonly connection: ConnectionConfig;
  readonly database: string;
  readonly hashes: boolean;
  readonly signal: AbortSignal;
}

/**
 * Holds a snapshot open while `work` dumps it, and counts rows and objects in that same snapshot at the same time, in a session
 * of its own: an error there would end the transaction whose snapshot is dumped.
 * Where no snapshot can be had, or counting fails, the work is done all the same and the inventory is null: a dump that
 * ended is worth more than its counts, which can be made from the dump.
 *
 * @throws what `work` throws
 */
export async function withInventory<T>(
  counted: Counted,
  work: (snapshot: string | null) => Promise<T>,
): Promise<{ result: T; inventory: Inventory | null }> {
  const { connection, database, signal } = counted;
  let done: { result: T } | { error: unknown } | undefined;
  let inventory: Inventory | null = null;
  try {
    await withClient(connection, database, async (client) => {
      const snapshot = await exportSnapshot(client);
      // A value that is read while the dump runs may be later than the one in it.
      const sequences = await readSequences(client).catch(() => []);
      const counting = countInSnapshot(counted, snapshot, sequences).catch(() => null);
      done = await work(snapshot).then(
        (result) => ({ result }),
        (error: unknown) => ({ error }),
      );
      if ('result' in done) inventory = await Promise.race([counting, aborted(signal)]);
    });
  } catch (error) {
    // The work's own end counts, not that of the session beside it.
    if (done === undefined && !isUnreachable(error)) throw error;
  }
  done ??= { result: await work(null) };
  if ('error' in done) throw done.error;
  return { result: done.result, inventory };
}

/** Rows of every table and objects by kind, in the session's transaction where it is in one. */
export async function takeInventory(
  client: pg.Client,
  database: string,
  options: { readonly hashes?: boolean; readonly sizes?: boolean } = {},
): Promise<Inventory> {
  return inSnapshot(client, async () => ({
    contents: await countTables(client, database, options),
    objects: await countObjects(client),
  }));
}

function countInSnapshot(
  { connection, database, hashes }: Counted,
  snapshot: string,
  sequences: readonly SequenceValue[],
): Promise<Inventory> {
  return withClient(connection, database, async (client) => {
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(`SET TRANSACTION SNAPSHOT ${client.escapeLiteral(snapshot)}`);
    await setForReading(client);
    const inventory = await takeInventory(client, database, { hashes, sizes: true });
    const recorded = await recordDatabaseObjects(client, database, { hashes, sequences }).catch(() => undefined);
    return recorded === undefined ? inventory : { ...inventory, recorded };
  });
}

async function exportSnapshot(client: pg.Client): Promise<string> {
  await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await setForReading(client);
  const { rows } = await client.query<{ id: string }>('SELECT pg_catalog.pg_export_snapshot() AS id');
  return rows[0]?.id ?? '';
}

async function setForReading(client: pg.Client): Promise<void> {
  // Row security off makes a count fail that would leave rows out.
  await client.query(`SET LOCAL row_security = off; SET LOCAL lock_timeout = '${LOCK_WAIT_TIMEOUT}'`);
}

async function aborted(signal: AbortSignal): Promise<null> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  return null;
}

function isUnreachable(error: unknown): boolean {
  return isRepriseError(error) && error.code === 'database-unreachable';
}
