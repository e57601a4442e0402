import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isTable, recordedRows } from '../../domain/table/history.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { countTable } from '../../postgres/content/copy-rows.js';
import type { InstanceContent } from '../../records/temporary-instances.js';
import type { ClusterContext } from '../cluster-context.js';

/**
 * Of a dump it was recorded how many rows each table had in its very snapshot: a copy with other ones is not what was backed up, whatever
 * the tool that restored it says, and rows of production that are not in it would look as if they had to go.
 * @throws RepriseError `backup-corrupt`
 */
export async function requireRecordedRows(
  { catalogue }: Pick<ClusterContext, 'catalogue'>,
  { restore }: Pick<InstanceContent, 'restore'>,
  connection: ConnectionConfig,
  { database, table }: { readonly database: string; readonly table: TableName },
): Promise<void> {
  const id = restore.backups.find((backup) => backup.database === database)?.id;
  const backup = (await catalogue.state()).backups.find((one) => one.id === id);
  if (restore.method !== 'databases' || backup === undefined) return;
  const { rows, recorded } = await withClient(connection, database, async (client) => {
    const parts = [table, ...(await partitionsOf(client, table))];
    const known = recordedRows(backup, database, (one) => parts.some((part) => isTable(part)(one)));
    if (known === null) return { rows: 0, recorded: null };
    let counted = 0;
    for (const part of parts) counted += (await countTable(client, part.schema, part.table, true)) ?? 0;
    return { rows: counted, recorded: known.rows };
  });
  if (recorded === null || rows === recorded) return;
  throw new RepriseError(
    'backup-corrupt',
    `the copy of ${backup.id} has ${rows} rows of ${formatTableName(table)}, and the backup had ${recorded}: it is not used`,
    `name another backup; see what is wrong with this one: reprise backup verify ${backup.id} --restore`,
  );
}

/** Those that have rows; none where it is not partitioned. */
async function partitionsOf(client: pg.ClientBase, { schema, table }: TableName): Promise<readonly TableName[]> {
  const { rows } = await client.query<TableName>(
    `SELECT n.nspname::text AS schema, c.relname::text AS table
       FROM pg_catalog.pg_class root JOIN pg_catalog.pg_namespace of ON of.oid = root.relnamespace
      CROSS JOIN LATERAL pg_catalog.pg_partition_tree(root.oid::pg_catalog.regclass) AS t
       JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE of.nspname = $1 AND root.relname = $2 AND c.oid <> root.oid AND c.relkind = 'r'`,
    [schema, table],
  );
  return rows;
}
