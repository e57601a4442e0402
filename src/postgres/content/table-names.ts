import type pg from 'pg';
import type { TableName } from '../../domain/table/table-name.js';
import { databaseTextReader, inDatabaseBytes } from './encoding.js';

/** What has a name in the connected database: a table (partitioned ones too), or something else that queries read. */
export interface NamedRelation extends TableName {
  /** `view`, `foreign table` and the like; null: a table. */
  readonly otherKind: string | null;
}

/** Names of all tables, views and foreign tables of the connected database that are not PostgreSQL's own. */
export async function namedRelations(client: pg.Client): Promise<readonly NamedRelation[]> {
  const read = await databaseTextReader(client);
  const { rows } = await client.query<NamedRelation>(`
    SELECT ${inDatabaseBytes('n.nspname')} AS schema, ${inDatabaseBytes('c.relname')} AS "table",
           CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' END AS "otherKind"
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
     ORDER BY 1, 2`);
  return rows.map((one) => ({ ...one, schema: read(one.schema), table: read(one.table) }));
}
