import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { incompletePrefix, prefixComponents } from '../keys.js';
import type { StoredObject } from '../storage.js';
import { errnoOf, storageFailure } from './failures.js';
import { checkedPath, isOnlyHere } from './paths.js';

/** So many files are looked at together: enough to hide the latency of a network file system. */
const batch = 64;

/**
 * Every plain file below a folder, in the byte order of keys, one directory's names in memory at a time. Incomplete
 * files are not there yet; links, and files that have a further name elsewhere, are no objects of this storage (F37).
 */
export async function* listObjects(root: string, prefix: string): AsyncIterable<StoredObject> {
  const components = prefixComponents(prefix);
  yield* walk(root, checkedPath(root, components), components);
}

async function* walk(root: string, directory: string, components: readonly string[]): AsyncIterable<StoredObject> {
  const entries = await entriesOf(root, directory);
  for (let start = 0; start < entries.length; start += batch) {
    const some = entries.slice(start, start + batch);
    const objects = await Promise.all(some.map((entry) => objectOf(root, directory, components, entry)));
    for (const [index, entry] of some.entries()) {
      const object = objects[index];
      if (entry.isDirectory()) yield* walk(root, join(directory, entry.name), [...components, entry.name]);
      else if (object) yield object;
    }
  }
}

async function entriesOf(root: string, directory: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const shown = entries.filter((entry) => entry.isDirectory() || (entry.isFile() && !isIncomplete(entry)));
    return shown.sort((left, right) => Buffer.compare(orderOf(left), orderOf(right)));
  } catch (error) {
    const code = errnoOf(error);
    // A folder nobody has written to yet, or one that a rotation has just removed, is empty.
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw storageFailure(error, root, 'listing it');
  }
}

function isIncomplete(entry: Dirent): boolean {
  return entry.name.startsWith(incompletePrefix);
}

/** A directory stands where its files' keys stand: `a.txt` before `a/b`, because `.` is before `/`. */
function orderOf(entry: Dirent): Buffer {
  return Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name);
}

async function objectOf(
  root: string,
  directory: string,
  components: readonly string[],
  entry: Dirent,
): Promise<StoredObject | null> {
  if (!entry.isFile()) return null;
  const path = join(directory, entry.name);
  try {
    const stats = await lstat(path);
    if (!stats.isFile() || !(await isOnlyHere(directory, path, stats))) return null;
    return { key: [...components, entry.name].join('/'), sizeBytes: stats.size, modifiedAt: stats.mtime.toISOString() };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw storageFailure(error, root, `looking at ${entry.name}`);
  }
}
