import type { z } from 'zod';
import type { Backup, BackupType, ListedBackup, TableCount } from '../domain/backup/backup.js';
import type { ClusterConfig, HostConfig, PolicyConfig } from '../domain/config.js';
import type { RecoveryMethod } from '../domain/plan/plan.js';
import type { RecoveryOutline } from '../domain/plan/recovery-observations.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type { EngineContext, ReadContext, Uploader } from './context.js';
import type { EnginePlace, EngineTool } from './shared/engine-place.js';
import type { ToolStore } from './shared/tool-store.js';

/** How engines differ. Callers ask for a capability, never for an engine's name; an absent one is refused (`capability-missing`). */
export interface EngineCapabilities {
  /** What a recovery with this engine works on. */
  readonly method: Exclude<RecoveryMethod, 'restart'>;
  /** Kinds of target it can reach. */
  readonly targets: readonly RecoveryTarget['kind'][];
  readonly types: readonly BackupType[];
  /** WAL is archived by this engine; the cluster has one archiver at the most. */
  readonly archivesWal: boolean;
  readonly incremental: boolean;
  readonly singleTable: boolean;
  /** A restore cut off goes on where it was. */
  readonly resumable: boolean;
  /** It can restore over the data of the same cluster, taking from there what is as in the backup; absent: it cannot. */
  readonly overwrites?: boolean;
  /** Its files are encrypted as the policy's `encryption` says. */
  readonly encrypts: boolean;
  /** Backups have to go in one `remove`, since its tool deletes only all before a given one; absent: one at a time. */
  readonly removesTogether?: true;
}

export type { EngineContext, ReadContext, Uploader };

export interface BackupRequest {
  readonly type: BackupType | 'auto';
  /** UTC ISO-8601 instant of the operation's start: names files, the same in every attempt. */
  readonly startedAt: string;
}

/** A backup made by {@link Engine.backup}: complete and published; nothing partial is ever returned. */
export type MadeBackup = Omit<Backup, 'proven' | 'heldUntil' | 'status'>;

export type { EnginePlace, EngineTool, ListedBackup, RecoveryOutline };

export interface VerifyVerdict {
  readonly ok: boolean;
  /** Why not, in one sentence; or what was checked. */
  readonly detail: string;
  readonly contents?: readonly TableCount[];
}

/** What would be deleted with these backups, found by a dry run of the tool. */
export interface RemovalPlan {
  readonly labels: readonly string[];
  /** Everything else that goes with them, in words (files, WAL ranges). */
  readonly alsoRemoves: readonly string[];
}

/** What pins and holds forbid to remove, at one moment. */
export interface StillNeeded {
  readonly labels: ReadonlySet<string>;
  /** First WAL segment that a recovery under way needs; null where none does. */
  readonly walFrom: string | null;
}
/** Asks again: a backup may be held, or a recovery begin, while a removal is under way. */
export type FindNeeded = () => Promise<StillNeeded>;

export interface OutlineRequest {
  readonly target: RecoveryTarget;
  /** Complete, not quarantined backups of the policy, newest first, as catalogue and engine agree on them. */
  readonly candidates: readonly Backup[];
  /** Old data directory whose `pg_wal` may still be read; null where it is gone or not replaced. */
  readonly oldDataDir: string | null;
  readonly databases: readonly string[];
}

/** Restores a physical backup's files; the caller starts nothing before this has returned. */
export interface RestoreFilesRequest {
  readonly backup: Backup;
  readonly dataDir: string;
  /** Tablespaces are always remapped below this directory. */
  readonly tablespaceDir: string;
  /** The plan says that what is in `dataDir` is overwritten: the engine takes a directory that is not empty. */
  readonly overOld?: boolean;
}

/** Restores one dump into a new database beside the live one. */
export interface RestoreDatabaseRequest {
  readonly backup: Backup;
  /** The new database's name; the live one is not touched. */
  readonly intoDatabase: string;
  readonly connection: ClusterConfig['connection'];
}

export interface RestoredDatabase {
  readonly contents: readonly TableCount[];
  /** Harmless messages that were accepted, each with the rule that accepts it. */
  readonly accepted: readonly string[];
}

/** A file that can become a backup, by what its header says. */
export interface AdoptionCandidate {
  /** Name of the file in its folder. */
  readonly name: string;
  readonly database: string;
  /** UTC ISO-8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly sizeBytes: number;
}
export interface AdoptionSurvey {
  readonly candidates: readonly AdoptionCandidate[];
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

/** Taking over what was made before Reprise. */
export interface Adoption {
  /**
   * The record of a backup that the engine lists and no record names.
   * @throws RepriseError `identity-mismatch` where it is another cluster's (F17)
   */
  describe(context: EngineContext, label: string): Promise<MadeBackup>;
  /** Files of a folder, by their headers: which can become backups of this policy. Reads only. */
  survey?(context: ReadContext, directory: string): Promise<AdoptionSurvey>;
  /**
   * Copies a file into the policy's folder, reads it whole and publishes it; the original is left as it is. Null where a
   * backup with this very content is there already.
   * @throws RepriseError `backup-corrupt`, `identity-mismatch`, `privilege-missing` that speak of this file alone
   */
  take?(context: EngineContext, directory: string, candidate: AdoptionCandidate): Promise<MadeBackup | null>;
}

/** The contract of an engine. All methods are idempotent for one operation id: a later attempt finds what was done. */
export interface Engine {
  readonly kind: string;
  readonly capabilities: EngineCapabilities;
  /** Refuses, before anything is changed, what cannot lead to a good backup (versions, grants, archiving). */
  preflightBackup(context: EngineContext): Promise<readonly string[]>;
  backup(context: EngineContext, request: BackupRequest): Promise<readonly MadeBackup[]>;
  list(context: ReadContext): Promise<readonly ListedBackup[]>;
  /** Reads the whole backup and compares it with what was recorded. */
  verify(context: EngineContext, backup: Backup): Promise<VerifyVerdict>;
  planRemoval(context: EngineContext, labels: readonly string[], needed?: FindNeeded): Promise<RemovalPlan>;
  /**
   * Removes exactly these, dependants first; what is already gone is no error. An engine that takes its time before it
   * removes, or that may remove WAL after a backup that stays, asks what is needed right before.
   */
  remove(context: EngineContext, labels: readonly string[], needed?: FindNeeded): Promise<void>;
  /** SHA-256 (hex) of the engine's own configuration file, which is approved together with a plan; absent where it has none. */
  configDigest?(policy: PolicyConfig): Promise<string>;
  /** Keys in the repository of all files of a backup, so that cold ones can be thawed; absent where its own tool keeps them. */
  storedFiles?(context: ReadContext, label: string): Promise<readonly string[]>;
  /** The same of its own files alone, also where nobody can read it any more. */
  ownFiles?(context: ReadContext, label: string): Promise<readonly string[]>;
  /**
   * Removes what operations that are over have left in a host's scratch directory, untouched for so long; never what it
   * does not know for its own. `inUse`: ids of operations that may go on. Returns what was removed.
   */
  removeLeftovers?(
    host: Pick<HostConfig, 'scratchDir'>,
    inUse: ReadonlySet<string>,
    olderThanMs: number,
  ): Promise<readonly string[]>;
  outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline>;
  /** Engines whose tool may keep their files in an object store of its own settings. */
  readonly toolStore?: ToolStore<ReadContext>;
  /** Engines whose tool can keep a backup from being deleted by others too. */
  readonly holds?: Holds;
  /** Engines that can take over what others made. */
  readonly adoption?: Adoption;
  /** Engines that can fetch WAL by themselves. */
  readonly receiver?: WalReceiver;
  /** Physical engines. */
  readonly physical?: PhysicalRestore;
  /** Logical engines. */
  readonly logical?: LogicalRestore;
}

/** A hold carried on to the engine's tool. Both are idempotent; what is gone is no error. */
export interface Holds {
  hold(context: EngineContext, label: string): Promise<void>;
  /** @param held labels that stay held */
  release(context: EngineContext, label: string, held: readonly string[]): Promise<void>;
}

/** WAL that is fetched from the server by a program which always runs, instead of an `archive_command`. */
export interface WalReceiver {
  /** Whether a policy with these options (as in the config or as in `PolicyConfig`) has its WAL fetched so. */
  wanted(options: Readonly<Record<string, unknown>>): boolean;
  /** Replication slot of such a policy. */
  slot(place: Pick<ReadContext, 'cluster' | 'policy'>): string;
  /**
   * Receives until the context's signal; the program itself goes on where the signal leaves jobs alone.
   * `waits`: it is known that what is received cannot be stored; returns as soon as it is.
   * @throws RepriseError `wal-not-archived` where it cannot be stored, unless that is known; the program goes on
   */
  receive(context: EngineContext, known?: { readonly waits: boolean }): Promise<void>;
}

export interface PhysicalRestore {
  restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void>;
  /** `restore_command` for the recovered server, with PostgreSQL's `%f` and `%p`. */
  restoreCommand(context: ReadContext): string;
  /** The same for the beginning of a segment that is nowhere whole, tried last; absent where none is kept. */
  restoreBeginningCommand?(context: ReadContext): string;
  /**
   * Lists what there is beside the files of a server that is about to recover and whose `restore_command` waits for it.
   * Null, or absent, where that command fetches by itself. See `withWal`.
   */
  prefetchWal?(context: ReadContext, dataDir: string): Promise<WalPrefetch | null>;
  /** `archive_command` that re-arms archiving after the recovery, same stanza, new timeline; null where the policy needs none. */
  archiveCommand(context: ReadContext): string | null;
  /** Makes the repository ready for the recovered cluster (a new stanza only when its identity changed). */
  rearm(context: EngineContext): Promise<void>;
}

/** WAL that is brought to a recovering server as it asks for it. */
export interface WalPrefetch {
  /**
   * Brings it, ahead of the server, until all is there or the signal comes.
   * @throws RepriseError `wal-gap` for a damaged segment that the server needs
   */
  bring(signal: AbortSignal): Promise<void>;
  /** From now on the server finds what is there, and waits for nothing more. */
  close(): Promise<void>;
}

export interface LogicalRestore {
  restoreDatabase(context: EngineContext, request: RestoreDatabaseRequest): Promise<RestoredDatabase>;
  /** Roles and tablespaces that the dump needs and the server lacks, from the companion of the backup. */
  restoreGlobals(
    context: EngineContext,
    backup: Backup,
    connection: ClusterConfig['connection'],
  ): Promise<readonly string[]>;
}

/** A kind of engine with the schema of its `options`; one line in the registry. */
export interface EngineKind<S extends z.ZodObject = z.ZodObject> {
  readonly engine: Engine;
  /** Strict schema of `options` as written in reprise.yml: snake_case, durations as text. */
  readonly options: S;
  /** Makes `PolicyConfig.options` of what the schema accepted: camelCase, durations in seconds. */
  readonly read: (options: z.output<S>) => Readonly<Record<string, unknown>>;
  /**
   * Where the engine keeps its files outside the repository's own tree, in words: two policies never share one;
   * `options` as in `PolicyConfig`.
   */
  readonly place?: (options: Readonly<Record<string, unknown>>) => string;
  /** Looks where that is, for engines whose files do not go to the repository's own tree; `options` as in `PolicyConfig`. */
  readonly inspectPlace?: (options: Readonly<Record<string, unknown>>) => Promise<EnginePlace>;
  /** Programs it starts. */
  readonly tools?: readonly EngineTool[];
}
