import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import pMap from 'p-map';
import { isHistoryName, parseSegmentName } from '../../domain/wal.js';
import { giveTo } from '../../postgres/files.js';
import type { EngineContext, ReadContext } from '../engine.js';
import type { BaseManifest } from './manifest.js';
import { walKey } from './names.js';
import { ownDirectory } from './unpack.js';
import { archivedNames, fetchSegment, walArchive } from './wal-archive.js';

/** Below the data directory, where the server's restore_command stands: it goes with it, and is taken away after a recovery. */
export const PREFETCHED = 'reprise_wal';
/** Segments on their way at once: more would only share the line. */
const AT_ONCE = 8;

/**
 * Brings the WAL that a recovery from this backup may need beside the restored files, many segments at once, so that the
 * server's restore_command is only a local copy. Histories of timelines come too. What is there already stays.
 * @throws RepriseError `wal-gap` for a damaged segment
 */
export async function prefetchWal(context: EngineContext, manifest: BaseManifest, dataDir: string): Promise<void> {
  const directory = join(dataDir, PREFETCHED);
  await ownDirectory(context, directory);
  const archive = await walArchive(context);
  const segments = neededFrom(archive.segments, manifest);
  // A beginning stays one by name: what was salvaged comes before it.
  const nameOf = (segment: string): string => (archive.beginnings?.has(segment) === true ? `${segment}.partial` : segment);
  const there = new Set(await readdir(directory));
  let done = segments.filter((segment) => there.has(nameOf(segment))).length;
  await pMap(
    segments.filter((segment) => !there.has(nameOf(segment))),
    async (segment) => {
      await fetchSegment(context, nameOf(segment), join(directory, nameOf(segment)));
      await giveTo(join(directory, nameOf(segment)), context.user);
      done += 1;
      context.report({ phase: 'fetching WAL', done, total: segments.length, unit: 'segments' });
    },
    { concurrency: AT_ONCE, signal: context.signal },
  );
  for (const name of (await archivedNames(context)).filter(isHistoryName)) {
    const content = await text((await context.storage.open(walKey(context, name))).pipe(createGunzip()));
    await writeFile(join(directory, name), content, { mode: 0o600 });
    await giveTo(join(directory, name), context.user);
  }
}

/** Bytes that {@link prefetchWal} would bring. */
export async function prefetchBytes(context: ReadContext, manifest: BaseManifest): Promise<number> {
  return neededFrom((await walArchive(context)).segments, manifest).length * manifest.segmentBytes;
}

/** Of every timeline: which of them is followed, the server decides. */
function neededFrom(segments: readonly string[], { wal, segmentBytes }: BaseManifest): string[] {
  const first = parseSegmentName(wal.start, segmentBytes).number;
  return segments.filter((name) => parseSegmentName(name, segmentBytes).number >= first);
}
