import { isRepriseError } from '../../domain/errors.js';
import type { Progress } from '../../domain/operation/progress.js';
import type { TimelineSwitch } from '../../domain/target/wal.js';
import type { OsUser } from '../../process/jobs/jobs.js';

/** WAL of one cluster as an engine keeps it, to find how far a recovery can go. Read once, then the same. */
export interface WalArchive {
  /** Segments, in order of their names: whole ones, and those of {@link beginnings}. */
  readonly segments: readonly string[];
  /** Those of the segments, each the last of its timeline, of which only the beginning is there; none where absent. */
  readonly beginnings?: ReadonlySet<string>;
  /** Timelines whose `.history` is there. */
  readonly timelines: readonly number[];
  /** Switches that led to a timeline, from its history file. */
  readHistory(timeline: number): Promise<readonly TimelineSwitch[]>;
  /**
   * Copies one segment into a directory under its own name, compared with its recorded checksum.
   * @throws RepriseError `backup-corrupt` or `wal-gap` where it is damaged; `not-found` where it is not archived
   */
  fetch(segment: string, directory: string): Promise<void>;
}

/** A backup and the WAL that makes it consistent. */
export interface OnlineBackup {
  readonly label: string;
  readonly systemIdentifier: string;
  /** UTC ISO-8601, rounded down to a second or more exact. */
  readonly finishedAt: string;
  readonly wal: { readonly start: string; readonly stop: string };
  readonly lsn: { readonly start: string; readonly stop: string };
}

/** What is needed to read WAL; part of every engine context. */
export interface WalReader {
  /** Programs of the cluster's own major version: pg_waldump reads no other version's WAL. */
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
}

/** Codes with which an archive says that a segment is there and cannot be read as it was written. */
const DAMAGE = new Set(['backup-corrupt', 'wal-gap']);

/**
 * Fetches a segment into a directory; false where it is damaged. It is a gap in the WAL like a missing one:
 * recovery ends before it.
 * @throws RepriseError what else hinders fetching
 */
export async function fetchUndamaged(archive: WalArchive, segment: string, directory: string): Promise<boolean> {
  try {
    await archive.fetch(segment, directory);
    return true;
  } catch (error) {
    if (isRepriseError(error) && DAMAGE.has(error.code)) return false;
    throw error;
  }
}

/** The archive as if these segments had never come to it. */
export function withoutSegments(archive: WalArchive, segments: ReadonlySet<string>): WalArchive {
  return { ...archive, segments: archive.segments.filter((name) => !segments.has(name)) };
}
