import type { Dirent, Stats } from 'node:fs';
import { type FileHandle, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { incompletePrefix, prefixComponents } from '../keys.js';
import type { Irregular, StorageEntry, StoredObject } from '../storage.js';
import { storageFailure } from './failures.js';
import { workMoved } from '../../files/work-signs.js';
import { errnoOf, isErrno } from '../../files/paths.js';
import { checkedPath, inside, isOnlyHere, openBelow, openInside } from './paths.js';

/** So many files are inspected at once: enough to hide the latency of a network file system. */
const batch = 64;

/**
 * Every plain file below a folder, in the byte order of keys, one directory's names in memory at a time. Incomplete
 * files are not there yet; links, and files that have a further name elsewhere, are no objects of this storage.
 */
export async function* listObjects(root: string, prefix: string): AsyncIterable<StoredObject> {
  for await (const entry of listEntries(root, prefix)) if (entry.irregular === undefined) yield entry;
}

/** The same with what is no object, under the key it would have. */
export async function* listEntries(root: string, prefix: string): AsyncIterable<StorageEntry> {
  const components = prefixComponents(prefix);
  checkedPath(root, components);
  yield* walk(root, () => openBelow(root, components), components);
}

/** By open directories: one that is replaced by a link meanwhile is not entered. */
async function* walk(
  root: string,
  enter: () => Promise<FileHandle>,
  components: readonly string[],
): AsyncIterable<StorageEntry> {
  const opened = await unlessGone(root, enter());
  if (opened === null) return;
  try {
    const directory = inside(opened);
    const entries = (await unlessGone(root, entriesOf(directory))) ?? [];
    for (let start = 0; start < entries.length; start += batch) {
      const some = entries.slice(start, start + batch);
      const found = await Promise.all(some.map((entry) => entryOf(root, directory, components, entry)));
      workMoved();
      for (const [index, entry] of some.entries()) {
        const object = found[index];
        if (object) yield object;
        else if (entry.isDirectory())
          yield* walk(root, () => openInside(opened, entry.name), [...components, entry.name]);
      }
    }
  } finally {
    await opened.close();
  }
}

async function entriesOf(directory: string): Promise<Dirent[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const shown = entries.filter((entry) => !isIncomplete(entry));
  return shown.sort((left, right) => Buffer.compare(orderOf(left), orderOf(right)));
}

/** A folder nobody has written to yet, one that a rotation has just removed, and one that became a link, are empty: null. */
async function unlessGone<T>(root: string, found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
    throw storageFailure(error, root, 'listing it');
  }
}

function isIncomplete(entry: Dirent): boolean {
  return entry.isFile() && entry.name.startsWith(incompletePrefix);
}

/** A directory is listed where its files' keys are listed: `a.txt` before `a/b`, because `.` is before `/`. */
function orderOf(entry: Dirent): Buffer {
  return Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name);
}

/** Null for a directory that can be entered, and for what has gone meanwhile. */
async function entryOf(
  root: string,
  directory: string,
  components: readonly string[],
  entry: Dirent,
): Promise<StorageEntry | null> {
  // Node.js puts this character for bytes that are no UTF-8: under that name nothing is found.
  const mayBeUnnamed = entry.name.includes('\u{FFFD}');
  if (entry.isDirectory() && !mayBeUnnamed) return null;
  const path = join(directory, entry.name);
  const key = [...components, entry.isDirectory() ? `${entry.name}/` : entry.name].join('/');
  try {
    const stats = await lstat(path);
    if (stats.isDirectory()) return null;
    const irregular = await irregularityOf(directory, path, stats);
    return {
      key,
      sizeBytes: stats.size,
      modifiedAt: stats.mtime.toISOString(),
      irregular: irregular ?? undefined,
    };
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storageFailure(error, root, `inspecting ${entry.name}`);
    return mayBeUnnamed
      ? { key, sizeBytes: 0, modifiedAt: new Date(0).toISOString(), irregular: 'undecodable name' }
      : null;
  }
}

async function irregularityOf(directory: string, path: string, stats: Stats): Promise<Irregular | null> {
  if (stats.isSymbolicLink()) return 'symbolic link';
  if (!stats.isFile()) return 'special file';
  return (await isOnlyHere(directory, path, stats)) ? null : 'hard link';
}
