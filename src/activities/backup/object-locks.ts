import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { type ClusterContext, engineFor, readContext, storageOf } from '../cluster-context.js';

/**
 * Until when the bucket itself keeps backups, by id: the latest object lock on any of a backup's own files (F14). Nothing
 * where the storage knows no locks; WAL that others need too does not count.
 * @returns UTC ISO-8601 instants that are still to come
 */
export async function objectLocks(
  session: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Backup[],
  run: ActivityRun,
): Promise<ReadonlyMap<string, string>> {
  const { ownFiles } = engineFor(session, policy);
  const storage = storageOf(session, policy);
  const locks = new Map<string, string>();
  if (ownFiles === undefined || storage.capabilities.localPath) return locks;
  const context = await readContext(session, policy, run, 'locks');
  const now = context.now().toISOString();
  for (const { id, label } of backups) {
    for (const key of await ownFiles(context, label)) {
      const until = (await storage.stat(key))?.lockedUntil;
      if (until !== undefined && until > now && until > (locks.get(id) ?? '')) locks.set(id, until);
    }
  }
  return locks;
}
