import type { ClusterConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { TableName } from '../../domain/table/table-name.js';

/** A query of the configuration that is true of a coherent table. @throws RepriseError `not-found` */
export function invariantNamed(
  cluster: ClusterConfig,
  _database: string,
  _table: TableName,
  name: string,
): { readonly query: string; readonly timeoutSeconds: number } {
  throw new RepriseError('not-found', `no invariant ${name} ${cluster.name}`);
}
