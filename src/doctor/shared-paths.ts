import { dirname } from 'node:path';
import type { ClusterConfig, Config, HostConfig, RepositoryConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { problem, type Finding } from '../domain/findings.js';
import { type PathTrust, refuseSharedPath } from '../files/trusted-paths.js';
import { jobUser } from '../process/exec/users.js';
import { localPathOf } from './repository.js';

interface Paths {
  readonly config: Config;
  readonly host: HostConfig;
  readonly clusters: readonly ClusterConfig[];
  readonly repositories: readonly RepositoryConfig[];
}

/**
 * Paths of this host in which other users could put links into what is written, restored or removed there: an operation
 * would refuse them, and says so when it is needed.
 */
export async function sharedPathFindings({ config, host, clusters, repositories }: Paths): Promise<readonly Finding[]> {
  const ofHost = await jobUser(clusters.find(({ dataDir }) => dataDir !== undefined)?.dataDir);
  const found = [
    await pathFinding('config/path', dirname(config.file), { anyOwner: true, sticky: true }),
    await pathFinding(`host/${host.name}/state_dir/path`, host.stateDir, { owner: ofHost }),
    await pathFinding(`host/${host.name}/scratch_dir/path`, host.scratchDir, { owner: ofHost, sticky: true }),
  ];
  for (const repository of repositories)
    found.push(
      await pathFinding(`repository/${repository.name}/path`, localPathOf(repository), {
        anyOwner: true,
        sticky: true,
      }),
    );
  for (const { name, dataDir, recovery } of clusters) {
    const owner = await jobUser(dataDir);
    found.push(await pathFinding(`cluster/${name}/data_dir/path`, dataDir ?? null, { owner, sticky: true }));
    const { oldData } = recovery;
    if (oldData.mode === 'aside-on')
      found.push(await pathFinding(`cluster/${name}/old_data/path`, oldData.path, { owner }));
  }
  return found.filter((finding) => finding !== null);
}

async function pathFinding(check: string, path: string | null, trust: PathTrust): Promise<Finding | null> {
  if (path === null) return null;
  try {
    await refuseSharedPath(path, trust);
    return null;
  } catch (error) {
    // What cannot be seen from here is found by who works there.
    if (!isRepriseError(error)) return null;
    return problem(check, error.message, error.hint ?? 'docs/security.md says which directories are refused');
  }
}
