import type pg from 'pg';
import type { ServerFacts } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import { withClient, withMaintenance } from '../../../postgres/connection/with-client.js';
import { databaseProperties } from '../../../postgres/content/database-properties.js';
import type { DatabaseProperties } from '../../../postgres/content/database-properties.js';
import type { EngineContext } from '../../engine.js';
import { serverFacts } from '../../../postgres/server/server-facts.js';
import type { DumpFacts, ObjectCounts } from '../repository/manifest.js';
import { withoutMarks } from '../restore/new-database.js';

/** What the engine asks of a database before it dumps it. */
export interface DatabaseFacts {
  readonly server: ServerFacts;
  readonly superuser: boolean;
  readonly databaseSizeBytes: number;
  readonly comment: string | null;
  readonly extensions: readonly string[];
  readonly extensionTables: DumpFacts['extensionTables'];
  readonly tablespaces: readonly string[];
  /** Absent for a primary. */
  readonly standby?: boolean;
}

/** What the engine records of the database a client is connected to. */
export async function readDatabaseFacts(client: pg.Client): Promise<DatabaseFacts> {
  const { versionNum, systemIdentifier, encoding, dataChecksums, inRecovery } = await serverFacts(client);
  const { rows } = await client.query<FactsRow>(`
    SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
           pg_catalog.pg_database_size(pg_catalog.current_database())::text AS size,
           (SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database
             WHERE datname = pg_catalog.current_database()) AS comment,
           ARRAY(SELECT extname::text FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' ORDER BY 1) AS extensions,
           (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('schema', n.nspname, 'table', c.relname)), '[]')
              FROM pg_catalog.pg_extension e, pg_catalog.unnest(e.extconfig) AS config (oid)
              JOIN pg_catalog.pg_class c ON c.oid = config.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r') AS "extensionTables",
           ARRAY(SELECT s.spcname::text FROM pg_catalog.pg_tablespace s
                  WHERE s.spcname NOT IN ('pg_default', 'pg_global')
                    AND (s.oid IN (SELECT reltablespace FROM pg_catalog.pg_class)
                         OR s.oid = (SELECT dattablespace FROM pg_catalog.pg_database
                                      WHERE datname = pg_catalog.current_database()))
                  ORDER BY 1) AS tablespaces`);
  const [row] = rows;
  if (row === undefined) throw new RepriseError('internal', 'a query for the facts of the server returned no row');
  return {
    server: { versionNum, systemIdentifier, encoding, dataChecksums },
    superuser: row.superuser,
    databaseSizeBytes: Number(row.size),
    comment: withoutMarks(row.comment),
    extensions: row.extensions,
    extensionTables: row.extensionTables,
    tablespaces: row.tablespaces,
    ...(inRecovery ? { standby: true } : {}),
  };
}

/** The same with what all databases share: read where names are not taken for text in the encoding of this database. */
export async function factsAndProperties(
  { cluster: { connection } }: Pick<EngineContext, 'cluster'>,
  database: string,
): Promise<DatabaseFacts & { readonly properties: DatabaseProperties }> {
  const facts = await withClient(connection, database, readDatabaseFacts);
  const properties = await withMaintenance(connection, (client) => databaseProperties(client, database));
  return { ...facts, properties };
}

interface FactsRow {
  readonly superuser: boolean;
  readonly size: string;
  readonly comment: string | null;
  readonly extensions: string[];
  readonly extensionTables: { schema: string; table: string }[];
  readonly tablespaces: string[];
}

const extensionObjects = `SELECT objid FROM pg_catalog.pg_depend WHERE deptype = 'e'`;
const userObjects = `NOT IN (${extensionObjects})`;
const partitioned = `SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'p'`;
const userSchemas = `IN (SELECT oid FROM pg_catalog.pg_namespace
                          WHERE nspname <> 'information_schema' AND nspname !~ '^pg_')`;
/** No dump holds what belongs to a temporary table of some session. */
const notTemporary = `NOT IN (SELECT oid FROM pg_catalog.pg_class WHERE relpersistence = 't')`;

/**
 * Objects by kind, so that a restore that left some out without a word is seen. Counted is what a dump brings: an invalid
 * index, and what somebody has added to an extension's table, is in none; the schema public comes with template0.
 */
export async function countObjects(client: pg.Client): Promise<ObjectCounts> {
  const { rows } = await client.query<{ kind: string; count: string }>(`
    SELECT 'schema' AS kind, 1 + count(*) AS count FROM pg_catalog.pg_namespace
     WHERE oid ${userSchemas} AND nspname <> 'public' AND oid ${userObjects}
    UNION ALL
    SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                        WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
                        WHEN 'c' THEN 'composite type' ELSE 'index' END, count(*)
      FROM pg_catalog.pg_class WHERE relnamespace ${userSchemas} AND oid ${userObjects} AND relkind <> 't' AND reltype ${userObjects}
       AND oid NOT IN (SELECT indexrelid FROM pg_catalog.pg_index
                        WHERE indrelid IN (${extensionObjects}) OR NOT (indisready AND indisvalid OR indrelid IN (${partitioned}))) GROUP BY 1
    UNION ALL
    SELECT 'function', count(*) FROM pg_catalog.pg_proc WHERE pronamespace ${userSchemas} AND oid ${userObjects}
    UNION ALL
    SELECT 'constraint', count(*) FROM pg_catalog.pg_constraint WHERE connamespace ${userSchemas} AND contype <> 'n' AND oid ${userObjects}
       AND conrelid ${userObjects} AND contypid ${userObjects}
    UNION ALL
    SELECT 'trigger', count(*) FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgrelid ${notTemporary} AND tgrelid ${userObjects} AND oid ${userObjects}
    UNION ALL
    SELECT 'policy', count(*) FROM pg_catalog.pg_policy WHERE polrelid ${notTemporary} AND polrelid ${userObjects}
    UNION ALL
    SELECT 'large object', count(*) FROM pg_catalog.pg_largeobject_metadata`);
  return Object.fromEntries(rows.map(({ kind, count }) => [kind, Number(count)]).filter(([, count]) => count !== 0));
}

/** Differences between recorded and found numbers of objects, each in words. */
export function compareObjects(recorded: ObjectCounts, found: ObjectCounts): readonly string[] {
  return [...new Set([...Object.keys(recorded), ...Object.keys(found)])]
    .filter((kind) => (recorded[kind] ?? 0) !== (found[kind] ?? 0))
    .map((kind) => `${found[kind] ?? 0} of kind ${kind} where ${recorded[kind] ?? 0} were recorded`);
}
