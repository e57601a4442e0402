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
import type { Followed, Timeline } from './timelines.js';
import { followTimeline } from './timelines.js';

/** Segments looked back for the last commit: a quiet server with archive_timeout writes hours without one. */
const LOOK_BACK = 32;

/** How far a recovery that begins with a backup can go. */
export interface RecoverableRange {
  readonly followed: Followed;
  /** Timelines of its past that went on being archived after they were left, and where that was. */
  readonly abandoned: readonly { readonly id: number; readonly at: string }[];
  /** Last segment without a gap before it, in the archive or salvageable; null where the first one is missing. */
  readonly endSegment: string | null;
  /** Segments that are nowhere although later ones are there, and the {@link damaged} ones. */
  readonly missing: readonly string[];
  /** Archived segments that cannot be read, and that nothing salvaged stands in for. */
  readonly damaged: readonly string[];
  readonly salvage: Salvage | null;
  readonly segmentBytes: number;
  /** Position after the last record, and its last commit; null where nothing tells. */
  readonly endLsn: string | null;
  readonly lastCommitAt: string | null;
  /** Where the record of that commit begins. */
  readonly lastCommitLsn: string | null;
}

type Tail = Pick<WalTail, 'endLsn' | 'lastCommitAt' | 'lastCommitLsn'>;

/** Everything a reach is computed from, read once for an outline. */
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
    const found = await reachWithout(
      context,
      backup,
      { ...sources, archive: withoutSegments(sources.archive, damaged) },
      damaged,
    );
    if (!('unreadable' in found)) return found;
    damaged.add(found.unreadable);
  }
}

/** An archived segment that turned out to be damaged: the log has to be followed anew without it. */
interface Unreadable {
  readonly unreadable: string;
}

async function reachWithout(
  context: WalReader,
  backup: OnlineBackup,
  sources: WalSources,
  damaged: ReadonlySet<string>,
): Promise<RecoverableRange | Unreadable> {
  const { archive, timelines, oldDataDir } = sources;
  const segmentBytes = segmentBytesOf(backup);
  const start = parseSegmentName(backup.wal.start, segmentBytes);
  const followed = followTimeline({ timeline: start.timeline, stopLsn: backup.lsn.stop }, timelines);
  const archived = followWal(archive.segments, backup.wal.start, followed.timeline, segmentBytes);
  // Of a segment that is only begun the old directory may have the rest.
  const whole = followWal(
    archive.segments.filter((name) => archive.beginnings?.has(name) !== true),
    backup.wal.start,
    followed.timeline,
    segmentBytes,
  );
  const salvage =
    oldDataDir === null
      ? null
      : await inspectSalvage({
          oldDataDir,
          archivedUpTo: whole.end,
          systemIdentifier: backup.systemIdentifier,
          pgBin: context.pgBin,
          user: context.user,
        });
  // What another timeline wrote does not lengthen this one.
  const saved = (salvage?.segments ?? []).filter((name) =>
    belongs(name, followed.timeline, segmentBytes, start.number),
  );
  const line =
    saved.length === 0
      ? archived
      : followWal([...archive.segments, ...saved], backup.wal.start, followed.timeline, segmentBytes);
  const usesSalvage = saved.length > 0 && line.missing.length === 0;
  // Its end counts where it is on this timeline: what was read of it is that of its last segment.
  const end = usesSalvage && salvage !== null && saved.at(-1) === salvage.segments.at(-1) ? salvage : null;
  const known = end !== null && end.lastCommitAt !== null ? end : null;
  // Where the old directory knows the end, the archive's last segment still has to lead there.
  if (known !== null && archived.end !== null && !(await fetchUndamaged(archive, archived.end, sources.scratch)))
    return { unreadable: archived.end };
  const tail = known ?? (await archiveTail(context, backup, archived.end, sources, segmentBytes));
  if ('unreadable' in tail) return tail;
  const lost = [...damaged]
    .filter((name) => !saved.includes(name) && belongs(name, followed.timeline, segmentBytes, start.number))
    .sort();
  return {
    followed,
    abandoned: abandonedEnds(followed.timeline, archive.segments, segmentBytes),
    endSegment: line.end,
    missing: [...new Set([...line.missing, ...lost])].sort(),
    damaged: lost,
    salvage: usesSalvage && salvage !== null ? { ...salvage, segments: saved } : null,
    segmentBytes,
    endLsn: end === null ? tail.endLsn : laterLsn(end.endLsn, tail.endLsn),
    lastCommitAt: tail.lastCommitAt,
    lastCommitLsn: tail.lastCommitLsn,
  };
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

/** End of the archived log: its last segments are fetched, back to one with a commit. */
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
  for (let back = 0n; back < BigInt(LOOK_BACK) && number - back >= oldest; back++) {
    const segment = segmentName({ timeline, number: number - back }, segmentBytes);
    // Before the switch the log is another timeline's.
    if (!archive.segments.includes(segment)) break;
    if (!(await fetchUndamaged(archive, segment, scratch))) return { unreadable: segment };
    found = await walTail(context.pgBin, scratch, segment, null);
    if (found.lastCommitAt !== null) break;
  }
  return found;
}
