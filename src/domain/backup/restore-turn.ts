import type { Backup } from './backup.js';

/**
 * Backups of the same database (or cluster) by the same policy that were made since the newest one that was restore-tested: all of
 * them where none was. Oldest first; damaged and partial ones do not count.
 */
export function sinceRestoreTest<B extends Pick<Backup, 'status' | 'proven'>>(oldestFirst: readonly B[]): readonly B[] {
  const good = oldestFirst.filter(({ status }) => status === 'complete' || status === 'cold');
  return good.slice(good.findLastIndex(({ proven }) => proven?.level === 'restored') + 1);
}

/** Whether it is this backup's turn to be restored, where a policy has each n-th one restore-tested. */
export function isRestoreTurn(backup: Backup, known: readonly Backup[], every: number | undefined): boolean {
  if (every === undefined) return false;
  const alike = known.filter(
    ({ policy, database, startedAt }) =>
      policy === backup.policy && database === backup.database && startedAt <= backup.startedAt,
  );
  return sinceRestoreTest(alike).length >= every;
}
