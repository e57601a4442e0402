import type pg from 'pg';
import type { TableName } from '../../domain/table/table-name.js';

/** A table that is frozen, or a part of it. */
export interface Part {
  readonly oid: number;
  /** For a statement. */
  readonly name: string;
  readonly kind: string;
  readonly owner: string;
  /** It is the table itself. */
  readonly isRoot: boolean;
}

/** The table and, of a partitioned one, everything below it that has rows here. */
export async function treeOf(client: pg.ClientBase, table: TableName): Promise<readonly Part[]> {
  const { rows } = await client.query<Part>(
    `WITH root AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = $1 AND c.relname = $2)
     SELECT c.oid, c.oid IN (SELECT oid FROM root) AS "isRoot", c.relkind::text AS kind, o.rolname::text AS owner, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
      WHERE c.relkind IN ('r', 'p') AND (c.oid IN (SELECT oid FROM root)
         OR c.oid IN (SELECT t.relid FROM root, pg_catalog.pg_partition_tree(root.oid::pg_catalog.regclass) AS t))
      ORDER BY c.oid`,
    [table.schema, table.table],
  );
  return rows;
}
