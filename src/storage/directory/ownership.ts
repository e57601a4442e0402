import { existsSync, lchownSync, mkdirSync } from 'node:fs';
import { type FileHandle, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { leavesRoot, storageFailure } from './failures.js';
import type { FileOwner } from '../../files/directories.js';
import { errnoOf, isErrno } from '../../files/paths.js';
import { inside, openBelow, openInside, realRoot } from './paths.js';

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
 * Makes the directories of a folder below the root, 0700 whatever the umask, gives them to the owner, and opens the last.
 * @param forOthers what is made is open to whom its parent is open
 */
export async function openMade(
  root: string,
  components: readonly string[],
  owner: FileOwner | null,
  forOthers = false,
): Promise<FileHandle> {
  return openBelow(root, components, async (parent, component) => {
    const made = await mkdir(inside(parent, component), { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      },
    );
    const directory = await openInside(parent, component).catch((error: unknown) => {
      throw isErrno(error, 'ELOOP', 'ENOTDIR')
        ? leavesRoot(root, components.join('/'), `${component} is not a directory`)
        : error;
    });
    const { uid } = await directory.stat();
    if (made && forOthers) await directory.chmod(((await parent.stat()).mode & 0o755) | 0o700);
    // Also one that a killed attempt made and did not get to give away.
    if (owner !== null && (made || uid === 0) && uid !== owner.uid) await directory.chown(owner.uid, owner.gid);
    return directory;
  });
}
