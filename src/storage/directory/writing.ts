import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, readdir, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { incompletePrefix } from '../keys.js';
import { errnoOf } from './failures.js';
import { giveFile, type Owner } from './ownership.js';

/** A small file is written in far less; what is older was left by a writer that was killed. */
const abandonedAfterMs = 10 * 60_000;

/** Content on disk under a name that no list shows; the caller links or renames it into place. */
export async function writeIncomplete(directory: string, body: Buffer | string, owner: Owner | null): Promise<string> {
  const path = join(directory, incompletePrefix + randomBytes(9).toString('hex'));
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  try {
    await fillAndSync(file, body, owner);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return path;
}

async function fillAndSync(file: FileHandle, body: Buffer | string, owner: Owner | null): Promise<void> {
  try {
    await giveFile(file, owner);
    await file.writeFile(body);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** True when this call gave the file its name; `link` refuses an existing one, which `rename` would replace. */
export async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** A name is safe on disk only when its directory was synced too. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Syncs a file that a tool wrote, so that what is published is on disk and not only in memory. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function renameSynced(from: string, to: string, directory: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(directory);
}

/** Removes what killed writers left in a directory. */
export async function sweepAbandoned(directory: string, now = Date.now()): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(incompletePrefix)) continue;
    const path = join(directory, name);
    const stats = await lstat(path).catch(() => null);
    if (stats !== null && now - stats.mtimeMs > abandonedAfterMs) await unlink(path).catch(() => undefined);
  }
}
