import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type { Topology } from '../../domain/plan/topology.js';
import { withMaintenance } from '../connection/with-client.js';
import { holdsUnfinishedRecovery } from './data-directory.js';
import { pathExists } from '../../files/paths.js';

const SLOT_DATABASE_OFFSET = 16 + 64;

/** Statements that detach what is logical, for databases of these names; null: all of the server. */
const STATEMENTS = (databases: string): string => `ARRAY(
  SELECT format('SELECT pg_drop_replication_slot(%L);  -- its subscriber is rebuilt afterwards', slot_name) FROM pg_catalog.pg_replication_slots
   WHERE slot_type = 'logical' AND NOT temporary AND (${databases} IS NULL OR database::text = ANY (${databases}))
  UNION ALL
  SELECT format('in database %1$I: ALTER SUBSCRIPTION %2$I DISABLE; ALTER SUBSCRIPTION %2$I SET (slot_name = NONE); DROP SUBSCRIPTION %2$I;', d.datname, s.subname)
         || coalesce('  -- its slot ' || quote_ident(s.subslotname) || ' holds WAL at the publisher until a new subscription uses it (create_slot = false) or it is dropped there', '')
    FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
   WHERE ${databases} IS NULL OR d.datname::text = ANY (${databases}))`;

/**
 * Topology of a running server, in any database of it.
 * @param ownSlots of receivers that make them again after a recovery: neither they nor who is connected by them depend on it
 */
export async function readTopology(client: pg.ClientBase, ownSlots: readonly string[]): Promise<Topology> {
  const { rows } = await client.query<Topology>(
    `
    SELECT ARRAY(SELECT application_name || coalesce(' (' || host(client_addr) || ')', '') FROM pg_stat_replication r
                  WHERE application_name NOT IN ('pg_basebackup', 'pgbackrest') AND state IS DISTINCT FROM 'backup'
                    AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_name = ANY ($1))
                  ORDER BY 1) AS standbys,
           ARRAY(SELECT slot_name::text FROM pg_replication_slots
                  WHERE slot_type = 'physical' AND NOT temporary AND slot_name <> ALL ($1) ORDER BY 1) AS "physicalSlots",
           ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'logical' AND NOT temporary ORDER BY 1) AS "logicalSlots",
           ARRAY(SELECT subname::text FROM pg_subscription ORDER BY 1) AS subscriptions,
           ${STATEMENTS('NULL::text[]')} AS statements,
           EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'Patroni%') AS patroni,
           pg_is_in_recovery() AS "isStandby",
           ARRAY(SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1) AS tablespaces,
           ARRAY(SELECT trim(name) FROM regexp_split_to_table(current_setting('shared_preload_libraries'), ',') name
                  WHERE trim(name) IN ('pg_cron', 'timescaledb', 'pg_partman_bgw', 'pg_timetable')) AS schedulers`,
    [ownSlots],
  );
  return rows[0] as Topology;
}

/**
 * What depends on some databases of a running server, and would not follow to others of their names: a slot stays with the database
 * that it was made in, a subscription with its publisher's position. Null where the server does not answer.
 */
export async function readDatabaseTopology(
  connection: ConnectionConfig,
  databases: readonly string[],
): Promise<Topology | null> {
  return withMaintenance(connection, (client) => topologyOfDatabases(client, databases)).catch((error: unknown) => {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  });
}

/** The same of a session that there is. */
export async function topologyOfDatabases(client: pg.ClientBase, databases: readonly string[]): Promise<Topology> {
  const { rows } = await client.query<Pick<Topology, 'logicalSlots' | 'subscriptions' | 'statements'>>(
    `SELECT ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE database::text = ANY ($1) AND NOT temporary ORDER BY 1) AS "logicalSlots",
              ARRAY(SELECT s.subname::text || ' of database ' || d.datname || coalesce(' (slot ' || s.subslotname || ' at its publisher)', '') FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
                     WHERE d.datname::text = ANY ($1) ORDER BY 1) AS subscriptions,
              ${STATEMENTS('$1::text[]')} AS statements`,
    [databases],
  );
  const none = { standbys: [], physicalSlots: [], patroni: false, isStandby: false, tablespaces: [], schedulers: [] };
  return { ...none, logicalSlots: [], subscriptions: [], ...rows[0] };
}

/**
 * Topology as far as the files of a server that is down show it: slots and tablespaces. Standbys are not to be seen
 * there, but those with a slot are.
 */
async function readTopologyFromFiles(dataDir: string, ownSlots: readonly string[]): Promise<Topology> {
  const slots = await readdir(join(dataDir, 'pg_replslot')).catch(() => [] as string[]);
  const kinds = await Promise.all(
    slots.map(async (name) => ({ name, logical: await isLogicalSlot(join(dataDir, 'pg_replslot', name, 'state')) })),
  );
  return {
    standbys: [],
    physicalSlots: kinds
      .filter(({ name, logical }) => logical === false && !ownSlots.includes(name))
      .map(({ name }) => name),
    logicalSlots: kinds.filter(({ logical }) => logical === true).map(({ name }) => name),
    subscriptions: [],
    patroni: await pathExists(join(dataDir, 'patroni.dynamic.json')),
    isStandby: await pathExists(join(dataDir, 'standby.signal')),
    tablespaces: await readdir(join(dataDir, 'pg_tblspc')).catch(() => []),
    schedulers: [],
  };
}

/**
 * Topology of a cluster, from its server or, where that is down, from its files. Null where neither can be read.
 * A standby that a recovery of ours has left unfinished counts as none.
 */
export async function readClusterTopology(
  connection: ConnectionConfig,
  dataDir: string | undefined,
  ownSlots: readonly string[],
): Promise<Topology | null> {
  const topology = await withMaintenance(connection, (client) => readTopology(client, ownSlots)).catch(
    (error: unknown) => {
      if (isRepriseError(error) && error.code === 'database-unreachable')
        return dataDir === undefined ? null : readTopologyFromFiles(dataDir, ownSlots);
      throw error;
    },
  );
  if (topology === null || dataDir === undefined || !(await holdsUnfinishedRecovery(dataDir))) return topology;
  return { ...topology, isStandby: false };
}

/** `ReplicationSlotOnDisk`: four numbers, the slot's name (64 bytes), then its database, which only a logical one has. */
async function isLogicalSlot(stateFile: string): Promise<boolean | null> {
  const handle = await open(stateFile, 'r').catch(() => null);
  if (handle === null) return null;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, SLOT_DATABASE_OFFSET);
    return bytesRead < 4 ? null : buffer.readUInt32LE(0) !== 0;
  } finally {
    await handle.close();
  }
}
