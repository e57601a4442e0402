import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '../domain/backup/backup.js';
import { orphansAmong, orphansInWords } from '../domain/backup/previous-names.js';
import type { ClusterConfig, Config, RepositoryConfig } from '../domain/config.js';
import { warning, type Finding } from '../domain/findings.js';
import { pathExists } from '../files/paths.js';
import { resolveSecret } from '../process/exec/secrets.js';
import { openStorage } from '../storage/open-storage.js';
import { localPathOf } from './repository.js';

/** What a policy has left that was renamed or removed. */
export function orphanFindings(cluster: ClusterConfig, backups: readonly Backup[]): readonly Finding[] {
  return orphansAmong(cluster, backups).map((orphans) => {
    const { message, fix } = orphansInWords(cluster, orphans);
    return warning(`cluster/${cluster.name}/orphans/${orphans.policy}`, message, fix);
  });
}

/** Of a bucket that others use too, so many folders are looked into. */
const LOOKED_INTO = 100;

/**
 * Clusters whose records are in a repository and that the configuration does not have, as after a rename: everything of theirs
 * is out of sight. Of a bucket the folders at its top are listed, and not what is in them.
 */
export async function leftClusterFindings(
  { clusters, file }: Pick<Config, 'clusters' | 'file'>,
  repository: RepositoryConfig,
): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for (const name of await foldersWithRecords(repository, (one) => clusters[one] === undefined)) {
    found.push(
      warning(
        `repository/${repository.name}/clusters/${name}`,
        `repository ${repository.name} has backups and records of a cluster ${JSON.stringify(name)}, which ${file} does not have: they are not listed, recovered from or rotated`,
        `a cluster keeps its name: call it ${name} again under clusters; if another configuration uses this ${localPathOf(repository) === null ? 'bucket, give it a prefix' : 'directory, give it one'} of its own`,
      ),
    );
  }
  return found;
}

/** Names of folders, of those that are asked for, that hold the records of a cluster. */
async function foldersWithRecords(
  repository: RepositoryConfig,
  isAsked: (name: string) => boolean,
): Promise<readonly string[]> {
  const path = localPathOf(repository);
  if (path === null) return foldersInStorage(repository, isAsked);
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries)
    if (entry.isDirectory() && isAsked(entry.name) && (await pathExists(join(path, entry.name, 'records'))))
      found.push(entry.name);
  return found;
}

async function foldersInStorage(
  repository: RepositoryConfig,
  isAsked: (name: string) => boolean,
): Promise<readonly string[]> {
  const storage = openStorage(repository, { secret: resolveSecret, existing: true });
  // A bucket that cannot be read is told by the findings of the repository itself.
  const folders = (await storage.topFolders?.().catch(() => [])) ?? [];
  const found: string[] = [];
  for (const name of folders.filter(isAsked).slice(0, LOOKED_INTO))
    for await (const _record of storage.list(`${name}/records`)) {
      found.push(name);
      break;
    }
  return found;
}
