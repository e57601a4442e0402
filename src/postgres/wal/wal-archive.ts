import type { TimelineSwitch } from '../../domain/target/wal.js';
import type { Progress } from '../../domain/operation/progress.js';
import type { OsUser } from '../../process/jobs/jobs.js';

/** WAL of one cluster as an engine keeps it, for whoever asks how far a recovery can go. Read once, then the same. */
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
   * Copies one segment into a directory under its own name, compared with its recorded checksum (F15).
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

/** With what the log is read, part of every engine context. */
export interface WalReader {
  /** Programs of the cluster's own major version: pg_waldump reads no other's log. */
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
}
