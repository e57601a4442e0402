/** What an engine does in a recovery: looks whether a target can be reached, and restores files or databases. */
import type { Backup, BoundContent, TableCount } from '../domain/backup/backup.js';
import type { ClusterConfig } from '../domain/config.js';
import type { RestoreAs } from '../domain/plan/plan.js';
import type { RecoveryOutline } from '../domain/plan/recovery-observations.js';
import type { TableName } from '../domain/table/table-name.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type { TimelineChoice } from '../domain/target/timeline-choice.js';
import type { EngineContext, ReadContext } from './context.js';
import type { RecoveryWal } from './wal-contract.js';

export interface RestoreEngine {
  /** Whether and how a target can be reached. Changes nothing. */
  outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline>;
  /**
   * Hashes, as they are now, of everything that decides what a restore of this backup does, the backups that it rests on
   * included. Reads only.
   * @param known backups of the policy with what was recorded of them
   * @throws RepriseError `backup-corrupt` (with `damagedBackup`) where something is not as it was recorded
   */
  bindBackup(context: ReadContext, backup: Backup, known: readonly Backup[]): Promise<BoundContent>;
  /** Physical engines. */
  readonly physical?: PhysicalRestore;
  /** Logical engines. */
  readonly logical?: LogicalRestore;
}

/** Restores files, and says how the server gets the WAL it replays then. */
export interface PhysicalRestore extends RecoveryWal {
  restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void>;
}

export interface LogicalRestore {
  restoreDatabase(context: EngineContext, request: RestoreDatabaseRequest): Promise<RestoredDatabase>;
  /** Bytes that the dumped database took, as its backup recorded; of these tables alone, where they are named. */
  databaseBytes(context: ReadContext, backup: Backup, only?: readonly TableName[]): Promise<number>;
  /** Roles and tablespaces that the dump needs and the server lacks, from the companion of the backup. */
  restoreGlobals(context: EngineContext, request: RestoreGlobalsRequest): Promise<readonly string[]>;
}

export interface OutlineRequest {
  readonly target: RecoveryTarget;
  /** Which history is followed; absent: the newest, where the target is on no other one too. */
  readonly timeline?: TimelineChoice | undefined;
  /** Complete, not quarantined backups of the policy, newest first, as catalogue and engine agree on them. */
  readonly candidates: readonly Backup[];
  /** Old data directory whose `pg_wal` may still be read; null where it is gone or not replaced. */
  readonly oldDataDir: string | null;
  readonly databases: readonly string[];
}

/** A backup, and what is bound of it: the engine uses no other bytes. */
export interface BoundBackup {
  readonly backup: Backup;
  readonly content: BoundContent;
}

/** Restores a physical backup's files; the caller starts nothing before this has returned. */
export interface RestoreFilesRequest extends BoundBackup {
  readonly dataDir: string;
  /** Tablespaces are always remapped below this directory, */
  readonly tablespaceDir: string;
  /**
   * but for these, by their numbers: below a directory of the restore's own, on the disk that each belongs on; with `overOld`
   * over the files of the old one.
   */
  readonly tablespaces?: Readonly<Record<string, string>>;
  /** The plan says that what is in `dataDir` is overwritten: the engine takes a directory that is not empty. */
  readonly overOld?: boolean;
}

/** Restores one dump into a new database beside the live one. */
export interface RestoreDatabaseRequest extends BoundBackup {
  /** The new database's name; the live one is not touched. */
  readonly intoDatabase: string;
  readonly connection: ClusterConfig['connection'];
  /** Only the rows of these tables and of their partitions; absent: all. Every definition comes, but for foreign keys of these tables. */
  readonly only?: readonly TableName[] | undefined;
  /** Absent: as a login without rights. */
  readonly restoreAs?: RestoreAs | undefined;
  /**
   * Errors of single statements do not fail the restore: they are returned, and the caller asks a person. Missing rows always do;
   * then the database is kept, and another attempt makes it anew.
   */
  readonly returnsErrors?: true;
}

export interface RestoreGlobalsRequest extends BoundBackup {
  readonly connection: ClusterConfig['connection'];
}

export interface RestoredDatabase {
  readonly contents: readonly TableCount[];
  /** Harmless messages that were accepted, each with the rule that accepts it. */
  readonly accepted: readonly string[];
  /** What could not be restored, with its reason, and holds no rows: always empty unless the request takes them. */
  readonly errors: readonly string[];
}
