import { rename, rm, stat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { createGunzip, constants, gunzip, gzip } from 'node:zlib';
import { fromSystemError, isRepriseError, RepriseError } from '../../../domain/errors.js';
import { isHistoryName, isSegmentName, parseTimelineHistory } from '../../../domain/target/wal.js';
import { readSegmentHeader } from '../../../postgres/wal/segment-file.js';
import type { WalArchive } from '../../../postgres/wal/wal-archive.js';
import type { ReadableStorage, WritableStorage } from '../../../storage/storage.js';
import { walKey, walPrefix } from '../repository/names.js';
import type { PolicyFolder } from '../../shared/policy-folder.js';
import { PIECE_BYTES, streamToFile } from '../../../files/atomic-file.js';
import { promisify } from 'node:util';

const POLL_MS = 200;
type Repository = PolicyFolder & { readonly storage: ReadableStorage };

/** Names of all archived WAL files, without `.gz`, in their order. */
export async function archivedNames(repository: Repository): Promise<string[]> {
  const prefix = walPrefix(repository);
  const names: string[] = [];
  for await (const { key } of repository.storage.list(prefix)) {
    if (key.endsWith('.gz')) names.push(key.slice(prefix.length, -'.gz'.length));
  }
  return names;
}

/**
 * Of the archived names those of which a segment is only begun, and is the last of its timeline: before another one a
 * beginning is a gap, for nothing leads on from it.
 */
export function usableBeginnings(names: readonly string[]): string[] {
  const segments = names.map((name) => name.replace(/\.partial$/, '')).filter(isSegmentName);
  const there = new Set(names);
  return segments.filter(
    (name) => !there.has(name) && !segments.some((other) => other > name && other.slice(0, 8) === name.slice(0, 8)),
  );
}

/** The policy's WAL as a recovery plan reads it: whole segments, and beginnings of such where nothing more was archived. */
export async function walArchive(repository: Repository): Promise<WalArchive> {
  const names = await archivedNames(repository);
  const beginnings = new Set(usableBeginnings(names));
  const files = new Map([
    ...names.filter(isSegmentName).map((name) => [name, name] as const),
    ...[...beginnings].map((name) => [name, `${name}.partial`] as const),
  ]);
  return {
    segments: [...files.keys()].sort(),
    beginnings,
    timelines: names.filter(isHistoryName).map((name) => Number.parseInt(name.slice(0, 8), 16)),
    readHistory: async (timeline) => {
      const packed = await repository.storage.open(
        walKey(repository, `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`),
      );
      return parseTimelineHistory(await text(packed.pipe(createGunzip())));
    },
    fetch: async (segment, directory) => {
      const file = files.get(segment);
      if (file === undefined)
        throw new RepriseError(
          'not-found',
          `WAL segment ${segment} is not in the archive`,
          'recover to a point before it',
        );
      await fetchSegment(repository, file, join(directory, segment));
    },
  };
}

/**
 * Unpacks one archived segment to a path, where it appears whole: gzip's own checksum and length, and the length that
 * the segment's header names, have to hold.
 * @throws RepriseError `wal-gap` for a damaged one; `not-found`
 */
export async function fetchSegment(
  repository: Repository,
  name: string,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const unpacked = `${path}.unpacked`;
  try {
    const unzip = createGunzip({ chunkSize: PIECE_BYTES });
    await pipeline(await repository.storage.open(walKey(repository, name)), unzip, streamToFile(unpacked), { signal });
  } catch (error) {
    await rm(unpacked, { force: true });
    if (signal?.aborted || isRepriseError(error)) throw error;
    // What could not be read or written, for want of room perhaps, says nothing of the segment.
    throw fromSystemError(error) ?? damaged(name, String(error));
  }
  const [header, { size }] = [await readSegmentHeader(unpacked), await stat(unpacked)];
  if (header === null || header.segmentBytes !== size) {
    await rm(unpacked, { force: true });
    throw damaged(name, `it has ${size} bytes`);
  }
  await rename(unpacked, path);
}

/** A gap in the WAL, as if it were missing, and no damage of the backup: that must not be quarantined for it. */
function damaged(name: string, why: string): RepriseError {
  return new RepriseError(
    'wal-gap',
    `the archived WAL segment ${name} is damaged: ${why}`,
    'recover to a point before it, or put a good copy of it into the archive',
  );
}

/**
 * Waits until a segment is in the repository.
 * @throws RepriseError `wal-not-archived` after the policy's `archive_timeout`
 */
export async function waitForSegment(
  context: Repository & { readonly signal: AbortSignal },
  segment: string,
  timeoutSeconds: number,
  hint: string,
): Promise<void> {
  const deadline = performance.now() + timeoutSeconds * 1000;
  for (;;) {
    context.signal.throwIfAborted();
    if ((await context.storage.stat(walKey(context, segment))) !== null) return;
    if (performance.now() >= deadline) {
      throw new RepriseError(
        'wal-not-archived',
        `WAL segment ${segment} was not archived in the repository within ${timeoutSeconds} s`,
        hint,
      );
    }
    await sleep(POLL_MS);
  }
}

const pack = promisify(gzip);
const unpack = promisify(gunzip);
type WritableRepository = PolicyFolder & { readonly storage: WritableStorage };

/**
 * Stores one finished file of WAL under its name, once: what is there already has to be the same, byte for byte.
 * @throws RepriseError `conflict` where it is another
 */
export async function pushWal(repository: WritableRepository, name: string, path: string): Promise<void> {
  const content = await readFile(path);
  const key = walKey(repository, name);
  if (await repository.storage.createIfAbsent(key, await packed(content))) return;
  // One that cannot be read now is waited for; one that cannot be unpacked is another.
  const found = await repository.storage.read(key);
  const stored = await unpack(found).catch(() => null);
  if (stored?.equals(content) === true) return;
  throw new RepriseError(
    'conflict',
    `another WAL file ${name} is already in the repository`,
    'two clusters, or two timelines with the same number, write to one archive: give this cluster a separate policy',
  );
}

/** Stores the beginning of a segment that is still being written, in place of an earlier one. */
export async function pushBeginning(repository: WritableRepository, segment: string, path: string): Promise<void> {
  await repository.storage.write(walKey(repository, `${segment}.partial`), await packed(await readFile(path)));
}

async function packed(content: Buffer): Promise<Buffer> {
  return pack(content, { level: constants.Z_BEST_SPEED });
}
