import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import {
  formatLsn,
  isSegmentName,
  nextSegment,
  parseLsn,
  parseSegmentName,
  recordEnd,
  segmentAt,
  segmentBefore,
  segmentEnd,
  segmentStart,
} from '../../domain/target/wal.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { runProgram } from '../../process/exec/run-program.js';
import { readSegmentHeader } from './segment-file.js';
import { type WaldumpRecord, recordIn, recordLines } from './waldump-lines.js';
import { fileSize } from '../../files/paths.js';

/** Where the readable WAL of a directory ends. */
export interface WalTail {
  /** Position after the last valid record; null where the start segment holds none. */
  readonly endLsn: string | null;
  /** UTC ISO-8601 with microseconds; null where no transaction committed from the start segment on. */
  readonly lastCommitAt: string | null;
  readonly lastCommitXid: string | null;
  /** Where the record of that commit begins: a recovery to this position holds it. */
  readonly lastCommitLsn: string | null;
}

/** Range of WAL whose records are listed at once: some ten thousand lines at most. */
const WINDOW_BYTES = 256n * 1024n;
/** Range of WAL whose commits are listed at once. */
const COMMIT_WINDOW_BYTES = 16n * 1024n * 1024n;
/** Lines that look like records and are none. */
const MOST_FORGED = 100;
const READ_TIMEOUT_MS = 15 * 60_000;
/** Frozen: no record carries it, so that pg_waldump reads everything and prints nothing. */
const NO_XID = '2';
const NO_COMMIT = { lastCommitAt: null, lastCommitXid: null, lastCommitLsn: null };

/**
 * Reads the WAL from a segment on, without a gap, as recovery would, and finds its end by the records themselves:
 * what comes after it, such as recycled segments with future names, does not count. The directory is only read.
 * @param pgBin programs of the server's own major version: pg_waldump reads no other version's WAL.
 * @throws RepriseError `wal-gap` where the start segment is not there.
 */
export async function walTail(pgBin: string, dir: string, startSegment: string, user: OsUser | null): Promise<WalTail> {
  const header = await readSegmentHeader(join(dir, startSegment));
  if (header === null) {
    throw new RepriseError(
      'wal-gap',
      `segment ${startSegment} is missing or was never written`,
      'Begin with a segment that is in the directory.',
    );
  }
  const { segmentBytes, blockBytes } = header;
  const { timeline } = parseSegmentName(startSegment, segmentBytes);
  const dump = waldump(pgBin, dir, timeline, segmentBytes, user);
  const start = parseLsn(segmentStart(startSegment, segmentBytes));
  const limit = parseLsn(segmentEnd(await lastInARow(dir, startSegment, segmentBytes), segmentBytes));
  // pg_waldump's complaint names the last record it could read; without one the WAL is valid up to the limit.
  const complaint = await dump({ from: start, to: limit }, '--xid', NO_XID);
  if (/could not find a valid record/.test(complaint.stderr)) return { endLsn: null, ...NO_COMMIT };
  const stopped = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+)/.exec(complaint.stderr)?.[1];
  const last =
    stopped === undefined
      ? await lastRecord(dump, { from: start, to: limit }, segmentBytes)
      : (await records(dump, { from: parseLsn(stopped), to: limit }, '--limit', '1'))[0];
  if (last === undefined) return { endLsn: null, ...NO_COMMIT };
  const endLsn = endOf(last, segmentBytes, blockBytes);
  return { endLsn, ...(await lastCommit(dump, start, parseLsn(endLsn) < limit ? parseLsn(endLsn) : limit)) };
}

interface WalRange {
  readonly from: bigint;
  readonly to: bigint;
}
type Dump = (
  piece: WalRange,
  ...options: readonly string[]
) => Promise<{ readonly stdout: string; readonly stderr: string }>;

/** Exit code 1 is a result where it says that the WAL ends: any other complaint is a failure. */
const END_OF_WAL = /error in WAL record at|could not find a valid record/;

function waldump(pgBin: string, dir: string, timeline: number, segmentBytes: number, user: OsUser | null): Dump {
  return async ({ from, to }, ...options) => {
    // Named, because otherwise it takes the segment size from any file that is there.
    const files = [
      segmentAt(timeline, formatLsn(from), segmentBytes),
      segmentBefore(timeline, formatLsn(to), segmentBytes),
    ];
    const argv = [
      join(pgBin, 'pg_waldump'),
      '-p',
      dir,
      '-s',
      formatLsn(from),
      '-e',
      formatLsn(to),
      ...options,
      ...files,
    ];
    const output = await runProgram(argv, {
      user,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      acceptCodes: [0, 1],
      timeoutMs: READ_TIMEOUT_MS,
      maxBufferBytes: 256 * 1024 * 1024,
    });
    if (output.exitCode === 0 || END_OF_WAL.test(output.stderr)) return output;
    throw new RepriseError(
      'tool-failed',
      output.stderr.split('\n')[0] ?? 'pg_waldump failed',
      'See that the directory can be read, and that the programs are of the version that wrote it.',
    );
  };
}

async function records(dump: Dump, piece: WalRange, ...options: readonly string[]): Promise<WaldumpRecord[]> {
  const { stdout } = await dump(piece, ...options);
  return recordLines(stdout).flatMap((line) => recordIn(line) ?? []);
}

/**
 * The last record that begins in the range, searched backwards so that a large WAL is not listed whole. Each is read again
 * by its position: a logical message, which any user may write, can hold lines that look like records.
 */
async function lastRecord(
  dump: Dump,
  { from: start, to: limit }: WalRange,
  segmentBytes: number,
): Promise<WaldumpRecord | undefined> {
  let tried = 0;
  for (let end = limit; end > start;) {
    const from = end - WINDOW_BYTES > start ? end - WINDOW_BYTES : start;
    const listed = await records(dump, { from, to: limit });
    for (const { lsn } of listed.toReversed()) {
      const at = parseLsn(lsn);
      if (at < from || at >= limit) continue;
      const [found] = await records(dump, { from: at, to: limit }, '--limit', '1');
      if (found?.lsn === lsn) return found;
      if (++tried > MOST_FORGED) throw forgedLines();
    }
    end = listed.length > 0 ? from : await endOfUsed(dump, { start, end: from, limit }, segmentBytes);
  }
  return undefined;
}

/**
 * Where the empty rest of a segment begins, to a window exactly: nothing begins at `end` or after it. A segment is filled from its
 * start, and a switch leaves all the rest of it empty: of 1 GB that would be four thousand windows to look at.
 */
async function endOfUsed(
  dump: Dump,
  { start, end, limit }: { readonly start: bigint; readonly end: bigint; readonly limit: bigint },
  segmentBytes: number,
): Promise<bigint> {
  if (end <= start) return start;
  const begins = async (from: bigint): Promise<boolean> =>
    (await records(dump, { from, to: limit }, '--limit', '1')).length > 0;
  const segment = ((end - 1n) / BigInt(segmentBytes)) * BigInt(segmentBytes);
  let [used, empty] = [segment > start ? segment : start, end];
  if (!(await begins(used))) return used;
  while (empty - used > WINDOW_BYTES) {
    const middle = used + (empty - used) / 2n;
    if (await begins(middle)) used = middle;
    else empty = middle;
  }
  return empty;
}

function forgedLines(): RepriseError {
  return new RepriseError(
    'tool-failed',
    'the end of the WAL cannot be found: it holds messages with lines that look like records of pg_waldump',
    'recover to a time, a position or a restore point; find who calls pg_logical_emit_message',
  );
}

async function lastCommit(dump: Dump, start: bigint, end: bigint): Promise<Omit<WalTail, 'endLsn'>> {
  for (let to = end; to > start; to -= COMMIT_WINDOW_BYTES) {
    const from = to - COMMIT_WINDOW_BYTES > start ? to - COMMIT_WINDOW_BYTES : start;
    const { stdout } = await dump({ from, to: end }, '--rmgr', 'Transaction');
    const commit = recordLines(stdout)
      .toReversed()
      .map(commitIn)
      .find((found) => found !== null);
    if (commit !== undefined) return commit;
  }
  return NO_COMMIT;
}

/** The commit in a line of pg_waldump, printed with TZ=UTC; null where the line is none. */
export function commitIn(
  line: string,
): { readonly lastCommitAt: string; readonly lastCommitXid: string | null; readonly lastCommitLsn: string } | null {
  const record = recordIn(line);
  const match = /^COMMIT(?:_PREPARED (\d+):)? (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) UTC/.exec(
    record?.description ?? '',
  );
  if (record === null || match === null) return null;
  return {
    lastCommitXid: match[1] ?? record.tx,
    lastCommitLsn: formatLsn(parseLsn(record.lsn)),
    lastCommitAt: `${match[2] ?? ''}T${match[3] ?? ''}Z`,
  };
}

function endOf(record: WaldumpRecord, segmentBytes: number, blockBytes: number): string {
  const end = recordEnd(record.lsn, record.totalLength, segmentBytes, blockBytes);
  if (!record.description.startsWith('SWITCH')) return end;
  // A switch takes all the rest of its segment.
  const size = BigInt(segmentBytes);
  return formatLsn(((parseLsn(end) + size - 1n) / size) * size);
}

/** Last segment of the unbroken row that begins with this one; a cut file ends it, for recovery takes whole ones only. */
export async function lastInARow(dir: string, first: string, segmentBytes: number): Promise<string> {
  let last = first;
  for (
    let next = nextSegment(first, segmentBytes);
    (await fileSize(join(dir, next))) === segmentBytes;
    next = nextSegment(next, segmentBytes)
  )
    last = next;
  return last;
}

/** Whole segments in a directory, oldest first; empty where it cannot be read. */
export async function listSegments(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch(() => [] as string[]);
  return names.filter(isSegmentName).sort();
}
