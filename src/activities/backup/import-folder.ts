import { realpath, stat } from 'node:fs/promises';
import { RepriseError } from '../../domain/errors.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';
import type { ClusterContext } from '../cluster-context.js';
import { shellWord } from '../../domain/text/text.js';

/**
 * The folder that a name under `import_folders` of the cluster stands for: it belongs to the worker's user, to root or to
 * whom the cluster's files belong to, and nobody else may write there or replace it.
 * @throws RepriseError `path-refused` for another name or folder; `not-found` where there is none
 */
export async function importFolder({ cluster, deps, user }: ClusterContext, name: string): Promise<string> {
  const { importFolders = {} } = cluster;
  const path = Object.hasOwn(importFolders, name) ? importFolders[name] : undefined;
  if (path === undefined)
    throw new RepriseError(
      'path-refused',
      `cluster ${cluster.name} has no import folder ${JSON.stringify(name)}: what is adopted comes from a folder that its configuration names`,
      `its import folders: ${Object.keys(importFolders).join(', ') || 'none'}; add under clusters, ${cluster.name}: import_folders: { NAME: PATH }, and restart the worker`,
    );
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw new RepriseError(
      'not-found',
      `the folder ${path} cannot be read on host ${deps.host} (${error.code ?? 'unknown'})`,
      `see import_folders.${name} of ${cluster.name}`,
    );
  });
  const { uid, mode } = await stat(real);
  const owners = [0, process.getuid?.() ?? 0, ...(user === null ? [] : [user.uid])];
  if (!owners.includes(uid))
    throw refused(real, `belongs to user ${uid}, who is neither root nor the user of the worker`, real);
  if ((mode & 0o022) !== 0) throw refused(real, 'may be written by others than its owner', real);
  await refuseSharedPath(path, { owner: user });
  return real;
}

function refused(path: string, why: string, where: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `nothing is adopted from ${path}: it ${why}`,
    `whoever writes there would write your backups: give it to root, and chmod go-w ${shellWord(where)}`,
  );
}
