import { existsSync, lchownSync, mkdirSync } from 'node:fs';
import { chmod, lchown, lstat, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { leavesRoot, storageFailure } from './failures.js';
import type { FileOwner } from '../../files/directories.js';
import { errnoOf } from '../../files/paths.js';
import { realRoot } from './paths.js';

/**
 * Who files made by root are given to: the one named, else the owner of the repository's root, so that a worker
 * without root's rights and the tools can use them later. Null where we are not root and could not give anyway.
 */
export async function ownerFor(root: string, named?: FileOwner): Promise<FileOwner | null> {
  if (process.geteuid?.() !== 0) return null;
  if (named) return { uid: named.uid, gid: named.gid };
  const { uid, gid } = await stat(realRoot(root));
  return { uid, gid };
}

/** Makes the root of a new repository, owner-only, and gives what was made to its owner. */
export function makeRoot(root: string, owner: FileOwner | undefined): void {
  if (existsSync(root)) return;
  try {
    const first = mkdirSync(root, { recursive: true, mode: 0o700 });
    if (first === undefined || owner === undefined || process.geteuid?.() !== 0) return;
    for (let path = root; path.length >= first.length; path = dirname(path)) lchownSync(path, owner.uid, owner.gid);
  } catch (error) {
    throw storageFailure(error, root, 'making its directory');
  }
}

/**
 * Makes the directories of a folder below the root, 0700 whatever the umask, and gives them to the owner.
 * @param forOthers what is made is open to whom its parent is open
 */
export async function makeDirectories(
  root: string,
  components: readonly string[],
  owner: FileOwner | null,
  forOthers = false,
): Promise<string> {
  let path = realRoot(root);
  for (const component of components) {
    const mode = forOthers ? ((await lstat(path)).mode & 0o755) | 0o700 : 0o700;
    path = join(path, component);
    const made = await mkdir(path, { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      },
    );
    const found = await lstat(path);
    if (!found.isDirectory()) throw leavesRoot(root, components.join('/'), `${component} is not a directory`);
    if (made && mode !== 0o700) await chmod(path, mode);
    // Also one that a killed attempt made and did not get to give away.
    if (owner !== null && (made || found.uid === 0) && found.uid !== owner.uid)
      await lchown(path, owner.uid, owner.gid);
  }
  return path;
}
