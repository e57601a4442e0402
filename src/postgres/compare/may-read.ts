import type pg from 'pg';
import type { TableName } from '../../domain/table/table-name.js';

/** Whether a login that is no superuser may read all rows of a table. */
export async function mayReadTable(client: pg.Client, role: string, { schema, table }: TableName): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, pg_catalog.pg_roles r
      WHERE n.nspname = $1 AND c.relname = $2 AND r.rolname = $3 AND r.rolcanlogin AND NOT r.rolsuper
        AND (r.rolbypassrls OR NOT c.relrowsecurity)
        AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') AND pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')`,
    [schema, table, role],
  );
  return rows.length > 0;
}
