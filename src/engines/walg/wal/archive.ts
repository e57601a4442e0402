import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import { parseSegmentName, parseTimelineHistory, segmentName } from '../../../domain/target/wal.js';
import { giveTo } from '../../../files/directories.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeScratchDirectory } from '../../../postgres/server/scratch-directory.js';
import { readSegmentHeader } from '../../../postgres/wal/segment-file.js';
import type { WalArchive } from '../../../postgres/wal/wal-archive.js';
import type { ReadContext } from '../../engine.js';
import { parseToolJson } from '../../shared/manifest.js';
import { runWalg, USE_KNOWN_VERSION } from '../command.js';

/** Alone and in the foreground: by itself wal-fetch leaves processes behind that fetch what may come next. */
const ONE_AT_A_TIME = { WALG_DOWNLOAD_CONCURRENCY: '1' };

/** WAL of one cluster as WAL-G's own list shows it, the same for every kind of storage. */
export async function readArchive(context: ReadContext): Promise<WalArchive> {
  const { stdout } = await runWalg(context, ['wal-show', '--detailed-json', '--without-backups']);
  const { segments, timelines } = parseWalShow(stdout);
  return {
    segments,
    timelines,
    readHistory: async (timeline) =>
      parseTimelineHistory(
        await inOwnDirectory(context, async (directory) =>
          readFile(await fetchInto(context, historyName(timeline), directory), 'utf8'),
        ),
      ),
    fetch: async (segment, directory) => {
      await inOwnDirectory(context, async (own) =>
        rename(await fetchSegment(context, segment, own), join(directory, segment)),
      );
    },
  };
}

/**
 * The same without its last segment where that cannot be unpacked, or is short, and which one it is: on a directory WAL-G
 * writes in place, and a wal-push cut off leaves such a file. The server that recovers ends there too, as its
 * restore_command fails.
 */
export async function withoutCutOff(
  archive: WalArchive,
  directory: string,
): Promise<{ readonly archive: WalArchive; readonly cut: string | null }> {
  const last = archive.segments.at(-1);
  if (last === undefined) return { archive, cut: null };
  try {
    await archive.fetch(last, directory);
    return { archive, cut: null };
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'backup-corrupt') throw error;
    // One of its full length that holds something else is damaged otherwise.
    if (error.details['tool'] !== 'wal-g wal-fetch' && error.details['short'] !== true) return { archive, cut: null };
    return { archive: { ...archive, segments: archive.segments.slice(0, -1) }, cut: last };
  }
}

const timelineInfos = z.array(
  z.object({
    id: z.number(),
    parent_id: z.number(),
    start_segment: z.string(),
    end_segment: z.string(),
    segments_count: z.number(),
    missing_segments: z.array(z.string()).nullish(),
    // WAL of 64 TB. What is listed is not ours: a file far away would make names without end.
    segment_range_size: z.int().min(0).max(4_194_304),
  }),
);

/** Reads `wal-show --detailed-json`: from where to where each timeline goes, and what is missing in between. */
export function parseWalShow(json: string): Pick<WalArchive, 'segments' | 'timelines'> {
  const found = parseToolJson('wal-g wal-show', json.trim() === '' ? '[]' : json, timelineInfos, USE_KNOWN_VERSION);
  const segments = found.flatMap((info) => {
    const missing = new Set(info.missing_segments ?? []);
    const bytes = segmentBytesOf(info);
    const first = parseSegmentName(info.start_segment, bytes);
    return Array.from({ length: info.segment_range_size }, (_, step) =>
      segmentName({ timeline: first.timeline, number: first.number + BigInt(step) }, bytes),
    ).filter((name) => !missing.has(name));
  });
  // A timeline has a parent where its history is archived.
  return {
    segments: segments.sort(),
    timelines: found.filter(({ parent_id }) => parent_id > 0).map(({ id }) => id),
  };
}

/** The segment size with which so many segments are between the first and the last: WAL-G does not name it. */
function segmentBytesOf({
  start_segment,
  end_segment,
  segment_range_size,
}: z.output<typeof timelineInfos>[number]): number {
  const sizes = [16, 1, 2, 4, 8, 32, 64, 128, 256, 512, 1024].map((megabytes) => megabytes * 1024 * 1024);
  const fits = (bytes: number): boolean =>
    parseSegmentName(end_segment, bytes).number - parseSegmentName(start_segment, bytes).number + 1n ===
    BigInt(segment_range_size);
  return sizes.find(fits) ?? 16 * 1024 * 1024;
}

/**
 * WAL-G compares no recorded checksum: what it unpacked has to be a whole segment of that very place. The first
 * one of a timeline begins with what its ancestor wrote, whose number it bears.
 */
async function fetchSegment(context: ReadContext, segment: string, directory: string): Promise<string> {
  const path = await fetchInto(context, segment, directory);
  const header = await readSegmentHeader(path);
  const { size } = await stat(path);
  const fits =
    header !== null &&
    header.segmentBytes === size &&
    header.pageStart / BigInt(size) === parseSegmentName(segment, size).number;
  if (!fits || header.timeline > parseSegmentName(segment, size).timeline) {
    throw new RepriseError(
      'backup-corrupt',
      `archived WAL segment ${segment} is damaged or was not written to its end`,
      `where it is the last one, its wal-push was cut off: move wal_005/${segment}.* out of the storage, then plan again`,
      {
        short: header === null || size < header.segmentBytes,
      },
    );
  }
  return path;
}

async function fetchInto(context: ReadContext, name: string, directory: string): Promise<string> {
  const path = join(directory, name);
  await runWalg(context, ['wal-fetch', name, path], ONE_AT_A_TIME);
  return path;
}

/** WAL-G runs as PostgreSQL's user, and writes where that user may; what it wrote is then moved. */
export async function inOwnDirectory<T>(context: ReadContext, work: (directory: string) => Promise<T>): Promise<T> {
  await makeScratchDirectory(context.host.scratchDir, context.user);
  const directory = join(context.host.scratchDir, `walg-${randomBytes(6).toString('hex')}`);
  await mkdir(directory, { mode: 0o700 });
  await giveTo(directory, context.user);
  try {
    return await work(directory);
  } finally {
    await removeTree(directory);
  }
}

function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}
