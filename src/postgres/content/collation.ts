import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import { dropStatement, invalidDatabaseText, walkDatabases } from '../server/databases.js';

/** A collation whose rules changed with a library since its indexes were built: they may miss rows. */
export interface CollationMismatch {
  /** The database's own, or one of its collations. */
  readonly collation: string;
  readonly recorded: string;
  readonly actual: string;
}

export interface CollationReport {
  readonly mismatches: readonly CollationMismatch[];
  /** Indexes that sort by one of these, quoted and with their schema. */
  readonly indexes: readonly string[];
}

const DEFAULT_COLLATION_OID = 100;

/**
 * Compares the versions of glibc and ICU that the database recorded with those of this host (manual, "ALTER COLLATION").
 * A physical backup restored onto another release of the system is where they differ.
 */
export async function collationReport(client: pg.ClientBase): Promise<CollationReport> {
  const own = (await hasDatabaseVersion(client)) ? await databaseMismatch(client) : [];
  const { rows } = await client.query<CollationMismatch & { oid: number }>(`
    SELECT c.oid::int AS oid, format('%I.%I', n.nspname, c.collname) AS collation, c.collversion AS recorded,
           pg_collation_actual_version(c.oid) AS actual
      FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
     WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)`);
  const oids = [...(own.length > 0 ? [DEFAULT_COLLATION_OID] : []), ...rows.map(({ oid }) => oid)];
  const mismatches = [...own, ...rows.map(({ collation, recorded, actual }) => ({ collation, recorded, actual }))];
  return { mismatches, indexes: oids.length === 0 ? [] : await indexesSortedBy(client, oids) };
}

/** What was done with the databases of a server, and what was left to people, in words. */
export interface CollationRepair {
  /** Indexes built anew, each with its database. */
  readonly repaired: readonly string[];
  readonly skipped: readonly string[];
}

/**
 * Repairs every database of a server that was restored onto this host. Invalid ones are skipped, and so is one with an
 * index that a prepared transaction keeps from being built: both would hold up the recovery for ever.
 */
export async function repairAllCollations(connection: ConnectionConfig): Promise<CollationRepair> {
  const { usable, invalid } = await withMaintenance(connection, walkDatabases);
  const repaired: string[] = [];
  const skipped = invalid.map((name) => `${invalidDatabaseText(name)}; drop it: ${dropStatement(name)}`);
  for (const database of usable) {
    await withClient(connection, database, async (client) => {
      const report = await collationReport(client);
      if (report.mismatches.length === 0) return;
      const held = await heldByPrepared(client, report.indexes);
      if (held.length > 0) {
        skipped.push(
          `database ${JSON.stringify(database)}: prepared transactions (${held.join(', ')}) keep indexes from being built anew for another collation version; decide each with COMMIT PREPARED or ROLLBACK PREPARED, then REINDEX DATABASE ${pg.escapeIdentifier(database)} and ALTER DATABASE ${pg.escapeIdentifier(database)} REFRESH COLLATION VERSION`,
        );
        return;
      }
      await repairCollations(client, database, report);
      repaired.push(...report.indexes.map((index) => `${database}: ${index}`));
    }).catch((error: unknown) => {
      // Applications are at work by now: it may have been dropped since it was listed, or its drop cut off.
      if (!isRepriseError(error) || (error.code !== 'not-found' && error.details['invalid'] !== true)) throw error;
      skipped.push(error.message);
    });
  }
  return { repaired, skipped };
}

/**
 * Prepared transactions of the connected database that hold a lock on the table of one of these indexes. Their locks have no
 * process; one transaction's are found by the lock on its own id.
 */
async function heldByPrepared(client: pg.ClientBase, indexes: readonly string[]): Promise<readonly string[]> {
  const { rows } = await client.query<{ gid: string }>(
    `SELECT DISTINCT x.gid FROM pg_prepared_xacts x
       JOIN pg_locks own ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = x.transaction
       JOIN pg_locks l ON l.pid IS NULL AND l.virtualtransaction = own.virtualtransaction
       JOIN pg_index i ON l.relation IN (i.indrelid, i.indexrelid)
      WHERE x.database = current_database() AND l.locktype = 'relation'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND i.indexrelid = ANY ($1::text[]::regclass[]) ORDER BY 1`,
    [indexes],
  );
  return rows.map(({ gid }) => gid);
}

/** Builds these indexes anew, one by one, then records the present versions: in this order, so that a cut is repeated. */
export async function repairCollations(
  client: pg.ClientBase,
  database: string,
  report: CollationReport,
): Promise<void> {
  for (const index of report.indexes) await client.query(`REINDEX INDEX ${index}`);
  for (const { collation } of report.mismatches) {
    const own = collation === ownName(database);
    await client.query(
      own
        ? `ALTER DATABASE ${pg.escapeIdentifier(database)} REFRESH COLLATION VERSION`
        : `ALTER COLLATION ${collation} REFRESH VERSION`,
    );
  }
}

async function databaseMismatch(client: pg.ClientBase): Promise<CollationMismatch[]> {
  const { rows } = await client.query<{ name: string; recorded: string; actual: string }>(`
    SELECT datname::text AS name, datcollversion AS recorded, pg_database_collation_actual_version(oid) AS actual
      FROM pg_database WHERE datname = current_database() AND datcollversion <> pg_database_collation_actual_version(oid)`);
  return rows.map(({ name, recorded, actual }) => ({ collation: ownName(name), recorded, actual }));
}

function ownName(database: string): string {
  return `database ${database}`;
}

async function indexesSortedBy(client: pg.ClientBase, collations: readonly number[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_temp%'
        AND EXISTS (SELECT FROM unnest(i.indcollation::oid[]) used WHERE used = ANY ($1::oid[])) ORDER BY 1`,
    [collations],
  );
  return rows.map(({ name }) => name);
}

/** `pg_database.datcollversion` came with PostgreSQL 15. */
async function hasDatabaseVersion(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int AS version",
  );
  return (rows[0]?.version ?? 0) >= 150000;
}
