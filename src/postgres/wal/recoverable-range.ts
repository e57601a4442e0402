import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TimelineSwitch } from '../../domain/target/wal.js';
import {
  isHistoryName,
  laterLsn,
  parseLsn,
  parseSegmentName,
  parseTimelineHistory,
  segmentName,
} from '../../domain/target/wal.js';
import type { Salvage } from './salvage.js';
import { inspectSalvage } from './salvage.js';
import type { WalTail } from './read-wal.js';
import { walTail } from './read-wal.js';
import type { OnlineBackup, WalArchive, WalReader } from './wal-archive.js';
import { fetchUndamaged, withoutSegments } from './wal-archive.js';
import { belongs, followWal, segmentBytesOf } from './contiguous-wal.js';
import type { ContiguousWal } from './contiguous-wal.js';
import type { Followed, Timeline } from './timelines.js';
import { followTimeline } from './timelines.js';

/** Segments searched backwards for the last commit: an idle server with archive_timeout writes for hours without one. */
const SEARCHED_BACK = 32;

/** How far a recovery that begins with a backup can go. */
export interface RecoverableRange {
  readonly followed: Followed;
  /** Timelines of its past that went on being archived after they were left, and where that was. */
  readonly abandoned: readonly { readonly id: number; readonly at: string }[];
  /** Last segment without a gap before it, in the archive or salvageable; null where the first one is missing. */
  readonly endSegment: string | null;
  /** Missing segments before others that exist, and the {@link damaged} ones. */
  readonly missing: readonly string[];
  /** Archived segments that cannot be read, and that no salvaged segment replaces. */
  readonly damaged: readonly string[];
  readonly salvage: Salvage | null;
  readonly segmentBytes: number;
  /** Position after the last record, and its last commit; null where they are not known. */
  readonly endLsn: string | null;
  readonly lastCommitAt: string | null;
  /** Where the record of that commit begins. */
  readonly lastCommitLsn: string | null;
}

type Tail = Pick<WalTail, 'endLsn' | 'lastCommitAt' | 'lastCommitLsn'>;

/** Everything that a recoverable range is computed from, read once for an outline. */
export interface WalSources {
  readonly archive: WalArchive;
  readonly timelines: readonly Timeline[];
  /** Old data directory whose pg_wal may be read, or null. */
  readonly oldDataDir: string | null;
  /** Directory for fetched segments. */
  readonly scratch: string;
}

/** Timelines known to the archive or to the old `pg_wal`; the first has no history file. */
export async function readTimelines(archive: WalArchive, oldDataDir: string | null): Promise<Timeline[]> {
  // At once: each is a process of its own, and every recovery adds one.
  const archived = await Promise.all(
    archive.timelines.map(async (id) => ({ id, history: await archive.readHistory(id) })),
  );
  const known = new Map<number, Timeline>(archived.map((timeline) => [timeline.id, timeline]));
  const walDir = oldDataDir === null ? null : join(oldDataDir, 'pg_wal');
  const names = walDir === null ? [] : (await readdir(walDir).catch(() => [])).filter(isHistoryName);
  for (const name of names) {
    const id = Number.parseInt(name.slice(0, 8), 16);
    if (!known.has(id))
      known.set(id, { id, history: parseTimelineHistory(await readFile(join(walDir ?? '', name), 'utf8')) });
  }
  return [...known.values()];
}

/**
 * Reads how far a recovery from this backup can go; changes nothing but the scratch directory. A segment that is read for
 * it and is damaged counts as missing.
 */
export async function recoverableRange(
  context: WalReader,
  backup: OnlineBackup,
  sources: WalSources,
): Promise<RecoverableRange> {
  const damaged = new Set<string>();
  for (;;) {
    const undamaged = { ...sources, archive: withoutSegments(sources.archive, damaged) };
    const found = await rangeWithout(context, backup, undamaged, damaged);
    if (!('unreadable' in found)) return found;
    damaged.add(found.unreadable);
  }
}

/** An archived segment that turned out to be damaged: the WAL has to be followed again without it. */
interface Unreadable {
  readonly unreadable: string;
}

/** The WAL of one backup, along the timeline that a recovery follows. */
interface Course {
  readonly followed: Followed;
  readonly start: string;
  readonly segmentBytes: number;
  /** Whether a segment is part of it. */
  readonly holds: (segment: string) => boolean;
}

async function rangeWithout(
  context: WalReader,
  backup: OnlineBackup,
  sources: WalSources,
  damaged: ReadonlySet<string>,
): Promise<RecoverableRange | Unreadable> {
  const { archive } = sources;
  const course = courseOf(backup, sources.timelines);
  const { followed, segmentBytes } = course;
  const archived = follow(archive.segments, course);
  const salvage = await salvageable(context, backup, sources, course);
  // What another timeline wrote does not lengthen this one.
  const saved = (salvage?.segments ?? []).filter(course.holds);
  const contiguous = saved.length === 0 ? archived : follow([...archive.segments, ...saved], course);
  const used = saved.length > 0 && contiguous.missing.length === 0 ? salvage : null;
  const end = used !== null && saved.at(-1) === used.segments.at(-1) ? used : null;
  const tail = await tailOf(context, backup, sources, { archivedEnd: archived.end, salvaged: end, segmentBytes });
  if ('unreadable' in tail) return tail;
  const lost = [...damaged].filter((name) => !saved.includes(name) && course.holds(name)).sort();
  return {
    followed,
    abandoned: abandonedEnds(followed.timeline, archive.segments, segmentBytes),
    endSegment: contiguous.end,
    missing: [...new Set([...contiguous.missing, ...lost])].sort(),
    damaged: lost,
    salvage: used === null ? null : { ...used, segments: saved },
    segmentBytes,
    endLsn: end === null ? tail.endLsn : laterLsn(end.endLsn, tail.endLsn),
    lastCommitAt: tail.lastCommitAt,
    lastCommitLsn: tail.lastCommitLsn,
  };
}

function courseOf(backup: OnlineBackup, timelines: readonly Timeline[]): Course {
  const segmentBytes = segmentBytesOf(backup);
  const first = parseSegmentName(backup.wal.start, segmentBytes);
  const followed = followTimeline({ timeline: first.timeline, stopLsn: backup.lsn.stop }, timelines);
  const holds = (segment: string): boolean => belongs(segment, followed.timeline, segmentBytes, first.number);
  return { followed, start: backup.wal.start, segmentBytes, holds };
}

function follow(segments: readonly string[], { followed, start, segmentBytes }: Course): ContiguousWal {
  return followWal(segments, start, followed.timeline, segmentBytes);
}

/** What the old data directory holds beyond the archive; null where there is none. */
async function salvageable(
  context: WalReader,
  backup: OnlineBackup,
  { archive, oldDataDir }: WalSources,
  course: Course,
): Promise<Salvage | null> {
  if (oldDataDir === null) return null;
  // Of a segment that is only begun the old directory may have the rest.
  const whole = archive.segments.filter((name) => archive.beginnings?.has(name) !== true);
  return inspectSalvage({
    oldDataDir,
    archivedUpTo: follow(whole, course).end,
    systemIdentifier: backup.systemIdentifier,
    pgBin: context.pgBin,
    user: context.user,
  });
}

interface TailSources {
  readonly archivedEnd: string | null;
  /** What was salvaged, where its last segment is on the followed timeline: its tail is that of this segment. */
  readonly salvaged: Salvage | null;
  readonly segmentBytes: number;
}

/** The end of the WAL and its last commit: of what was salvaged where that holds one, else of the archive. */
async function tailOf(
  context: WalReader,
  backup: OnlineBackup,
  sources: WalSources,
  { archivedEnd, salvaged, segmentBytes }: TailSources,
): Promise<Tail | Unreadable> {
  if (salvaged === null || salvaged.lastCommitAt === null)
    return archiveTail(context, backup, archivedEnd, sources, segmentBytes);
  // Where the old directory knows the end, the archive's last segment still has to lead there.
  if (archivedEnd !== null && !(await fetchUndamaged(sources.archive, archivedEnd, sources.scratch)))
    return { unreadable: archivedEnd };
  return salvaged;
}

function abandonedEnds(
  timeline: Timeline,
  segments: readonly string[],
  segmentBytes: number,
): { id: number; at: string }[] {
  const wentOn = ({ timeline: id, switchLsn }: TimelineSwitch): boolean => {
    const switched = parseLsn(switchLsn) / BigInt(segmentBytes);
    return segments.some((name) => {
      const segment = parseSegmentName(name, segmentBytes);
      return segment.timeline === id && segment.number >= switched;
    });
  };
  return timeline.history.filter(wentOn).map((entry) => ({ id: entry.timeline, at: entry.switchLsn }));
}

/** End of the archived WAL: its last segments are fetched, back to one with a commit. */
async function archiveTail(
  context: WalReader,
  backup: OnlineBackup,
  end: string | null,
  { archive, scratch }: WalSources,
  segmentBytes: number,
): Promise<Tail | Unreadable> {
  let found: Tail = { endLsn: null, lastCommitAt: null, lastCommitLsn: null };
  if (end === null) return found;
  const { timeline, number } = parseSegmentName(end, segmentBytes);
  const oldest = parseSegmentName(backup.wal.stop, segmentBytes).number;
  for (let back = 0n; back < BigInt(SEARCHED_BACK) && number - back >= oldest; back++) {
    const segment = segmentName({ timeline, number: number - back }, segmentBytes);
    // Before the switch the WAL is another timeline's.
    if (!archive.segments.includes(segment)) break;
    if (!(await fetchUndamaged(archive, segment, scratch))) return { unreadable: segment };
    found = await walTail(context.pgBin, scratch, segment, null);
    if (found.lastCommitAt !== null) break;
  }
  return found;
}
