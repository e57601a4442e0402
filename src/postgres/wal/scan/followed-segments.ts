import { join } from 'node:path';
import { parseLsn, segmentName } from '../../../domain/target/wal.js';
import { writtenSegments } from '../salvage.js';
import { pathOf, type Timeline } from '../timelines.js';
import type { WalArchive } from '../wal-archive.js';

/** Where each segment that exists can be read: the archive, or `pg_wal` of the old data directory. */
export type PresentSegments = ReadonlyMap<string, 'archive' | 'old'>;

/** A segment as a recovery along one timeline reads it. */
export interface FollowedSegment {
  readonly name: string;
  readonly number: bigint;
  readonly from: 'archive' | 'old';
  /** What comes from here on belongs to a timeline that was left; null: all of it counts. */
  readonly until: bigint | null;
}

/** All segments of the archive, and those of the old `pg_wal` that it does not have whole. */
export async function presentSegments(
  { segments, beginnings }: Pick<WalArchive, 'segments' | 'beginnings'>,
  oldDataDir: string | null,
): Promise<PresentSegments> {
  const present = new Map<string, 'archive' | 'old'>(segments.map((name) => [name, 'archive']));
  if (oldDataDir === null) return present;
  for (const { name } of await writtenSegments(join(oldDataDir, 'pg_wal')))
    if (!present.has(name) || beginnings?.has(name) === true) present.set(name, 'old');
  return present;
}

/**
 * The segments of a timeline and its ancestors between two numbers (both included; null: as far as there are any), up to
 * the first that is missing. Each is read from the newest timeline that has it, as PostgreSQL does.
 */
export function followedSegments(
  present: PresentSegments,
  timeline: Timeline,
  segmentBytes: number,
  { from, to }: { readonly from: bigint; readonly to: bigint | null },
): readonly FollowedSegment[] {
  const size = BigInt(segmentBytes);
  const path = pathOf(timeline).toReversed();
  const at = (number: bigint): FollowedSegment | null => {
    for (const { id, begin, until } of path) {
      const end = until === null ? null : parseLsn(until);
      if (number < parseLsn(begin) / size || (end !== null && number > end / size)) continue;
      const name = segmentName({ timeline: id, number }, segmentBytes);
      const where = present.get(name);
      if (where !== undefined)
        return { name, number, from: where, until: end !== null && end / size === number ? end : null };
    }
    return null;
  };
  const files: FollowedSegment[] = [];
  for (let number = from; to === null || number <= to; number++) {
    const file = at(number);
    if (file === null) break;
    files.push(file);
    // The newer timeline's own copy of this segment is not there: nothing leads on.
    if (file.until !== null) break;
  }
  return files;
}
