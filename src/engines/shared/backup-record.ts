import { backupId } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { MadeBackup, ReadContext, VerifyVerdict } from '../engine.js';

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

/** The verdict of a verification that found a backup damaged, with the reason in one sentence. */
export function failedVerification(detail: string): VerifyVerdict {
  return { ok: false, detail };
}

/** @throws RepriseError `rotation-refused` where a removal would also need to remove backups that were not asked for */
export function refuseIfOthersDepend(toRemove: readonly string[], asked: readonly string[]): void {
  const dependants = toRemove.filter((label) => !asked.includes(label));
  if (dependants.length === 0) return;
  throw new RepriseError(
    'rotation-refused',
    `${dependants.join(', ')} cannot be restored without the backups to be removed`,
    'remove them too, or keep the backups on which they depend',
  );
}
