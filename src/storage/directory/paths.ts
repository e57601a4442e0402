import { lstatSync, realpathSync, type Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { incompletePrefix } from '../keys.js';
import { leavesRoot, rootMissing, storageFailure } from './failures.js';
import { errnoOf } from '../../files/paths.js';

/**
 * The root with its own links resolved: the operator chooses the place of a repository, but not what other users put into it.
 *
 * @throws RepriseError `storage-unreachable` where it is missing or may not be entered.
 */
export function realRoot(root: string): string {
  try {
    return realpathSync(root);
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? rootMissing(root) : storageFailure(error, root, 'finding its directory');
  }
}

/**
 * Path of a key whose directories were each checked: a symbolic link on the way is refused. What does not
 * exist yet is fine. Synchronous because the contract's `localPath` is; a handful of lstat calls.
 */
export function checkedPath(root: string, components: readonly string[]): string {
  const top = realRoot(root);
  let path = top;
  for (const component of components) {
    path = join(path, component);
    const found = lstatOrNull(root, path);
    if (found === null) break;
    if (found.isSymbolicLink()) throw leavesRoot(root, components.join('/'), `${component} is a symbolic link`);
  }
  return join(top, ...components);
}

function lstatOrNull(root: string, path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw storageFailure(error, root, 'inspecting a path');
  }
}

/**
 * Whether a file has no name outside of what this storage itself makes. A second name is normal for a moment: a small
 * file is linked into place from an incomplete one beside it, and a killed writer may leave that one behind.
 */
export async function isOnlyHere(directory: string, path: string, stats: Stats): Promise<boolean> {
  if (stats.nlink === 1) return true;
  let ours = 1;
  for (const name of await readdir(directory)) {
    if (!name.startsWith(incompletePrefix)) continue;
    const other = await lstat(join(directory, name)).catch(() => null);
    if (other !== null && other.ino === stats.ino && other.dev === stats.dev) ours += 1;
  }
  // Checked again last: the writer may have removed its incomplete name while we counted.
  const again = await lstat(path).catch(() => null);
  return again !== null && again.nlink <= ours;
}
