import { constants, lstatSync, realpathSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
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

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** The path of what is in an open directory, wherever that is by now: the kernel resolves it without a look at its name. */
export const inside = ({ fd }: FileHandle, name?: string): string =>
  name === undefined ? `/proc/self/fd/${fd}` : `/proc/self/fd/${fd}/${name}`;

/** A directory inside of another one, never through a link. */
export const openInside = (parent: FileHandle, name: string): Promise<FileHandle> =>
  open(inside(parent, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

/**
 * Opens the directory of some components below the root, each without following a link, also one that is put there in
 * this very moment. The caller closes it.
 * @param enter how a component is opened, and made where that is wanted
 */
export async function openBelow(
  root: string,
  components: readonly string[],
  enter: (parent: FileHandle, name: string) => Promise<FileHandle> = openInside,
): Promise<FileHandle> {
  let directory = await open(realRoot(root), O_RDONLY | O_DIRECTORY);
  for (const component of components) {
    const parent = directory;
    try {
      directory = await enter(parent, component);
    } finally {
      await parent.close();
    }
  }
  return directory;
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
