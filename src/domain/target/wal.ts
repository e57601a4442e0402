/**
 * Arithmetic of the write-ahead log: positions (LSN), segment names, timelines. Rules from the PostgreSQL sources
 * (`xlog_internal.h`) and the manual, "WAL Internals". Pure; positions are bigints, because they have 64 bits.
 */

/** Segment size that initdb chooses unless told otherwise, in bytes. */
export const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;
/** Page size of the log that PostgreSQL is compiled with unless told otherwise, in bytes. */
const DEFAULT_WAL_BLOCK_BYTES = 8192;
const SHORT_PAGE_HEADER = 24n;
const LONG_PAGE_HEADER = 40n;

/** A segment's place: its timeline and its number (position divided by the segment size). */
export interface WalSegment {
  readonly timeline: number;
  readonly number: bigint;
}

/** One line of a `.history` file: up to `switchLsn` the log of `timeline` counts. */
export interface TimelineSwitch {
  readonly timeline: number;
  readonly switchLsn: string;
}

const lsnPattern = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Whether the text is a position as PostgreSQL writes it, such as `0/16B3740`. */
export function isLsn(text: string): boolean {
  return lsnPattern.test(text);
}

/** Position as a number of bytes; throws a RangeError for what is none. */
export function parseLsn(text: string): bigint {
  const match = lsnPattern.exec(text);
  if (match === null) throw new RangeError(`'${text}' is not a WAL position`);
  return (BigInt(`0x${match[1] ?? ''}`) << 32n) | BigInt(`0x${match[2] ?? ''}`);
}

/** Position in PostgreSQL's spelling. */
export function formatLsn(position: bigint): string {
  const hex = (part: bigint): string => part.toString(16).toUpperCase();
  return `${hex(position >> 32n)}/${hex(position & 0xffffffffn)}`;
}

/** Negative, 0 or positive, for sorting; spelling (case, leading zeros) does not matter. */
export function compareLsn(a: string, b: string): number {
  const difference = parseLsn(a) - parseLsn(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The later of two positions; null counts as none. */
export function laterLsn(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return compareLsn(a, b) >= 0 ? a : b;
}

/** Whether a file name is that of a whole segment (no `.partial`, `.history`, `.backup`). */
export function isSegmentName(name: string): boolean {
  return /^[0-9A-F]{24}$/.test(name);
}

/** Whether a file name is that of a timeline's history. */
export function isHistoryName(name: string): boolean {
  return /^[0-9A-F]{8}\.history$/.test(name);
}

/** Place in the log, whatever the timeline and the size of a segment: names in this order are in the log's order. */
export function segmentIndex(segment: string): string {
  return segment.slice(8, 24);
}

/** Takes a segment's name apart; throws a RangeError for what is none. */
export function parseSegmentName(name: string, segmentBytes = DEFAULT_SEGMENT_BYTES): WalSegment {
  if (!isSegmentName(name)) throw new RangeError(`'${name}' is no WAL segment`);
  const high = BigInt(`0x${name.slice(8, 16)}`);
  const low = BigInt(`0x${name.slice(16)}`);
  return { timeline: Number.parseInt(name.slice(0, 8), 16), number: high * segmentsPerId(segmentBytes) + low };
}

/** Name of the file that holds a segment. */
export function segmentName(segment: WalSegment, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  const perId = segmentsPerId(segmentBytes);
  const hex = (part: bigint): string => part.toString(16).toUpperCase().padStart(8, '0');
  return hex(BigInt(segment.timeline)) + hex(segment.number / perId) + hex(segment.number % perId);
}

/** The segment after this one on the same timeline. */
export function nextSegment(name: string, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  const { timeline, number } = parseSegmentName(name, segmentBytes);
  return segmentName({ timeline, number: number + 1n }, segmentBytes);
}

/** The segment that holds the byte at this position. */
export function segmentAt(timeline: number, lsn: string, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  return segmentName({ timeline, number: parseLsn(lsn) / BigInt(segmentBytes) }, segmentBytes);
}

/** The segment that holds the last byte before this position: where a log that ends there ends. */
export function segmentBefore(timeline: number, lsn: string, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  const position = parseLsn(lsn);
  return segmentAt(timeline, formatLsn(position === 0n ? 0n : position - 1n), segmentBytes);
}

/** First position of a segment. */
export function segmentStart(name: string, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  return formatLsn(parseSegmentName(name, segmentBytes).number * BigInt(segmentBytes));
}

/** First position after a segment. */
export function segmentEnd(name: string, segmentBytes = DEFAULT_SEGMENT_BYTES): string {
  return formatLsn((parseSegmentName(name, segmentBytes).number + 1n) * BigInt(segmentBytes));
}

/** As many missing segments are named. What is listed is not ours: one file far away would make billions of names. */
export const MOST_MISSING = 1000;

/**
 * Names that a recovery needs between two segments (both included) and that the list lacks, in order, the first
 * {@link MOST_MISSING} of them. Where the timeline changes in between, `history` (the switches that lead to `to`'s
 * timeline, oldest first) says which timeline a segment is read from: the newest one that had begun by its end
 * (`XLogFileReadAnyTLI`), since an earlier timeline's file ends at the switch.
 */
export function missingSegments(
  list: Iterable<string>,
  from: string,
  to: string,
  options: { readonly segmentBytes?: number; readonly history?: readonly TimelineSwitch[] } = {},
): string[] {
  const present = new Set(list);
  const missing: string[] = [];
  for (const name of neededSegments(from, to, options)) {
    if (!present.has(name)) missing.push(name);
    if (missing.length >= MOST_MISSING) break;
  }
  return missing;
}

/** Names of all segments between two, both included, one by one: there may be more than memory holds. */
export function* neededSegments(
  from: string,
  to: string,
  options: { readonly segmentBytes?: number; readonly history?: readonly TimelineSwitch[] } = {},
): Generator<string> {
  const segmentBytes = options.segmentBytes ?? DEFAULT_SEGMENT_BYTES;
  const first = parseSegmentName(from, segmentBytes);
  const last = parseSegmentName(to, segmentBytes);
  for (let number = first.number; number <= last.number; number++) {
    const timeline = timelineOf(number, last.timeline, options.history ?? [], segmentBytes);
    yield segmentName({ timeline, number }, segmentBytes);
  }
}

/** Switches named by a `.history` file, oldest first; lines that are comments or empty are passed over. */
export function parseTimelineHistory(text: string): TimelineSwitch[] {
  const switches: TimelineSwitch[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) {
      switches.push({ timeline: Number(match[1]), switchLsn: match[2].toUpperCase() });
    }
  }
  return switches;
}

/**
 * Position after a record: where the next one may begin, the figure that `pg_last_wal_replay_lsn()` shows once it was
 * replayed. A record that fills its page goes on behind the next page's header (`XLogDecodeNextRecord`).
 */
export function recordEnd(
  lsn: string,
  totalLength: number,
  segmentBytes = DEFAULT_SEGMENT_BYTES,
  blockBytes = DEFAULT_WAL_BLOCK_BYTES,
): string {
  const block = BigInt(blockBytes);
  let position = parseLsn(lsn);
  let left = align(BigInt(totalLength));
  for (;;) {
    const room = block - (position % block);
    if (left <= room) return formatLsn(position + left);
    position += room;
    left -= room;
    position += position % BigInt(segmentBytes) === 0n ? LONG_PAGE_HEADER : SHORT_PAGE_HEADER;
  }
}

function timelineOf(number: bigint, newest: number, history: readonly TimelineSwitch[], segmentBytes: number): number {
  // A timeline holds the segment in which its ancestor's switch point is, and all segments after it.
  const ended = history.find(({ switchLsn }) => number < parseLsn(switchLsn) / BigInt(segmentBytes));
  return ended?.timeline ?? newest;
}

/** Records are aligned to eight bytes (MAXALIGN on every 64-bit platform). */
function align(length: bigint): bigint {
  return (length + 7n) & ~7n;
}

function segmentsPerId(segmentBytes: number): bigint {
  return 0x1_0000_0000n / BigInt(segmentBytes);
}
