import { mkdtemp, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../../domain/errors.js';
import { formatLsn, segmentName } from '../../../domain/target/wal.js';
import { removeTree } from '../../../files/remove-tree.js';
import { runProgram } from '../../../process/exec/run-program.js';
import { restorePointTime } from '../segment-file.js';
import type { WalArchive, WalReader } from '../wal-archive.js';
import { fetchUndamaged } from '../wal-archive.js';
import { RecordLines } from '../waldump-lines.js';
import type { FollowedSegment } from './followed-segments.js';
import { PG_DATABASE, type WalEvent, walEventIn } from './wal-events.js';

/** WAL that is in the scratch directory at a time. */
const BATCH_BYTES = 64 * 1024 * 1024;
/** Kept from the batch before, for records that go over its end. */
const OVERLAP_BYTES = 16 * 1024 * 1024;
/** Segments fetched at a time: each may be a process. */
const AT_ONCE = 4;
const READ_TIMEOUT_MS = 900_000;
const TAKES_SEVERAL = 15;
/** Exit code 1 is a result where it says that the WAL ends there. */
const END_OF_WAL = /error in WAL record at|could not find a valid record/;

/** Where the WAL of a scan is read from. */
export interface ScanSources {
  readonly archive: WalArchive;
  readonly oldDataDir: string | null;
  /** Directory for fetched segments; each is removed as soon as it was read. */
  readonly scratch: string;
  /** Major version of the cluster. */
  readonly major: number;
}

export interface ScanRequest {
  /** Segments without a gap, in the order of the WAL. */
  readonly files: readonly FollowedSegment[];
  readonly segmentBytes: number;
  /** Also restore points, and what a promotion wrote. */
  readonly control?: boolean;
}

/** How a scan ended; both false where it was told to stop. */
export interface ScanEnd {
  /** The segment that is damaged, before which it ended: no recovery goes beyond that. */
  readonly damaged: string | null;
}

/**
 * Calls `visit` with what decides where a recovery stops, in the order of the WAL, until it returns false, the files end
 * or the WAL in them does. Reads a few segments at a time and keeps none.
 */
export async function scanWal(
  context: WalReader,
  sources: ScanSources,
  { files, segmentBytes, control = false }: ScanRequest,
  visit: (event: WalEvent) => boolean,
): Promise<ScanEnd> {
  const step = Math.max(1, Math.floor(BATCH_BYTES / segmentBytes));
  const overlap = Math.max(1, Math.ceil(OVERLAP_BYTES / segmentBytes));
  let seen = -1n;
  for (let first = 0; first < files.length; first += step) {
    context.signal.throwIfAborted();
    context.report({ phase: 'search for the target in the WAL', done: first, total: files.length, unit: 'segments' });
    const batch = files.slice(Math.max(0, first - overlap), first + step);
    const directory = await mkdtemp(join(sources.scratch, 'scan-'));
    try {
      const { read, damaged } = await bring(context, sources, batch, segmentBytes, directory);
      const { events, ended } = await eventsOf(context, { ...sources, directory, segmentBytes, control }, read);
      for (const event of events) {
        if (event.lsn <= seen) continue;
        seen = event.lsn;
        if (!visit(event)) return { damaged: null };
      }
      if (damaged !== null || ended) return { damaged };
    } finally {
      await removeTree(directory);
    }
  }
  return { damaged: null };
}

/**
 * Puts segments into a directory, all under the name of one timeline: to pg_waldump they are one WAL then, and a record
 * that goes over a change of timelines is read as a recovery reads it.
 */
async function bring(
  { signal }: WalReader,
  { archive, oldDataDir }: ScanSources,
  batch: readonly FollowedSegment[],
  segmentBytes: number,
  directory: string,
): Promise<{ readonly read: readonly FollowedSegment[]; readonly damaged: string | null }> {
  const bringOne = async ({ name, number, from }: FollowedSegment): Promise<boolean> => {
    signal.throwIfAborted();
    const path = join(directory, segmentName({ timeline: 1, number }, segmentBytes));
    if (from === 'old') {
      await symlink(join(oldDataDir ?? '', 'pg_wal', name), path);
      return true;
    }
    if (!(await fetchUndamaged(archive, name, directory))) return false;
    await rename(join(directory, name), path);
    return true;
  };
  for (let first = 0; first < batch.length; first += AT_ONCE) {
    const some = batch.slice(first, first + AT_ONCE);
    const bad = (await Promise.all(some.map(bringOne))).indexOf(false);
    if (bad >= 0) return { read: batch.slice(0, first + bad), damaged: some[bad]?.name ?? null };
  }
  return { read: batch, damaged: null };
}

interface Place extends Pick<ScanSources, 'major'> {
  readonly directory: string;
  readonly segmentBytes: number;
  readonly control: boolean;
}

async function eventsOf(
  context: WalReader,
  place: Place,
  files: readonly FollowedSegment[],
): Promise<{ readonly events: readonly WalEvent[]; readonly ended: boolean }> {
  const [first, last] = [files[0], files.at(-1)];
  if (first === undefined || last === undefined) return { events: [], ended: true };
  const size = BigInt(place.segmentBytes);
  const start = first.number * size;
  const end = last.until ?? (last.number + 1n) * size;
  if (end <= start) return { events: [], ended: true };
  const events: WalEvent[] = [];
  let ended = last.until !== null;
  for (const filter of filtersOf(place)) {
    const argv = [
      ...[join(context.pgBin, 'pg_waldump'), '-p', place.directory, '-t', '1'],
      ...['-s', formatLsn(start), '-e', formatLsn(end), ...filter],
    ];
    const lines = new RecordLines((line) => {
      const event = walEventIn(line);
      if (event !== null) events.push(event);
    });
    const { exitCode, stderr } = await runProgram(argv, {
      // Reads only, and the worker can read what is its own and what it recovers.
      env: { LC_ALL: 'C', TZ: 'UTC' },
      acceptCodes: [0, 1],
      timeoutMs: READ_TIMEOUT_MS,
      signal: context.signal,
      onLine: (line) => lines.push(line),
    });
    lines.end();
    if (exitCode === 0) continue;
    if (!END_OF_WAL.test(stderr))
      throw new RepriseError(
        'tool-failed',
        stderr.split('\n')[0] ?? 'pg_waldump failed',
        'see that the WAL can be read, and that the programs are of the version that wrote it',
      );
    ended = true;
  }
  const sorted = events.toSorted((a, b) => (a.lsn < b.lsn ? -1 : a.lsn > b.lsn ? 1 : 0));
  return { events: await Promise.all(sorted.map((event) => dated(event, place))), ended };
}

/** A restore point with its time, which only the record itself has. */
async function dated(event: WalEvent, { directory, segmentBytes }: Place): Promise<WalEvent> {
  if (event.kind !== 'restore-point') return event;
  const size = BigInt(segmentBytes);
  const path = join(directory, segmentName({ timeline: 1, number: event.lsn / size }, segmentBytes));
  const time = await restorePointTime(path, Number(event.lsn % size));
  return time === null ? event : { ...event, time };
}

/** By version: pg_waldump takes several resource managers at once, and a relation, from 15 on. */
function filtersOf({ major, control }: Place): readonly (readonly string[])[] {
  const managers = ['Transaction', 'Database', 'Tablespace', 'Standby', ...(control ? ['XLOG'] : [])];
  const filters = managers.map((manager) => ['--rmgr', manager]);
  if (major < TAKES_SEVERAL) return filters;
  return [filters.flat(), ['--rmgr', 'Heap', '--relation', PG_DATABASE]];
}
