import { backupId } from '../../domain/backup/backup.js';
import { isRepriseError } from '../../domain/errors.js';
import type { MadeBackup, ReadContext } from '../engine.js';

/** How a record of a backup begins that a tool lists by its label: its id, and whose it is. */
export function ownership(
  { cluster, policy }: ReadContext,
  label: string,
): Pick<MadeBackup, 'id' | 'cluster' | 'policy' | 'engine' | 'repository'> {
  return {
    id: backupId(cluster.name, policy.engine, label),
    cluster: cluster.name,
    policy: policy.name,
    engine: policy.engine,
    repository: policy.repository,
  };
}

/** What the server says of itself; null where it is lost: then nothing can be compared, and that is when backups are needed. */
export async function unlessLost<T>(facts: Promise<T>): Promise<T | null> {
  return facts.catch((error: unknown) => {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  });
}
