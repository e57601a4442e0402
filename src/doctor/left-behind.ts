import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '../domain/backup/backup.js';
import { orphansAmong, orphansInWords } from '../domain/backup/previous-names.js';
import type { ClusterConfig, Config, RepositoryConfig } from '../domain/config.js';
import { warning, type Finding } from '../domain/findings.js';
import { pathExists } from '../files/paths.js';
import { localPathOf } from './repository.js';

/** What a policy has left that was renamed or removed. */
export function orphanFindings(cluster: ClusterConfig, backups: readonly Backup[]): readonly Finding[] {
  return orphansAmong(cluster, backups).map((orphans) => {
    const { message, fix } = orphansInWords(cluster, orphans);
    return warning(`cluster/${cluster.name}/orphans/${orphans.policy}`, message, fix);
  });
}

/**
 * Clusters whose records are in a directory and that the configuration does not have, as after a rename: everything of theirs
 * is out of sight. A bucket is not looked through: that would cost a listing of all of it.
 */
export async function leftClusterFindings(
  { clusters, file }: Config,
  repository: RepositoryConfig,
): Promise<readonly Finding[]> {
  const path = localPathOf(repository);
  if (path === null) return [];
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const found: Finding[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory() || clusters[entry.name] !== undefined) continue;
    if (!(await pathExists(join(path, entry.name, 'records')))) continue;
    found.push(
      warning(
        `repository/${repository.name}/clusters/${entry.name}`,
        `repository ${repository.name} has backups and records of a cluster ${JSON.stringify(entry.name)}, which ${file} does not have: they are not listed, recovered from or rotated`,
        `a cluster keeps its name: call it ${entry.name} again under clusters; if another configuration uses this directory, give it one of its own`,
      ),
    );
  }
  return found;
}
