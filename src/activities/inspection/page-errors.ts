import type { Backup } from '../../domain/backup/backup.js';
import type { PageErrorLine } from '../../domain/operation/inspections.js';
import type { ClusterContext } from '../cluster-context.js';

/** The last failure of each policy that damaged pages caused, where no backup was taken since. */
export async function pageErrorLines(
  { catalogue, cluster: { name: cluster } }: ClusterContext,
  backups: readonly Backup[],
): Promise<readonly PageErrorLine[]> {
  const lines = new Map<string, PageErrorLine>();
  for (const { kind, code, policy, at, reason } of (await catalogue.state()).unmade)
    if (kind === 'failed' && code === 'page-corrupt') lines.set(policy, { cluster, policy, at, reason });
  const isSolved = ({ policy, at }: PageErrorLine): boolean =>
    backups.some((backup) => backup.policy === policy && backup.status === 'complete' && backup.startedAt > at);
  return [...lines.values()].filter((line) => !isSolved(line));
}
