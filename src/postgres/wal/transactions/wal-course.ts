/** Which segments are read for a span of time or for a transaction, along one timeline. */
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { RepriseError } from '../../../domain/errors.js';
import { isSegmentName, parseSegmentName } from '../../../domain/target/wal.js';
import { removeTree } from '../../../files/remove-tree.js';
import { readTimelines } from '../recoverable-range.js';
import {
  followedSegments,
  type FollowedSegment,
  presentSegments,
  type PresentSegments,
} from '../scan/followed-segments.js';
import { writtenSegments } from '../salvage.js';
import { readSegmentHeader, type SegmentHeader } from '../segment-file.js';
import { allTimelines, pathOf, type Timeline } from '../timelines.js';
import { fetchUndamaged, type WalReader } from '../wal-archive.js';
import { scanRecords, startOf, type WalSource } from './scan-records.js';
import type { WalPlaces } from './staged-wal.js';

/** Segments without a gap between them. */
export type Run = readonly FollowedSegment[];

/** The WAL of a cluster along one timeline. */
export interface Course {
  readonly source: WalSource;
  readonly timeline: Timeline;
  /** All segments that are there, oldest first. */
  readonly segments: readonly FollowedSegment[];
  readonly systemIdentifier: string;
}

/**
 * Opens the WAL that is there, in the archive and in `pg_wal`; that of another cluster, as after initdb in the same directory,
 * does not count.
 * @param wanted timeline; null: the newest
 * @throws RepriseError `not-found` where no WAL, or not that timeline, is there
 */
export async function openCourse(places: WalPlaces, wanted: number | null): Promise<Course> {
  const archived = await archivedHeader(places);
  const own = await newestOwn(places.dataDir);
  const isStranger = archived !== null && own !== null && own.systemIdentifier !== archived.systemIdentifier;
  const used = isStranger ? { ...places, dataDir: null } : places;
  const header = archived ?? own;
  if (header === null)
    throw new RepriseError('not-found', 'no WAL is in the archive', 'see whether the server archives: reprise doctor');
  const present = await presentSegments(used.archive, used.dataDir);
  const ids = new Set([...present.keys()].map((name) => Number.parseInt(name.slice(0, 8), 16)));
  const timelines = allTimelines(await readTimelines(used.archive, used.dataDir), ids);
  const timeline = wanted === null ? timelines.at(-1) : timelines.find(({ id }) => id === wanted);
  if (timeline === undefined)
    throw new RepriseError(
      'not-found',
      `there is no WAL of timeline ${wanted}`,
      `its timelines: ${timelines.map(({ id }) => id).join(', ')}`,
    );
  const { segmentBytes, systemIdentifier, major } = header;
  const source = { ...used, major, segmentBytes };
  return { source, timeline, segments: segmentsOn(present, timeline, segmentBytes), systemIdentifier };
}

/** Of the newest segment of the archive that can be read; null where none is there. */
async function archivedHeader({ archive, scratch }: WalPlaces): Promise<SegmentHeader | null> {
  const names = archive.segments.filter(isSegmentName).toSorted().reverse();
  if (names.length === 0) return null;
  const directory = await mkdtemp(join(scratch, 'scan-'));
  try {
    for (const name of names) {
      const path = join(directory, name);
      const header = (await fetchUndamaged(archive, name, directory)) ? await readSegmentHeader(path) : null;
      await rm(path, { force: true });
      if (header !== null && header.segmentBytes > 0) return header;
    }
  } finally {
    await removeTree(directory);
  }
  throw new RepriseError('wal-gap', 'no segment of the archived WAL can be read', 'verify the archive of the policy');
}

async function newestOwn(dataDir: string | null): Promise<SegmentHeader | null> {
  return dataDir === null ? null : ((await writtenSegments(join(dataDir, 'pg_wal'))).at(-1)?.header ?? null);
}

/** All that is there along a timeline, with gaps. */
function segmentsOn(present: PresentSegments, timeline: Timeline, segmentBytes: number): readonly FollowedSegment[] {
  const path = new Set(pathOf(timeline).map(({ id }) => id));
  const numbers = [...present.keys()]
    .filter((name) => isSegmentName(name) && path.has(Number.parseInt(name.slice(0, 8), 16)))
    .map((name) => parseSegmentName(name, segmentBytes).number)
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const found: FollowedSegment[] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && number <= last.number) continue;
    found.push(...followedSegments(present, timeline, segmentBytes, { from: number, to: null }));
  }
  return found;
}

/** Segments as runs without a gap. */
export function runsOf(segments: readonly FollowedSegment[]): readonly Run[] {
  const runs: FollowedSegment[][] = [];
  for (const segment of segments) {
    const last = runs.at(-1)?.at(-1);
    if (last !== undefined && last.until === null && segment.number === last.number + 1n) runs.at(-1)?.push(segment);
    else runs.push([segment]);
  }
  return runs;
}

/** Transactions that ran at a position: the WAL tells it at each checkpoint and every 15 seconds. */
export interface RunningAt {
  readonly lsn: number;
  readonly oldest: number;
  readonly next: number;
}

/** What one segment says of time and of transaction ids. */
export interface Glance {
  /** Its first commit or rollback, in microseconds since 1970; null where there is none. */
  readonly firstEnd: { readonly time: number; readonly lsn: number } | null;
  readonly running: readonly RunningAt[];
}

/** Looks into single segments, each once. */
export class Glances {
  private readonly known = new Map<number, Promise<Glance>>();

  constructor(
    private readonly context: WalReader,
    private readonly course: Course,
  ) {}

  at(index: number): Promise<Glance> {
    const known = this.known.get(index) ?? this.read(index);
    this.known.set(index, known);
    return known;
  }

  private async read(index: number): Promise<Glance> {
    const segment = this.course.segments[index];
    if (segment === undefined) return { firstEnd: null, running: [] };
    let firstEnd: Glance['firstEnd'] = null;
    const running: RunningAt[] = [];
    await scanRecords(
      this.context,
      this.course.source,
      { segments: [segment], managers: ['Transaction', 'Standby'] },
      {
        transaction: ({ time, lsn }) => (firstEnd ??= { time, lsn }),
        other: (record) => {
          if (record.kind === 'running') running.push(record);
        },
      },
    );
    return { firstEnd, running };
  }
}

/**
 * Index of the last segment for which `isBefore` holds, or -1; `isBefore` is null where a segment does not say it: then the
 * next one that does is asked.
 */
async function lastBefore(count: number, isBefore: (index: number) => Promise<boolean | null>): Promise<number> {
  let [low, high] = [-1, count];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    let asked = middle;
    let answer = await isBefore(asked);
    while (answer === null && asked + 1 < high) answer = await isBefore(++asked);
    if (answer === true) low = asked;
    else high = middle;
  }
  return low;
}

/** Whether one transaction id is before another, both of 32 bits, as PostgreSQL counts them: round and round. */
export function xidPrecedes(xid: number, other: number): boolean {
  const distance = (other - xid) >>> 0;
  return distance > 0 && distance < 0x8000_0000;
}

/** Where to begin so that all of something is read. */
export interface Beginning {
  /** Index of the segment. */
  readonly index: number;
  readonly lsn: number;
  /** Of transactions from this id on everything is read; null: that is not known. */
  readonly since: number | null;
}

/**
 * Where a transaction has begun, or before that.
 * @returns null where the WAL begins later
 */
export async function beginningOf(glances: Glances, course: Course, xid: number): Promise<Beginning | null> {
  const isBefore = async (index: number): Promise<boolean | null> => {
    const { running } = await glances.at(index);
    const [first] = running;
    return first === undefined ? null : !xidPrecedes(xid, first.next);
  };
  const index = await lastBefore(course.segments.length, isBefore);
  if (index < 0) return null;
  const { running } = await glances.at(index);
  const last = running.findLast(({ next }) => !xidPrecedes(xid, next));
  return last === undefined ? null : { index, lsn: last.lsn, since: last.next };
}

/** WAL that is looked through for the beginning of a transaction that was open for long. */
const LOOK_BACK_BYTES = 2 * 1024 * 1024 * 1024;

/**
 * Where to begin for everything that commits at or after a time: before the beginning of what was open then. Looks back so far
 * only; what is older is read from where it can be.
 */
export async function beginningAt(
  glances: Glances,
  course: Course,
  time: number,
): Promise<Beginning & { readonly reachesBack: boolean }> {
  const { segments, source } = course;
  const found = await lastBefore(segments.length, async (index) => {
    const { firstEnd } = await glances.at(index);
    return firstEnd === null ? null : firstEnd.time < time;
  });
  const index = Math.max(0, found);
  // What initdb wrote before its first segment is nothing.
  const reachesBack = found >= 0 || (segments[0]?.number ?? 0n) <= 1n;
  const start = startOf(segments[index] as FollowedSegment, source.segmentBytes);
  const lowest = Math.max(0, index - Math.ceil(LOOK_BACK_BYTES / source.segmentBytes));
  let oldest: number | null = null;
  for (let back = index; back >= lowest; back--) {
    // Across a gap nothing leads on.
    if (back < index && !follows(segments[back], segments[back + 1])) break;
    const { firstEnd, running } = await glances.at(back);
    for (const { lsn, oldest: first, next } of running.toReversed()) {
      // Within the segment only what comes before its first commit is surely before the time.
      if (back === index && (firstEnd === null || lsn > firstEnd.lsn)) continue;
      if (oldest !== null && xidPrecedes(oldest, next)) continue;
      if (oldest === null && first !== next) {
        oldest = first;
        continue;
      }
      return { index: back, lsn, since: next, reachesBack };
    }
  }
  return { index, lsn: start, since: null, reachesBack };
}

function follows(segment: FollowedSegment | undefined, next: FollowedSegment | undefined): boolean {
  return segment !== undefined && next !== undefined && segment.until === null && next.number === segment.number + 1n;
}
