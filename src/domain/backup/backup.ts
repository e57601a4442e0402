import type { RecordedObjects } from './recorded-objects.js';

/** What a listing says of one backup; the JSON other people's scripts rely on (`docs/reference/cli.md`). */
export interface Backup {
  /** Unique over engines, e.g. `mairie:logical:mairie_full_20261121_021500`. */
  readonly id: string;
  readonly cluster: string;
  readonly policy: string;
  readonly engine: string;
  readonly repository: string;
  readonly type: BackupType;
  /** UTC ISO-8601. */
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly sizeBytes: number;
  readonly proven: Proof | null;
  /** UTC ISO-8601, or `infinity` for a hold without an end. */
  readonly heldUntil: string | null;
  readonly status: BackupStatus;
  /**
   * Made before Reprise, or by another program, and taken over; absent: our own. `checked`: its origin was compared with the
   * cluster, by the system identifier; of a dump nobody can tell where it came from. `whole`: whether such a dump has all that its
   * database had, as far as the live one and a backup of our own tell; `unknown`: why nobody can tell. Absent: it was not compared.
   */
  readonly adopted?: { readonly checked: boolean; readonly whole?: boolean; readonly unknown?: string };
  /**
   * Why it holds only a part of its database, such as definitions without rows: it is no backup to recover from, is never
   * verified and counts for nothing. Absent: nothing is known to be missing.
   */
  readonly partial?: string;
  /**
   * It was taken although pages of the cluster are damaged on disk, as `page_errors: accept` of the policy says: files and pages,
   * or that they were not checked. Absent: none is known.
   */
  readonly pageErrors?: readonly string[];
  /** In lists: the cluster it is of, where the policy's newest backup is of another one (after pg_upgrade). */
  readonly otherCluster?: OtherCluster;
  /** The engine's own name for it: a file's base name, a pgBackRest label. */
  readonly label: string;
  /** The one database it holds, for engines that back up a database at a time. */
  readonly database?: string;
  /** SHA-256 (hex) of the whole file, where a backup is one file; of the engine's manifest otherwise. */
  readonly sha256?: string;
  /** SHA-256 (hex) of the manifest beside that file, which says what is restored with it; absent for other engines. */
  readonly manifestSha256?: string;
  /** Labels of the backups without which this one cannot be restored, nearest first. */
  readonly dependsOn?: readonly string[];
  readonly wal?: { readonly start: string; readonly stop: string };
  readonly server?: ServerFacts;
  readonly contents?: readonly TableCount[];
  /** What was there besides rows; absent: it was not recorded, as in backups of older versions. */
  readonly objects?: RecordedObjects;
  /** For whom its files are encrypted; absent where they are not, or the engine does it by itself. */
  readonly encryption?: Encryption;
  /** Configuration outside the data directory, captured with a physical backup; absent where there was none. */
  readonly configuration?: BackupConfiguration;
}

/**
 * SHA-256 (hex) of everything in a repository that decides what a restore of one backup does, each under a name of the
 * engine's own. It is part of the plan: what has another hash, or none, is not restored.
 */
export type BoundContent = Readonly<Record<string, string>>;

/** The cluster that a backup is of, where that is not the one whose backups the policy takes now. */
export interface OtherCluster {
  readonly systemIdentifier: string;
  /** Major version of its PostgreSQL. */
  readonly major: number;
}

export interface BackupConfiguration {
  /** Where it is in the repository; null where nothing could be captured. Encrypted where it ends in `.age`. */
  readonly key: string | null;
  /** SHA-256 (hex) of what is there: another content is not put back; records of an older version have none. */
  readonly sha256?: string;
  /** Paths of the files, as they were on the host. */
  readonly files: readonly string[];
  /** How many secrets were hidden, because the policy does not encrypt. */
  readonly masked: number;
  /** Where certificates and keys are: their paths only. */
  readonly certificates: readonly string[];
  readonly notCaptured: readonly { readonly path: string; readonly reason: string }[];
}

/** With what files are encrypted, and whose private keys open them. */
export interface Encryption {
  readonly tool: 'age';
  readonly recipients: readonly string[];
}

export const backupTypes = ['full', 'diff', 'incr'] as const;
export type BackupType = (typeof backupTypes)[number];
export type BackupStatus = 'running' | 'complete' | 'failed' | 'quarantined' | 'missing' | 'cold' | 'partial';
export interface Proof {
  /**
   * `adopted`: read whole and checked, but of unknown origin, and not restore-tested here or perhaps only a part of its
   * database: it counts for no promise.
   */
  readonly level: 'adopted' | 'verified' | 'restored';
  readonly at: string;
}
export interface ServerFacts {
  /** `server_version_num`, e.g. 150018. */
  readonly versionNum: number;
  readonly systemIdentifier: string;
  readonly encoding?: string;
  readonly dataChecksums?: boolean;
}
/** A part of a backup run that failed while others did not: one of several databases, or the verification of one backup. */
export interface FailedPart {
  readonly database: string | null;
  /** The backup whose verification failed; null: there is none. */
  readonly backupId: string | null;
  readonly code: string;
  readonly reason: string;
}
/** Rows of one table as counted in the backup's own snapshot (or, for physical engines, close to its end). */
export interface TableCount {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  readonly rows: number;
  /** On disk with TOAST and indexes, at the time of the count; absent: it was not recorded, as in backups of older versions. */
  readonly bytes?: number;
  /** PostgreSQL writes no WAL for it: a physical backup holds the table without its rows. */
  readonly unlogged?: boolean;
  /** Of its rows, as `TableContent.hash`, in the very snapshot of the backup; absent where the policy records none. */
  readonly hash?: string;
}

/** What is on the storage, whoever made it: the engine's own list decides what exists. */
export interface ListedBackup {
  readonly label: string;
  readonly type: BackupType;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly sizeBytes: number;
  readonly database?: string;
  readonly sha256?: string;
  readonly manifestSha256?: string;
  readonly dependsOn?: readonly string[];
  readonly wal?: { readonly start: string; readonly stop: string };
  /** As {@link Backup.partial}. */
  readonly partial?: string;
  /** Its files have to be thawed before they can be read. */
  readonly cold?: true;
  /** The engine itself reports an error in it. */
  readonly damaged?: string;
}

/** The one way ids are made, so that an id names its cluster, engine and label without a look-up. */
export function backupId(cluster: string, engine: string, label: string): string {
  return `${cluster}:${engine}:${label}`;
}

/** Cluster that a backup id belongs to. A cluster's name holds no colon (the config's schema sees to it). */
export function clusterOfBackup(id: string): string {
  return id.slice(0, id.indexOf(':'));
}

/** Whether a backup counts as verified or restore-tested; an adopted one of unknown origin does not. */
export function isCounted({ proven }: Pick<Backup, 'proven'>): boolean {
  return proven !== null && proven.level !== 'adopted';
}

/** Whether it may be used without being named: not where it was adopted from unknown origin and not restore-tested here. */
export function isTrusted({ adopted, proven }: Pick<Backup, 'adopted' | 'proven'>): boolean {
  return adopted?.checked !== false || proven?.level === 'restored';
}

/** Row counts of every table, and all that was there besides, stay in the records: a history has no use for them. */
export function withoutContents(backup: Backup): Backup {
  const { contents: _contents, objects: _objects, ...rest } = backup;
  return rest;
}
