import type pg from 'pg';
import type { TableName } from '../../domain/table/table-name.js';
import type { RelationFile } from '../wal/transactions/record-text.js';

/** What was done to a table, with all of its partitions. */
export interface ChangedTable extends TableName, Changed {}

interface Changed {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/**
 * The tables of the connected database to which files belong now, those with most changes first; a partition counts as the table that it is a part of.
 * @returns `unknown`: files of tables that are gone, or have another file by now
 */
export async function tablesOfFiles(
  client: pg.ClientBase,
  files: readonly (Changed & { readonly file: RelationFile })[],
): Promise<{ readonly tables: readonly ChangedTable[]; readonly unknown: number }> {
  const { rows } = await client.query<{
    at: number;
    kind: string | null;
    schema: string | null;
    table: string | null;
    system: boolean;
  }>(
    `SELECT f.at::int AS at, c.relkind::text AS kind, n.nspname::text AS schema, r.relname::text AS "table",
            f.file < 16384 OR n.nspname IN ('pg_catalog', 'information_schema') AS system
       FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.oid[]), pg_catalog.unnest($3::pg_catalog.oid[]))
              WITH ORDINALITY AS f (tablespace, database, file, at)
       JOIN pg_catalog.pg_database d ON d.oid = f.database AND d.datname = pg_catalog.current_database()
       LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.pg_filenode_relation(f.tablespace, f.file)
       LEFT JOIN pg_catalog.pg_class r ON r.oid = coalesce(CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid END, c.oid)
       LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
      ORDER BY f.at`,
    [
      files.map(({ file }) => file.tablespace),
      files.map(({ file }) => file.database),
      files.map(({ file }) => file.file),
    ],
  );
  const tables = new Map<
    string,
    { schema: string; table: string; inserted: number; updated: number; deleted: number }
  >();
  let unknown = 0;
  for (const { at, kind, schema, table, system } of rows) {
    if (system) continue;
    const done = files[at - 1];
    if (schema === null || table === null || done === undefined) unknown++;
    else if (kind === 'r') {
      const key = JSON.stringify([schema, table]);
      const sum = tables.get(key) ?? { schema, table, inserted: 0, updated: 0, deleted: 0 };
      sum.inserted += done.inserted;
      sum.updated += done.updated;
      sum.deleted += done.deleted;
      tables.set(key, sum);
    }
  }
  const size = ({ inserted, updated, deleted }: Changed): number => inserted + updated + deleted;
  return { tables: [...tables.values()].toSorted((one, other) => size(other) - size(one)), unknown };
}
