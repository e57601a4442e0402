import type { Backup } from '../../../src/domain/backup/backup.js';
import type { RetentionConfig } from '../../../src/domain/config.js';

/** A backup in a golden file: what is usual is left out. */
export interface BackupLine extends Partial<Omit<Backup, 'proven'>> {
  readonly label: string;
  /** UTC ISO-8601 instant of its end; it began five minutes before. */
  readonly at: string;
  readonly proven?: 'verified' | 'restored';
}

export interface RetentionCase {
  readonly about: string;
  readonly now: string;
  readonly aheadMs?: number;
  readonly retention: Partial<RetentionConfig>;
  readonly pinned?: readonly string[];
  readonly backups: readonly BackupLine[];
}

export function backupOf({ label, at, proven, ...more }: BackupLine): Backup {
  return {
    id: label,
    cluster: 'mairie',
    policy: 'nightly',
    engine: 'logical',
    repository: 'local',
    type: 'full',
    startedAt: new Date(Date.parse(at) - 300_000).toISOString(),
    finishedAt: at,
    sizeBytes: 1000,
    heldUntil: null,
    status: 'complete',
    label,
    ...more,
    proven: proven === undefined ? null : { level: proven, at },
  };
}

export function retentionOf(retention: Partial<RetentionConfig>): RetentionConfig {
  return { minProven: 1, maxDeletions: 10, ...retention };
}
