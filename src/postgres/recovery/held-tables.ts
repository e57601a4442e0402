import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { TableName } from '../../domain/table/table-name.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import type { Service } from '../server/service.js';
import { promoteServer } from './recovery.js';

/**
 * Whether a transaction that is under way where a standby stands has locked a table exclusively (TRUNCATE, ALTER TABLE, LOCK TABLE), or
 * anything else of the database where no table is named. A standby that goes no further holds such locks for ever: nobody reads the table
 * in it, although what was committed until then is whole.
 */
export async function isHeld(client: pg.ClientBase, table: TableName | null): Promise<boolean> {
  // Without functions that would lock the table themselves.
  const { rows } = await client.query<{ held: boolean }>(
    `WITH RECURSIVE tree AS (
       SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2
       UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid),
     stored AS (
       SELECT oid FROM tree
       UNION SELECT c.reltoastrelid FROM pg_catalog.pg_class c JOIN tree USING (oid) WHERE c.reltoastrelid <> 0),
     read AS (
       SELECT oid FROM stored UNION SELECT i.indexrelid FROM pg_catalog.pg_index i JOIN stored ON i.indrelid = stored.oid)
     SELECT pg_catalog.pg_is_in_recovery() AND EXISTS (
       SELECT FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
          AND ($1::text IS NULL OR l.relation IN (SELECT oid FROM read))) AS held`,
    [table?.schema ?? null, table?.table ?? null],
  );
  return rows[0]?.held === true;
}

/**
 * Ends the recovery of a copy that is thrown away: transactions under way are rolled back, prepared ones too, and their locks go. What is
 * read is what was committed where it stood. It recovers no further.
 */
export async function endUnfinished(connection: ConnectionConfig, service: Pick<Service, 'promote'>): Promise<void> {
  await promoteServer(connection, service);
  const prepared = await withMaintenance(connection, async (client) => {
    const { rows } = await client.query<{ database: string; gid: string }>(
      'SELECT database::text, gid FROM pg_catalog.pg_prepared_xacts ORDER BY prepared',
    );
    return rows;
  });
  for (const { database, gid } of prepared)
    await withClient(connection, database, (client) =>
      client.query(`ROLLBACK PREPARED '${gid.replaceAll("'", "''")}'`),
    );
}
