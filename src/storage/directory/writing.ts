import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { writeTemporary } from '../../files/atomic-file.js';
import { workMoved } from '../../files/work-signs.js';
import { syncDirectory, type FileOwner } from '../../files/directories.js';
import { incompletePrefix } from '../keys.js';
import type { WriteStreamOptions, WrittenObject } from '../storage.js';

/** A small file is written in far less; an older one was left by a writer that was killed. */
const abandonedAfterMs = 10 * 60_000;

/** Content on disk under a name that no listing shows; the caller links or renames it into place. */
export async function writeIncomplete(
  directory: string,
  body: Buffer | string,
  owner: FileOwner | null,
): Promise<string> {
  const path = incompletePath(directory);
  await writeTemporary(path, (file) => file.writeFile(body), owner);
  return path;
}

/** The same with a stream, hashed on the way. Every write changes the file's time, so that nobody takes it for abandoned. */
export async function streamIncomplete(
  directory: string,
  body: Readable,
  owner: FileOwner | null,
  { signal, report }: WriteStreamOptions = {},
): Promise<WrittenObject & { readonly incomplete: string }> {
  const path = incompletePath(directory);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  await writeTemporary(
    path,
    async (file) => {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        signal?.throwIfAborted();
        hash.update(chunk);
        await file.writeFile(chunk);
        sizeBytes += chunk.length;
        workMoved();
        report?.(sizeBytes);
      }
      signal?.throwIfAborted();
    },
    owner,
  );
  return { incomplete: path, sizeBytes, sha256: hash.digest('hex') };
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
export async function removeAbandoned(directory: string, now = Date.now()): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(incompletePrefix)) continue;
    const path = join(directory, name);
    const stats = await lstat(path).catch(() => null);
    if (stats !== null && now - stats.mtimeMs > abandonedAfterMs) await unlink(path).catch(() => undefined);
  }
}

const incompletePath = (directory: string): string =>
  join(directory, incompletePrefix + randomBytes(9).toString('hex'));
