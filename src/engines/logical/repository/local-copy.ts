import { lstat, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { HostConfig } from '../../../domain/config.js';
import { RepriseError } from '../../../domain/errors.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { makeScratchDirectory } from '../../../postgres/server/scratch-directory.js';
import { waitForLock } from '../../../process/jobs/file-lock.js';
import type { ReadContext } from '../../engine.js';
import { seeFiles } from '../../shared/bound-content.js';
import { damageOf } from '../../shared/hash.js';
import type { Fingerprint } from '../../shared/hash.js';
import { operationMark } from '../../shared/policy-folder.js';
import { fileSize } from '../../../files/paths.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';
import { workMoved } from '../../../files/work-signs.js';
import { openForAppending } from '../../../files/atomic-file.js';

/** A file of the repository on this host. */
export interface LocalFile {
  readonly path: string;
  /** @throws RepriseError `conflict` where the repository's own file was changed since it was compared */
  requireSame(): Promise<void>;
  /** Takes a copy away; leaves the repository's own file. */
  discard(): Promise<void>;
}

/** What no operation has touched for so long was left by one that nobody goes on with. */
const FORGOTTEN_MS = 7 * 86_400_000;
/** The other attempt ends when its next heartbeat is refused. */
const LOCK_TIMEOUT_MS = 600_000;

/**
 * The whole of a file at a path of this host, and just what was recorded: where it is, or fetched into the
 * scratch directory, owner-only. A fetch that was cut off goes on where it was; a later attempt of the operation finds
 * the copy.
 *
 * @throws RepriseError `backup-corrupt`, `disk-full`, `object-cold`, `storage-unreachable`
 */
export async function wholeFile(context: ReadContext, key: string, recorded: Fingerprint): Promise<LocalFile> {
  const { storage } = context;
  if (storage.capabilities.localPath) {
    const { requireSame } = await seeFiles([storage.localPath(key)]);
    const damaged = await damageOf(context, key, recorded);
    if (damaged !== null) throw corrupt(damaged);
    return { path: storage.localPath(key), requireSame, discard: async () => undefined };
  }
  const there = await storage.stat(key);
  if (there === null) throw corrupt(`${key} is missing`);
  if (there.sizeBytes !== recorded.sizeBytes)
    throw corrupt(`${key} has ${there.sizeBytes} bytes where ${recorded.sizeBytes} were recorded`);
  const directory = join(await scratchOf(context), operationMark(context.operationId));
  await makeOwnDirectory(directory, context.user);
  const path = join(directory, key.slice(key.lastIndexOf('/') + 1));
  await fetch(context, key, recorded, path);
  const discard = async (): Promise<void> => {
    await rm(path, { force: true });
    // The last of an operation's copies takes their directory along, the last operation that of all.
    for (const empty of [directory, dirname(directory)]) await rmdir(empty).catch(() => undefined);
  };
  // A copy is written by nobody but this host.
  return { path, requireSame: async () => undefined, discard };
}

/** Takes away all that an operation has fetched, of which nobody reads any more. */
export async function discardCopies({ host, operationId }: Pick<ReadContext, 'host' | 'operationId'>): Promise<void> {
  const directory = copiesIn(host);
  await removeTree(join(directory, operationMark(operationId)));
  await rmdir(directory).catch(() => undefined);
}

const copiesIn = ({ scratchDir }: Pick<HostConfig, 'scratchDir'>): string => join(scratchDir, 'fetched');

/** @throws RepriseError `disk-full` where the copies have no room */
export async function checkFetchRoom(
  { host, storage }: Pick<ReadContext, 'host' | 'storage'>,
  files: readonly Fingerprint[],
): Promise<void> {
  if (storage.capabilities.localPath) return;
  const needed = Math.max(0, ...files.map(({ sizeBytes }) => sizeBytes));
  const free = await freeBytes(host.scratchDir);
  if (free < needed) throw noRoom(host.scratchDir, free, needed);
}

async function scratchOf({ host, user }: ReadContext): Promise<string> {
  await makeScratchDirectory(host.scratchDir, user);
  const directory = copiesIn(host);
  await makeScratchDirectory(directory, user);
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const found = await lstat(path).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > FORGOTTEN_MS) await removeTree(path);
  }
  return directory;
}

/** An attempt that was given up for dead may still be writing: one at a time, and the next finds what the other got. */
function fetch(context: ReadContext, key: string, recorded: Fingerprint, path: string): Promise<void> {
  const { host, operationId, signal } = context;
  return waitForLock(host.stateDir, `fetch-${operationId}`, () => fetchAlone(context, key, recorded, path), {
    signal,
    timeoutMs: LOCK_TIMEOUT_MS,
  });
}

async function fetchAlone(
  context: ReadContext,
  key: string,
  { sizeBytes, sha256 }: Fingerprint,
  path: string,
): Promise<void> {
  // Looked at where it is: a tool that outlived a worker may be reading it.
  if ((await fileSize(path)) === sizeBytes && (await hashOf(path, sizeBytes, context.signal)).digest('hex') === sha256)
    return;
  const part = `${path}.part`;
  const had = Math.min((await fileSize(part)) ?? 0, sizeBytes);
  let found = await fetchFrom(context, key, sizeBytes, part, had);
  // A host that crashed may have left a part of the right length and other bytes: only what was fetched anew says whether the backup is damaged.
  if (found !== sha256 && had > 0) found = await fetchFrom(context, key, sizeBytes, part, 0);
  if (found !== sha256) {
    await rm(part, { force: true });
    throw corrupt(`the SHA-256 of ${key} differs from the recorded one`);
  }
  await rename(part, path);
}

/** Fetches what is behind the first `had` bytes; SHA-256 of the whole, which is on the disk then. */
async function fetchFrom(
  context: ReadContext,
  key: string,
  sizeBytes: number,
  part: string,
  had: number,
): Promise<string> {
  const { storage, signal, report, user, host } = context;
  const free = await freeBytes(host.scratchDir);
  if (free < sizeBytes - had) throw noRoom(host.scratchDir, free, sizeBytes - had);
  const file = await openForAppending(part, user);
  try {
    await file.truncate(had);
    const hash = await hashOf(part, had, signal);
    let done = had;
    const source = had < sizeBytes ? await storage.open(key, had) : null;
    try {
      for await (const chunk of (source ?? []) as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        hash.update(chunk);
        await file.writeFile(chunk);
        done += chunk.length;
        report({ phase: `fetching ${key}`, done, total: sizeBytes, unit: 'bytes' });
      }
    } finally {
      source?.destroy();
    }
    if (done !== sizeBytes)
      throw new RepriseError(
        'storage-unreachable',
        `${done} bytes of ${key} came where it has ${sizeBytes}`,
        'try again; check the network between this host and the storage',
      );
    await file.sync();
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

/** Of the first `bytes` of a file. */
async function hashOf(path: string, bytes: number, signal: AbortSignal): Promise<Hash> {
  const hash = createHash('sha256');
  if (bytes === 0) return hash;
  for await (const chunk of createReadStream(path, { end: bytes - 1 }) as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    hash.update(chunk);
    workMoved();
  }
  return hash;
}

const corrupt = (why: string): RepriseError =>
  new RepriseError('backup-corrupt', why, 'choose another backup with recover --to backup:ID');

function noRoom(directory: string, free: number, needed: number): RepriseError {
  return new RepriseError(
    'disk-full',
    `the dump is fetched into ${directory}, which has ${free} bytes free where ${needed} are needed`,
    'free space there, or name another scratch_dir of the host',
  );
}
