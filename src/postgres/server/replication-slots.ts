import type pg from 'pg';

/** A physical replication slot as the server shows it. */
export interface SlotState {
  readonly name: string;
  /** Somebody is connected with it. */
  readonly active: boolean;
  /** Bytes of WAL that the server keeps for it. */
  readonly keptBytes: number;
  /** Its WAL was removed (`max_slot_wal_keep_size`): what was not fetched is gone. */
  readonly lost: boolean;
}

/** All physical slots of the server. */
export async function physicalSlots(client: pg.ClientBase): Promise<SlotState[]> {
  const { rows } = await client.query<{ name: string; active: boolean; kept: string; lost: boolean }>(
    `SELECT slot_name::text AS name, active, coalesce(wal_status = 'lost', false) AS lost,
            coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint::text AS kept
       FROM pg_replication_slots WHERE slot_type = 'physical' ORDER BY 1`,
  );
  return rows.map(({ name, active, kept, lost }) => ({ name, active, lost, keptBytes: Math.max(0, Number(kept)) }));
}

/** Bytes of WAL that a slot may hold back at the most; null where nothing bounds it. */
export async function slotLimitBytes(client: pg.ClientBase): Promise<number | null> {
  const { rows } = await client.query<{ megabytes: number }>(
    "SELECT setting::int AS megabytes FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
  );
  const megabytes = rows[0]?.megabytes ?? -1;
  return megabytes < 0 ? null : megabytes * 1024 * 1024;
}
