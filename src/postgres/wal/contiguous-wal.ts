import {
  DEFAULT_SEGMENT_BYTES,
  isSegmentName,
  missingSegments,
  parseLsn,
  parseSegmentName,
  segmentAt,
  segmentName,
} from '../../domain/target/wal.js';
import type { Timeline } from './timelines.js';
import { switchedAt } from './timelines.js';

/** The WAL from a backup on, along one timeline and its ancestors, as far as segments exist. */
export interface ContiguousWal {
  /** Last segment that can be reached without a gap; null where not even the first is there. */
  readonly end: string | null;
  /** Missing segments before others that exist, in order. */
  readonly missing: readonly string[];
}

/** Follows the WAL from its first segment through the segments that exist. */
export function followWal(
  present: Iterable<string>,
  start: string,
  timeline: Timeline,
  segmentBytes: number,
): ContiguousWal {
  const first = parseSegmentName(start, segmentBytes);
  const usable = [...present].filter(
    (name) => isSegmentName(name) && belongs(name, timeline, segmentBytes, first.number),
  );
  if (usable.length === 0) return { end: null, missing: [start] };
  // Where a switch is inside a segment, both timelines have it: the later one counts.
  const to = usable.reduce((last, name) => (isLater(name, last, segmentBytes) ? name : last));
  const { timeline: reached } = parseSegmentName(to, segmentBytes);
  const history = timeline.history.filter((entry) => entry.timeline < reached);
  const missing = missingSegments(usable, start, to, { segmentBytes, history });
  const [gap] = missing;
  return { end: gap === undefined ? to : before(gap, first.number, timeline, segmentBytes), missing };
}

/** Segment size of a backup's cluster, derived from its start position and start segment, which name the same place. */
export function segmentBytesOf(backup: {
  readonly lsn: { readonly start: string } | null;
  readonly wal: { readonly start: string };
}): number {
  const { lsn, wal } = backup;
  if (lsn === null) return DEFAULT_SEGMENT_BYTES;
  const { timeline } = parseSegmentName(wal.start);
  const sizes = [DEFAULT_SEGMENT_BYTES, ...Array.from({ length: 11 }, (_, power) => 2 ** (20 + power))];
  return sizes.find((size) => segmentAt(timeline, lsn.start, size) === wal.start) ?? DEFAULT_SEGMENT_BYTES;
}

/** Segments that a backup needs to be consistent and that are missing. */
export function missingFor(
  backup: {
    readonly lsn: { readonly start: string } | null;
    readonly wal: { readonly start: string; readonly stop: string };
  },
  present: Iterable<string>,
): string[] {
  return missingSegments(present, backup.wal.start, backup.wal.stop, { segmentBytes: segmentBytesOf(backup) });
}

/** Whether a segment is part of the WAL of a timeline and its ancestors, from a segment number on. */
export function belongs(name: string, timeline: Timeline, segmentBytes: number, from: bigint): boolean {
  const segment = parseSegmentName(name, segmentBytes);
  if (segment.number < from) return false;
  if (segment.timeline === timeline.id) return true;
  const until = switchedAt(timeline, segment.timeline);
  return until !== null && segment.number <= parseLsn(until) / BigInt(segmentBytes);
}

function isLater(a: string, b: string, segmentBytes: number): boolean {
  const [left, right] = [parseSegmentName(a, segmentBytes), parseSegmentName(b, segmentBytes)];
  return left.number === right.number ? left.timeline > right.timeline : left.number > right.number;
}

function before(gap: string, first: bigint, timeline: Timeline, segmentBytes: number): string | null {
  const number = parseSegmentName(gap, segmentBytes).number - 1n;
  if (number < first) return null;
  const ended = timeline.history.find(({ switchLsn }) => number < parseLsn(switchLsn) / BigInt(segmentBytes));
  return segmentName(
    { timeline: ended?.timeline ?? parseSegmentName(gap, segmentBytes).timeline, number },
    segmentBytes,
  );
}
