/**
 * What keeps a database from being dropped, and WAL of a server from being removed: subscriptions in it, and slots that were made in
 * it. Both are named in a plan first, and nothing else is taken.
 */
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { sqlState } from '../connection/database-errors.js';
import { withClient, withMaintenance } from '../connection/with-client.js';

export interface KeptReplication {
  /** `slot`: at the publisher; null: it uses none. */
  readonly subscriptions: readonly { readonly name: string; readonly slot: string | null }[];
  /** Logical slots of this server. */
  readonly slots: readonly string[];
}

/** Of one database; null where it has none of either. */
export async function replicationOf(connection: ConnectionConfig, database: string): Promise<KeptReplication | null> {
  const found = await withMaintenance(connection, async (client) => {
    const { rows: subscriptions } = await client.query<KeptReplication['subscriptions'][number]>(
      `SELECT s.subname::text AS name, s.subslotname::text AS slot FROM pg_catalog.pg_subscription s
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1 ORDER BY 1`,
      [database],
    );
    const { rows: slots } = await client.query<{ name: string }>(
      `SELECT slot_name::text AS name FROM pg_catalog.pg_replication_slots WHERE database = $1 AND NOT temporary ORDER BY 1`,
      [database],
    );
    return { subscriptions, slots: slots.map(({ name }) => name) };
  });
  return found.subscriptions.length + found.slots.length === 0 ? null : found;
}

/** What is done with it before the database is dropped, for the plan: each with what becomes of the other side. */
export function replicationInWords({ subscriptions, slots }: KeptReplication): readonly string[] {
  return [
    ...subscriptions.map(({ name, slot }) =>
      slot === null
        ? `subscription ${name}, which uses no slot of its publisher`
        : `subscription ${name}; its slot ${slot} stays at the publisher and holds WAL there, until it is used again or dropped there: SELECT pg_drop_replication_slot(${pg.escapeLiteral(slot)})`,
    ),
    ...slots.map(
      (name) => `logical replication slot ${name}: its subscriber gets nothing from it any more, and has to be rebuilt`,
    ),
  ];
}

/**
 * Drops these subscriptions, without a word to their publishers, and these slots.
 * @throws RepriseError `privilege-missing` with the statements; `conflict` for a slot that is in use
 */
export async function dropReplication(
  connection: ConnectionConfig,
  database: string,
  found: KeptReplication,
): Promise<void> {
  try {
    await dropSubscriptions(connection, database, found.subscriptions);
    await withMaintenance(connection, async (client) => {
      for (const name of found.slots)
        await client.query(
          `SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots
            WHERE slot_name = $1 AND database = $2`,
          [name, database],
        );
    });
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    const state = error.details['sqlState'] ?? sqlState(error);
    if (state === '55006')
      throw new RepriseError(
        'conflict',
        `a logical replication slot of ${JSON.stringify(database)} is in use: ${error.message}`,
        'stop its subscriber (pg_replication_slots has its process), then try again',
      );
    if (error.code !== 'privilege-missing') throw error;
    throw new RepriseError(error.code, error.message, `as a superuser: ${statements(database, found).join('; ')}`);
  }
}

/**
 * No worker of theirs may run in the copy meanwhile: it would take changes of the publisher that the live database needs. So they are
 * disabled before anybody can connect.
 */
async function dropSubscriptions(
  connection: ConnectionConfig,
  database: string,
  subscriptions: KeptReplication['subscriptions'],
): Promise<void> {
  if (subscriptions.length === 0) return;
  const place = pg.escapeIdentifier(database);
  await withMaintenance(
    connection,
    async (client) => {
      await client.query(
        `UPDATE pg_catalog.pg_subscription SET subenabled = false, subslotname = NULL
          WHERE subname = ANY ($1) AND subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = $2)`,
        [subscriptions.map(({ name }) => name), database],
      );
      await client.query(`ALTER DATABASE ${place} WITH ALLOW_CONNECTIONS true`);
      try {
        const drop = async (inside: pg.Client): Promise<void> => {
          // Event triggers of the copy run nothing.
          await inside.query("SET session_replication_role = 'replica'");
          for (const { name } of subscriptions)
            await inside.query(`DROP SUBSCRIPTION IF EXISTS ${pg.escapeIdentifier(name)}`);
        };
        await withClient(connection, database, drop, { withoutEventTriggers: await hasLoginTriggers(client) });
      } finally {
        await client.query(`ALTER DATABASE ${place} WITH ALLOW_CONNECTIONS false`);
      }
    },
    { notIn: [database] },
  );
}

/** From PostgreSQL 17 on. */
async function hasLoginTriggers(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ version: number }>(
    "SELECT pg_catalog.current_setting('server_version_num')::int AS version",
  );
  return (rows[0]?.version ?? 0) >= 170000;
}

function statements(database: string, { subscriptions, slots }: KeptReplication): readonly string[] {
  const place = pg.escapeIdentifier(database);
  return [
    ...(subscriptions.length === 0
      ? []
      : [`ALTER DATABASE ${place} ALLOW_CONNECTIONS true`, `in that database, for each subscription:`]),
    ...subscriptions
      .map(({ name }) => pg.escapeIdentifier(name))
      .flatMap((name) => [
        `ALTER SUBSCRIPTION ${name} DISABLE`,
        `ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`,
        `DROP SUBSCRIPTION ${name}`,
      ]),
    ...slots.map((name) => `SELECT pg_drop_replication_slot(${pg.escapeLiteral(name)})`),
  ];
}
