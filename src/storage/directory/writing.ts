import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, readdir, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { incompletePrefix } from '../keys.js';
import type { WriteStreamOptions, WrittenObject } from '../storage.js';
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

/** The same with a stream, hashed on the way. Its name is touched by every write, so nobody takes it for abandoned. */
export async function streamIncomplete(
  directory: string,
  body: Readable,
  owner: Owner | null,
  { signal, report }: WriteStreamOptions = {},
): Promise<WrittenObject & { readonly incomplete: string }> {
  const path = join(directory, incompletePrefix + randomBytes(9).toString('hex'));
  const file = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    await giveFile(file, owner);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      hash.update(chunk);
      await file.writeFile(chunk);
      sizeBytes += chunk.length;
      report?.(sizeBytes);
    }
    signal?.throwIfAborted();
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return { incomplete: path, sizeBytes, sha256: hash.digest('hex') };
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
export async function syncDirectoryEntry(path: string): Promise<void> {
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
  await syncDirectoryEntry(directory);
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
