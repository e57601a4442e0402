import type pg from 'pg';
import type { TableName } from '../../domain/table/table-name.js';

/** Materialized views that are made from a table or a part of it, also by way of other views: they show its rows as they were. */
export async function materializedViewsOf(client: pg.ClientBase, oid: number): Promise<readonly TableName[]> {
  const { rows } = await client.query<TableName>(
    `WITH RECURSIVE made (oid) AS (
       SELECT $1::pg_catalog.oid
       UNION SELECT t.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) t
       UNION SELECT w.ev_class FROM made m
               JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = m.oid
                AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
               JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid AND w.ev_type = '1')
     SELECT n.nspname::text AS schema, c.relname::text AS "table"
       FROM made m JOIN pg_catalog.pg_class c ON c.oid = m.oid AND c.relkind = 'm'
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2`,
    [oid],
  );
  return rows;
}
