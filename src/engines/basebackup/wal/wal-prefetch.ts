import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import pMap from 'p-map';
import { isRepriseError } from '../../../domain/errors.js';
import { isHistoryName, isSegmentName, parseSegmentName, segmentIndex } from '../../../domain/target/wal.js';
import { writeFileAtomic } from '../../../files/atomic-file.js';
import { giveTo } from '../../../files/directories.js';
import type { ReadContext, WalPrefetch } from '../../engine.js';
import type { BaseManifest } from '../repository/manifest.js';
import { walKey } from '../repository/names.js';
import { archivedNames, fetchSegment, usableBeginnings, walArchive } from './wal-archive.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/** Below the data directory, the working directory of the server's restore_command. Removed after a recovery. */
export const PREFETCHED = 'reprise_wal';
/** File in it with the names of all files that are or will be copied, one a line: the restore_command waits for these. */
export const LISTED = 'listed';
/** File in it with the name that the server asked for last. */
export const ASKED = 'asked';
/** Segments copied at once: more would only share the bandwidth. */
const AT_ONCE = 8;
/** So many segments are copied before the server asks for them: for a target that is near, not a week of WAL. */
const AHEAD = 32;
const POLL_MS = 50;

/**
 * Copies archived WAL into the data directory of a server that recovers, several segments at once and ahead of its replay.
 * Its restore_command copies from there, and waits for a file that is still being copied. Files that are there stay.
 */
export async function prefetchWal(context: ReadContext, dataDir: string): Promise<WalPrefetch> {
  const directory = join(dataDir, PREFETCHED);
  await makeOwnDirectory(directory, context.user);
  const names = await archivedNames(context);
  const histories = names.filter(isHistoryName);
  // A beginning stays one by name: what was salvaged comes before it.
  const segments = [...names.filter(isSegmentName), ...usableBeginnings(names).map((name) => `${name}.partial`)].sort(
    byPlace,
  );
  const list = (there: readonly string[]): Promise<void> =>
    writeFileAtomic(join(directory, LISTED), there.map((name) => `${name}\n`).join(''), context.user);
  for (const name of histories) await copyHistory(context, name, directory);
  await list([...histories, ...segments]);
  return {
    copy: (signal) => copySegments(context, segments, directory, signal),
    close: async () => list((await readdir(directory)).filter((name) => names.includes(name))),
  };
}

/** Bytes that {@link prefetchWal} copies at most. */
export async function prefetchBytes(context: ReadContext, { wal, segmentBytes }: BaseManifest): Promise<number> {
  const first = parseSegmentName(wal.start, segmentBytes).number;
  // Of every timeline, because the server decides which one it follows.
  const needed = (await walArchive(context)).segments.filter(
    (name) => parseSegmentName(name, segmentBytes).number >= first,
  );
  return needed.length * segmentBytes;
}

const byPlace = (a: string, b: string): number =>
  segmentIndex(a) < segmentIndex(b) ? -1 : segmentIndex(a) > segmentIndex(b) ? 1 : 0;

async function copySegments(
  context: ReadContext,
  segments: readonly string[],
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const asked = async (): Promise<string> =>
    segmentIndex((await readFile(join(directory, ASKED), 'utf8').catch(() => '')).trim());
  /** Resolves to true when the server has asked for this segment or a later one; to false when the signal is aborted. */
  const isAsked = async (place: string): Promise<boolean> => {
    for (; !signal.aborted; await sleep(POLL_MS)) if ((await asked()) >= place) return true;
    return false;
  };
  if (!(await isAsked('0'))) return;
  const first = await asked();
  const there = new Set(await readdir(directory));
  const needed = segments.filter((name) => segmentIndex(name) >= first);
  await pMap(
    [...needed.entries()],
    async ([index, name]) => {
      const asksFor = needed[Math.max(0, index - AHEAD)] ?? name;
      if (there.has(name) || !(await isAsked(segmentIndex(asksFor)))) return;
      await copySegment(context, name, directory, signal).catch(async (error: unknown) => {
        // A damaged segment is an error only when the server needs it: its target may be before.
        if (
          signal.aborted ||
          (isRepriseError(error) && error.code === 'wal-gap' && !(await isAsked(segmentIndex(name))))
        )
          return;
        throw error;
      });
    },
    { concurrency: AT_ONCE },
  );
}

/** The file appears whole, and owned by the server's user. */
async function copySegment(context: ReadContext, name: string, directory: string, signal: AbortSignal): Promise<void> {
  const coming = join(directory, `${name}.coming`);
  await fetchSegment(context, name, coming, signal);
  await giveTo(coming, context.user);
  await rename(coming, join(directory, name));
}

async function copyHistory(context: ReadContext, name: string, directory: string): Promise<void> {
  const content = await text((await context.storage.open(walKey(context, name))).pipe(createGunzip()));
  await writeFileAtomic(join(directory, name), content, context.user);
}
