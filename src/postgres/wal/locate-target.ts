import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '../../files/remove-tree.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn, parseSegmentName, segmentEnd, segmentStart } from '../../domain/target/wal.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { WalReader } from './wal-archive.js';
import { fetchUndamaged } from './wal-archive.js';
import type { WalSources } from './recoverable-range.js';

/** A target that only the WAL itself knows: PostgreSQL stops at its first occurrence after the backup. */
export type NamedTarget = Extract<RecoveryTarget, { kind: 'xid' | 'name' }>;

export interface Search {
  readonly target: NamedTarget;
  /** Only what comes at or after this position counts. */
  readonly fromLsn: string;
  readonly segmentBytes: number;
}

/** Segments read at a time; one more is kept from before, for records that go over its end. */
const BATCH = 8;

export interface Located {
  /** Position of the target's first occurrence; null where there is none before the WAL ends. */
  readonly lsn: string | null;
  /** The first segment that is damaged, before which the search ended; null where all could be read that had to be. */
  readonly damaged: string | null;
}

/** Searches for the target in these archived segments, in the order of the WAL, up to a damaged one: no recovery goes beyond that. */
export async function findInArchive(
  context: WalReader,
  search: Search,
  segments: readonly string[],
  sources: WalSources,
): Promise<Located> {
  for (let first = 0; first < segments.length; first += BATCH) {
    context.signal.throwIfAborted();
    context.report({
      phase: 'search for the target in the archived WAL',
      done: first,
      total: segments.length,
      unit: 'segments',
    });
    const batch = segments.slice(Math.max(0, first - 1), first + BATCH);
    const directory = await mkdtemp(join(sources.scratch, 'locate-'));
    try {
      const read: string[] = [];
      let damaged: string | null = null;
      for (const segment of batch) {
        if (await fetchUndamaged(sources.archive, segment, directory)) read.push(segment);
        else damaged = segment;
        if (damaged !== null) break;
      }
      const lsn = read.length === 0 ? null : await findInDirectory(context, search, read, directory);
      if (lsn !== null || damaged !== null) return { lsn, damaged };
    } finally {
      await removeTree(directory);
    }
  }
  return { lsn: null, damaged: null };
}

/** Position of its first occurrence in segments of a directory, null where there is none; they may go over a change of timelines. */
export async function findInDirectory(
  context: WalReader,
  search: Search,
  segments: readonly string[],
  directory: string,
): Promise<string | null> {
  const { target, segmentBytes } = search;
  const timelines = [...new Set(segments.map((name) => parseSegmentName(name, segmentBytes).timeline))];
  for (const timeline of timelines) {
    const names = segments.filter((name) => parseSegmentName(name, segmentBytes).timeline === timeline);
    const bounds = [
      '-s',
      segmentStart(names[0] ?? '', segmentBytes),
      '-e',
      segmentEnd(names.at(-1) ?? '', segmentBytes),
    ];
    const dump = [
      join(context.pgBin, 'pg_waldump'),
      '-p',
      directory,
      '-t',
      String(timeline),
      ...bounds,
      '--rmgr',
      target.kind === 'xid' ? 'Transaction' : 'XLOG',
    ];
    // grep keeps out a million other transactions; what it lets through is read exactly.
    const { stdout } = await runProgram(
      ['/bin/sh', '-c', 'rough=$1; shift; "$@" | grep -F -e "$rough" || true', 'find', roughly(target), ...dump],
      {
        // Reads only, and the worker can read what is its own and what it recovers.
        env: { LC_ALL: 'C', TZ: 'UTC' },
        timeoutMs: 900_000,
      },
    );
    const found = occurrences(stdout, target).find((lsn) => compareLsn(lsn, search.fromLsn) >= 0);
    if (found !== undefined) return found;
  }
  return null;
}

/** Positions at which pg_waldump's lines show the target. A transaction's commit and its abort both end a recovery. */
export function occurrences(lines: string, target: NamedTarget): string[] {
  const shows =
    target.kind === 'name'
      ? (line: string) => line.endsWith(` desc: RESTORE_POINT ${target.name}`)
      : endsTransaction(target.xid);
  return lines
    .split('\n')
    .filter(shows)
    .flatMap((line) => /lsn: ([0-9A-F]+\/[0-9A-F]+),/.exec(line)?.[1] ?? []);
}

function endsTransaction(target: string): (line: string) => boolean {
  const xid = lowerHalf(target);
  const own = new RegExp(`tx:\\s*${xid}, .* desc: (?:COMMIT|ABORT) `);
  const prepared = new RegExp(` desc: (?:COMMIT|ABORT)_PREPARED ${xid}:`);
  return (line) => own.test(line) || prepared.test(line);
}

function roughly(target: NamedTarget): string {
  return target.kind === 'name' ? `RESTORE_POINT ${target.name}` : lowerHalf(target.xid);
}

/** The WAL holds 32 bits of a transaction id; the bits before them are the epoch. */
function lowerHalf(xid: string): string {
  return (BigInt(xid) & 0xffffffffn).toString();
}
