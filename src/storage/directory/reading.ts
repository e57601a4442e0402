import { constants } from 'node:fs';
import { lstat, open, statfs, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { RepriseError } from '../../domain/errors.js';
import { keyComponents } from '../keys.js';
import type { ReadableStorage, StoredObject } from '../storage.js';
import { leavesRoot, storageFailure } from './failures.js';
import { errnoOf } from '../../files/paths.js';
import { listEntries, listObjects } from './listing.js';
import { checkedPath, inside, isOnlyHere, openBelow, realRoot } from './paths.js';

/** A directory as a storage that can only be read: what a dry run gets. */
export function openDirectoryForReading({ path: root }: { readonly path: string }): ReadableStorage {
  return {
    kind: 'directory',
    capabilities: { localPath: true, versioned: false, coldClasses: false },
    read: (key) => readWhole(root, key),
    open: async (key, start = 0): Promise<Readable> => (await openFile(root, key)).createReadStream({ start }),
    stat: (key) => statObject(root, key),
    list: (prefix) => listObjects(root, prefix),
    entries: (prefix) => listEntries(root, prefix),
    localPath: (key) => checkedPath(root, keyComponents(key)),
    freeBytes: () => freeBytes(root),
  };
}

async function readWhole(root: string, key: string): Promise<Buffer> {
  const file = await openFile(root, key);
  try {
    return await file.readFile();
  } catch (error) {
    throw storageFailure(error, root, `reading ${key}`);
  } finally {
    await file.close();
  }
}

/** Opens a plain file that has one name only, without following a link that appears in the meantime. */
async function openFile(root: string, key: string): Promise<FileHandle> {
  const components = keyComponents(key);
  checkedPath(root, components);
  let directory: FileHandle | null = null;
  let file: FileHandle | null = null;
  try {
    directory = await openBelow(root, components.slice(0, -1));
    const path = inside(directory, components.at(-1));
    // Without O_NONBLOCK a named pipe put there would hold us for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) throw leavesRoot(root, key, 'it is not a plain file');
    if (!(await isOnlyHere(inside(directory), path, stats)))
      throw leavesRoot(root, key, 'it has a second name (hard link)');
    return file;
  } catch (error) {
    await file?.close();
    throw errnoOf(error) === 'ENOENT' ? notFound(root, key) : storageFailure(error, root, `opening ${key}`);
  } finally {
    await directory?.close();
  }
}

async function statObject(root: string, key: string): Promise<StoredObject | null> {
  const components = keyComponents(key);
  checkedPath(root, components);
  let directory: FileHandle | null = null;
  try {
    directory = await openBelow(root, components.slice(0, -1));
    const stats = await lstat(inside(directory, components.at(-1)));
    if (!stats.isFile()) return null;
    return { key, sizeBytes: stats.size, modifiedAt: stats.mtime.toISOString() };
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw storageFailure(error, root, `inspecting ${key}`);
  } finally {
    await directory?.close();
  }
}

async function freeBytes(root: string): Promise<number> {
  const path = realRoot(root);
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch (error) {
    throw storageFailure(error, root, 'reading its free space');
  }
}

function notFound(root: string, key: string): RepriseError {
  return new RepriseError(
    'not-found',
    `there is no ${JSON.stringify(key)} in the repository ${root}`,
    'list the backups with reprise backup list',
  );
}
