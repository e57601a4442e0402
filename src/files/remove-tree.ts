/**
 * Removal that follows no link, whatever becomes of a path meanwhile: each directory is opened once, never through a
 * symbolic link, and what is in it is removed by the open directory. Node.js has no openat(2) and unlinkat(2): the kernel
 * resolves `/proc/self/fd/N/name` in the directory that N is.
 */
import { constants } from 'node:fs';
import { lstat, open, readdir, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { RepriseError } from '../domain/errors.js';
import { isErrno } from './paths.js';
import { workMoved } from './work-signs.js';

/** What a directory is known by, whatever its name. */
export interface DirectoryIdentity {
  readonly dev?: bigint;
  readonly ino: bigint;
}

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
/** So many files of a directory are removed at once. */
const AT_ONCE = 32;

/**
 * Removes a directory with all that is in it, or a file; a link itself, never what it leads to. None there is no error.
 * @param expected only this one is removed
 * @throws RepriseError `path-refused` where another one is there, or was put there meanwhile
 */
export async function removeTree(path: string, expected?: DirectoryIdentity): Promise<void> {
  const parent = await openOrNull(dirname(path), O_RDONLY | O_DIRECTORY);
  if (parent === null) return;
  try {
    await removeEntry(parent, Buffer.from(basename(path)), path, expected);
  } finally {
    await parent.close();
  }
}

/**
 * Removes what is in a directory; a link in its place is followed, as data directories may be links.
 * @param expected only this one is emptied, and no link is followed
 * @throws RepriseError `path-refused` where another one is there
 */
export async function emptyDirectory(path: string, expected?: DirectoryIdentity): Promise<void> {
  const flags = O_RDONLY | O_DIRECTORY | (expected === undefined ? 0 : O_NOFOLLOW);
  const directory = await open(path, flags).catch((error: unknown) => {
    throw expected !== undefined && isErrno(error, 'ELOOP', 'ENOTDIR') ? replaced(path) : error;
  });
  try {
    if (expected !== undefined) await requireSame(directory, expected, path);
    await removeEntries(directory, path);
  } finally {
    await directory.close();
  }
}

async function removeEntries(directory: FileHandle, path: string): Promise<void> {
  const entries = await readdir(`/proc/self/fd/${directory.fd}`, { encoding: 'buffer' });
  for (let start = 0; start < entries.length; start += AT_ONCE) {
    await Promise.all(entries.slice(start, start + AT_ONCE).map((name) => removeEntry(directory, name, path)));
    workMoved();
  }
}

async function removeEntry(
  parent: FileHandle,
  name: Buffer,
  path: string,
  expected?: DirectoryIdentity,
): Promise<void> {
  const at = Buffer.concat([Buffer.from(`/proc/self/fd/${parent.fd}/`), name]);
  const found = await lstat(at).catch(ifGone);
  if (found === null) return;
  if (!found.isDirectory()) {
    if (expected !== undefined) throw replaced(path);
    await unlink(at).catch(ifGone);
    return;
  }
  const directory = await openOrNull(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch((error: unknown) => {
    throw isErrno(error, 'ELOOP', 'ENOTDIR') ? replaced(path) : error;
  });
  if (directory === null) return;
  try {
    if (expected !== undefined) await requireSame(directory, expected, path);
    await removeEntries(directory, path);
  } finally {
    await directory.close();
  }
  await rmdir(at).catch(ifGone);
}

async function requireSame(directory: FileHandle, expected: DirectoryIdentity, path: string): Promise<void> {
  const { dev, ino } = await directory.stat({ bigint: true });
  if (ino !== expected.ino || (expected.dev !== undefined && dev !== expected.dev)) throw replaced(path);
}

function openOrNull(path: string | Buffer, flags: number): Promise<FileHandle | null> {
  return open(path, flags).catch(ifGone);
}

function ifGone(error: unknown): null {
  if (isErrno(error, 'ENOENT')) return null;
  throw error;
}

function replaced(path: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${path} is not removed: something else was put in the place of a directory there`,
    'see what it is and who put it there; remove it by hand if you are sure',
  );
}
