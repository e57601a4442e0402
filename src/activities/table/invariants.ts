import type { ClusterConfig, ConnectionConfig, InvariantConfig, TableConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { TableState } from '../../domain/table/locate.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { logsInReading } from '../../postgres/connection/query-login.js';
import { queryHolds } from '../../postgres/content/table-condition.js';

/** What the configuration says of a table; undefined: nothing. */
export function configuredTable(
  { tables = {} }: Pick<ClusterConfig, 'tables'>,
  database: string,
  table: TableName,
): TableConfig | undefined {
  const name = formatTableName(table);
  return Object.values(tables).find((one) => one.database === database && formatTableName(one.table) === name);
}

/** The queries of the configuration that are true of a coherent table. */
export function invariantsOf(
  cluster: Pick<ClusterConfig, 'tables'>,
  database: string,
  table: TableName,
): readonly InvariantConfig[] {
  return Object.values(configuredTable(cluster, database, table)?.invariants ?? {});
}

/** @throws RepriseError `not-found`, with those there are */
export function invariantNamed(
  cluster: Pick<ClusterConfig, 'name' | 'tables'>,
  database: string,
  table: TableName,
  name: string,
): InvariantConfig {
  const known = invariantsOf(cluster, database, table);
  const found = known.find((one) => one.name === name);
  if (found !== undefined) return found;
  const named = visible(formatTableName(table));
  throw new RepriseError(
    'not-found',
    `table ${named} of database ${visible(database)} has no invariant ${visible(name)} in the configuration`,
    known.length > 0
      ? `it has ${known.map((one) => one.name).join(', ')}`
      : `add it: clusters.${cluster.name}.tables."${named}".invariants: { ${visible(name)}: { query: "SELECT count(*) > 1000 FROM ${named}" } }`,
  );
}

/**
 * Whether an invariant holds on a server: production, or a temporary instance. It is asked read-only and by no superuser: by
 * `checks_role` where that server has it.
 * @throws RepriseError `privilege-missing`, `query-timeout`, `query-failed`, `config-invalid`
 */
export async function askInvariant(
  connection: ConnectionConfig,
  { checksRole }: Pick<ClusterConfig, 'checksRole'>,
  database: string,
  invariant: InvariantConfig,
): Promise<TableState> {
  // A copy from before the role was made has none.
  const role = checksRole !== undefined && (await logsInReading(connection, checksRole)) ? checksRole : undefined;
  return queryHolds({ connection, checksRole: role }, { database, ...invariant });
}
