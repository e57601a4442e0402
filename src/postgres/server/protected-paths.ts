import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from '../../files/paths.js';
import type { Config } from '../../domain/config.js';
import type { ProtectedPath } from './staging-place.js';

/**
 * Directories of this host that a staging directory must keep apart from: those of every cluster of the configuration, wherever
 * that says they are, where there is a cluster in them here; targets of recoveries, old data, repositories, and our own.
 */
export async function protectedPaths(
  { config, host }: { readonly config: Pick<Config, 'clusters' | 'repositories' | 'hosts'>; readonly host: string },
  staging: string,
): Promise<readonly ProtectedPath[]> {
  const paths: ProtectedPath[] = [];
  const home = await realpath(staging).catch(() => staging);
  for (const cluster of Object.values(config.clusters)) {
    const { name, dataDir, recovery, importFolders = {} } = cluster;
    const isHere = cluster.host === host;
    if (dataDir !== undefined) {
      // A host may be in the configuration under two names; on another machine the path is that of another directory.
      const isForeign =
        isHere || ((await realpath(dataDir).catch(() => dataDir)) !== home && (await isCluster(dataDir)));
      if (isForeign) paths.push({ what: `the data directory of ${name}`, path: dataDir });
    }
    for (const [target, place] of Object.entries(recovery.targets))
      if (place.host === host) paths.push({ what: `recovery target ${target} of ${name}`, path: place.dataDir });
    if (!isHere) continue;
    if (recovery.oldData.mode === 'aside-on') paths.push({ what: `old data of ${name}`, path: recovery.oldData.path });
    for (const [folder, path] of Object.entries(importFolders))
      paths.push({ what: `import folder ${folder} of ${name}`, path });
  }
  for (const { name, options } of Object.values(config.repositories)) {
    const path = options['path'];
    if (typeof path === 'string') paths.push({ what: `repository ${name}`, path });
  }
  const own = config.hosts[host];
  if (own !== undefined) {
    paths.push({ what: 'the state directory', path: own.stateDir });
    paths.push({ what: 'the scratch directory', path: own.scratchDir });
  }
  return paths;
}

const isCluster = (dataDir: string): Promise<boolean> => pathExists(join(dataDir, 'PG_VERSION'));
