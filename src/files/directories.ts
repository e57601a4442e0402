import { constants } from 'node:fs';
import { lchown, lstat, mkdir, open, readlink, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RepriseError } from '../domain/errors.js';

/** Whom a file is given to: user and group ids. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** As many links as Linux follows in one path. */
const MOST_LINKS = 40;

/** Makes a directory and its missing parents, mode 0700; an existing one is left as it is. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Makes the entries of a directory durable: after a rename, a new file or a removal in it. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Gives a path to a user; only root can and needs to. A symbolic link is given itself, never what it leads to. */
export async function giveTo(path: string, owner: FileOwner | null): Promise<void> {
  if (owner !== null && process.getuid?.() === 0) await lchown(path, owner.uid, owner.gid);
}

/**
 * Refuses a directory in which another user could replace our files between two system calls: one that everybody may
 * write without the sticky bit, and, for root, one behind a symbolic link that belongs neither to root nor to the
 * owner of the directory it leads to.
 * @throws RepriseError `path-refused`
 */
export async function refuseUnsafeDirectory(path: string): Promise<void> {
  const { mode, uid } = await stat(path);
  if ((mode & 0o1002) === 0o002)
    throw new RepriseError(
      'path-refused',
      `every user may write in the directory ${path}: a file there could be replaced by a link`,
      `make it writable for its owner only: chmod go-w ${path}`,
    );
  if (process.getuid?.() !== 0) return;
  for (const link of await linksIn(path)) {
    if (link.uid === 0 || link.uid === uid) continue;
    throw new RepriseError(
      'path-refused',
      `${path} leads through the symbolic link ${link.path} of user ${link.uid}, to a directory of user ${uid}`,
      `name the real directory, or replace the link by one of root: ln -sfnT TARGET ${link.path}`,
    );
  }
}

/** The symbolic links that a path leads through. The path exists. */
async function linksIn(path: string): Promise<{ readonly path: string; readonly uid: number }[]> {
  const links: { path: string; uid: number }[] = [];
  let pending = resolve(path).split('/');
  let at = '/';
  while (pending.length > 0) {
    const [name = '', ...rest] = pending;
    pending = rest;
    if (name === '..') at = dirname(at);
    if (name === '' || name === '.' || name === '..') continue;
    const next = join(at, name);
    const found = await lstat(next);
    if (!found.isSymbolicLink()) {
      at = next;
      continue;
    }
    links.push({ path: next, uid: found.uid });
    if (links.length > MOST_LINKS) break;
    const target = await readlink(next);
    if (target.startsWith('/')) at = '/';
    pending = [...target.split('/'), ...pending];
  }
  return links;
}
