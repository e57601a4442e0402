import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import {
  isHistoryName,
  missingSegments,
  nextSegment,
  parseSegmentName,
  segmentBefore,
} from '../../domain/target/wal.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { copyFileAtomic } from '../../files/atomic-file.js';
import { syncDirectory } from '../../files/directories.js';
import { makeOwnDirectory } from '../../files/trusted-paths.js';
import { readSegmentHeader } from './segment-file.js';
import type { SegmentHeader } from './segment-file.js';
import { listSegments, walTail } from './read-wal.js';
import type { WalTail } from './read-wal.js';

export interface SalvageRequest {
  /** Data directory of the lost server; only its `pg_wal` is read, and nothing in it is changed. */
  readonly oldDataDir: string;
  /** Directory of this operation's own, made where missing, 0700. */
  readonly toDir: string;
  /** Last segment up to which the archive has everything; null where it has nothing. */
  readonly archivedUpTo: string | null;
  /** Copies every written segment, readable to its end or not: what stays behind is overwritten. */
  readonly everything?: boolean;
  /** Cluster the WAL must be of; null or absent where nothing is known of it. */
  readonly systemIdentifier?: string | null;
  readonly pgBin: string;
  readonly user: OsUser | null;
}

/** With the tail of what was copied: `endLsn` is null where nothing beyond the archive is readable. */
export interface Salvage extends WalTail {
  /** Names of the segments copied (or to copy), oldest first. */
  readonly segments: readonly string[];
  /** Segments between the archive and the first one copied that are nowhere: recovery ends before them. */
  readonly missing: readonly string[];
}

/**
 * Copies what the lost server wrote and did not archive, up to its last valid record. Copies are synced and appear
 * whole, and one that is there already stays: the call can be repeated after a kill.
 * @throws RepriseError `identity-mismatch` where the WAL is another cluster's.
 */
export async function salvageWal(request: SalvageRequest): Promise<Salvage> {
  const { oldDataDir, toDir, user } = request;
  const found = await inspectSalvage(request);
  const segments = request.everything
    ? (await writtenSegments(join(oldDataDir, 'pg_wal'))).map(({ name }) => name)
    : found.segments;
  if (segments.length === 0) return found;
  await makeOwnDirectory(toDir, user);
  const walDir = join(oldDataDir, 'pg_wal');
  const histories = (await readdir(walDir).catch(() => [])).filter(isHistoryName);
  for (const name of [...histories, ...segments]) await copyOnce(join(walDir, name), join(toDir, name), user);
  await syncDirectory(toDir);
  return found;
}

/** What {@link salvageWal} would copy: reads only, for a plan. */
export async function inspectSalvage(request: Omit<SalvageRequest, 'toDir'>): Promise<Salvage> {
  const walDir = join(request.oldDataDir, 'pg_wal');
  const candidates = (await writtenSegments(walDir)).filter(({ name }) => isAfter(name, request.archivedUpTo));
  const newest = candidates.at(-1);
  if (newest === undefined) return nothing();
  refuseStranger(newest.header, request.systemIdentifier ?? null);
  const { segmentBytes } = newest.header;
  // Older timelines end where the newest begins; their segments are whole, the end is on the newest.
  const { timeline } = parseSegmentName(newest.name, segmentBytes);
  const names = candidates.map(({ name }) => name);
  const first = names.find((name) => parseSegmentName(name, segmentBytes).timeline === timeline) ?? newest.name;
  const tail = await walTail(request.pgBin, walDir, first, request.user);
  if (tail.endLsn === null) return nothing();
  const last = segmentBefore(timeline, tail.endLsn, segmentBytes);
  const segments = names.filter((name) => name <= last);
  return { ...tail, segments, missing: gap(request.archivedUpTo, segments[0] ?? first, segmentBytes) };
}

interface WrittenSegment {
  readonly name: string;
  readonly header: SegmentHeader;
}

/** Segments that hold what their name says; recycled ones carry an old address or none, and cut ones are not whole. */
export async function writtenSegments(walDir: string): Promise<WrittenSegment[]> {
  const written: WrittenSegment[] = [];
  for (const name of await listSegments(walDir)) {
    const path = join(walDir, name);
    const header = await readSegmentHeader(path);
    if (header === null || header.segmentBytes === 0) continue;
    const { number } = parseSegmentName(name, header.segmentBytes);
    const { size } = await stat(path);
    if (header.pageStart === number * BigInt(header.segmentBytes) && size === header.segmentBytes)
      written.push({ name, header });
  }
  return written;
}

/** By name, as archives sort: a later timeline is after every segment of an earlier one. */
function isAfter(name: string, archivedUpTo: string | null): boolean {
  return archivedUpTo === null || name > archivedUpTo;
}

function refuseStranger(header: SegmentHeader, expected: string | null): void {
  if (expected === null || header.systemIdentifier === expected) return;
  throw new RepriseError(
    'identity-mismatch',
    `the WAL belongs to the cluster ${header.systemIdentifier}, not to ${expected}`,
    'See that data_dir names the directory of the cluster that is recovered.',
  );
}

function gap(archivedUpTo: string | null, first: string, segmentBytes: number): string[] {
  if (archivedUpTo === null) return [];
  const [archived, salvaged] = [parseSegmentName(archivedUpTo, segmentBytes), parseSegmentName(first, segmentBytes)];
  const same = archived.timeline === salvaged.timeline;
  const expected = same ? nextSegment(archivedUpTo, segmentBytes) : first;
  return expected >= first ? [] : missingSegments([first], expected, first, { segmentBytes });
}

async function copyOnce(from: string, to: string, user: OsUser | null): Promise<void> {
  const [source, target] = await Promise.all([stat(from), stat(to).catch(() => null)]);
  if (target?.size !== source.size) await copyFileAtomic(from, to, user);
}

function nothing(): Salvage {
  return { segments: [], endLsn: null, lastCommitAt: null, lastCommitXid: null, lastCommitLsn: null, missing: [] };
}
