import type pg from 'pg';
import { withClient } from '../../postgres/connect.js';
import type { ReadContext } from '../engine.js';
import { optionsOf } from './options.js';

/** A replication slot as the server shows it. */
export interface SlotState {
  readonly active: boolean;
  /** Bytes of WAL that the server keeps for it. */
  readonly keptBytes: number;
  /** Its WAL was removed (`max_slot_wal_keep_size`): what was not fetched is gone. */
  readonly lost: boolean;
}

const LONGEST_NAME = 63;

/** The slot of a policy, unique in its cluster. */
export function slotName(context: Pick<ReadContext, 'cluster' | 'policy'>): string {
  const { cluster, policy } = context;
  return optionsOf(context).slot ?? `reprise_${cluster.name}_${policy.name}`.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_').slice(0, LONGEST_NAME);
}

export async function slotState(client: pg.ClientBase, name: string): Promise<SlotState | null> {
  const { rows } = await client.query<{ active: boolean; kept: string; lost: boolean }>(
    `SELECT active, wal_status = 'lost' AS lost,
            coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint::text AS kept
       FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  const [row] = rows;
  return row === undefined ? null : { active: row.active, keptBytes: Math.max(0, Number(row.kept)), lost: row.lost };
}

/**
 * Makes the slot where there is none, or in place of one whose WAL is lost: from now on the server keeps what is not
 * fetched.
 * @returns whether it was made now: what was fetched before does not lead on to it
 */
export async function ensureSlot(context: Pick<ReadContext, 'cluster' | 'policy'>): Promise<boolean> {
  const { connection } = context.cluster;
  const name = slotName(context);
  return withClient(connection, connection.maintenanceDatabase, async (client) => {
    // A standby's slot would keep WAL there for nobody; a recovering server gets one when it is open.
    const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby');
    if (rows[0]?.standby === true) return false;
    const state = await slotState(client, name);
    if (state !== null && !state.lost) return false;
    if (state !== null) await client.query('SELECT pg_drop_replication_slot($1)', [name]);
    await client.query('SELECT pg_create_physical_replication_slot($1, true)', [name]);
    return true;
  });
}
