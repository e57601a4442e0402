/** What an engine does with backups: makes, lists, verifies, adopts, holds and removes them. */
import type { Backup, BackupType, ListedBackup, TableCount } from '../domain/backup/backup.js';
import type { HostConfig, PolicyConfig, DescribedStorage } from '../domain/config.js';
import type { RepriseError } from '../domain/errors.js';
import type { ReadableStorage } from '../storage/storage.js';
import type { EngineContext, ReadContext } from './context.js';

export interface BackupEngine {
  /** Refuses, before anything is changed, what cannot lead to a good backup (versions, grants, archiving). */
  preflightBackup(context: EngineContext): Promise<readonly string[]>;
  backup(context: EngineContext, request: BackupRequest): Promise<readonly BackupResult[]>;
  /**
   * Takes away what `backup` has begun in an operation that was cancelled: nothing of it runs any more, and no attempt goes on with
   * it. What is whole stays, and becomes the backup it is. `backup` itself does so where it is cancelled. Absent where what a
   * tool leaves is known to that tool alone. `startedAt`: as in {@link BackupRequest}; null where no attempt had named it.
   */
  abandonBackup?(context: EngineContext, startedAt: string | null): Promise<void>;
  list(context: ReadContext): Promise<readonly ListedBackup[]>;
  /** Reads the whole backup and compares it with what was recorded. */
  verify(context: EngineContext, backup: Backup): Promise<VerifyVerdict>;
  planRemoval(context: EngineContext, labels: readonly string[], needed?: FindNeeded): Promise<RemovalPlan>;
  /**
   * What `planRemoval` would keep of these, without its dry runs: for people who ask. Absent where the tool removes any backup by itself.
   * @throws RepriseError `rotation-refused` where `planRemoval` would
   */
  keptBehind?(context: ReadContext, labels: readonly string[], needed: FindNeeded): Promise<Kept | null>;
  /**
   * Removes exactly these, dependants first; what is already gone is no error. An engine that takes its time before it
   * removes, or that may remove WAL after a backup that stays, asks what is needed right before.
   */
  remove(context: EngineContext, labels: readonly string[], needed?: FindNeeded): Promise<void>;
  /** SHA-256 (hex) of the engine's own configuration file, which is approved together with a plan; absent where it has none. */
  configDigest?(policy: PolicyConfig): Promise<string>;
  /**
   * Where its own tool keeps the files, outside of the policy's repository: a directory of this host, or a bucket; null where
   * this host cannot look there. Absent where the tool has no place of its own.
   */
  keptAt?(context: Pick<ReadContext, 'cluster' | 'policy' | 'user' | 'signal'>): Promise<DescribedStorage | null>;
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
  /** Engines whose tool may keep their files in an object store of its own settings. */
  readonly toolStore?: ToolStore;
  /** Engines whose tool can keep a backup from being deleted by others too. */
  readonly holds?: Holds;
  /** Engines that can take over what others made. */
  readonly adoption?: Adoption;
}

export interface BackupRequest {
  readonly type: BackupType | 'auto';
  /** UTC ISO-8601 instant of the operation's start: names files, the same in every attempt. */
  readonly startedAt: string;
  /**
   * Told of each database that could not be backed up while others were. Without it, and where none could be, the first failure
   * is thrown when all were tried.
   */
  readonly leaveOut?: (database: string, failure: RepriseError) => void;
}

/** A backup made by {@link BackupEngine.backup}: complete and published; nothing partial is ever returned. */
export type MadeBackup = Omit<Backup, 'proven' | 'heldUntil' | 'status' | 'otherCluster'>;

/** Of {@link BackupEngine.backup}: with `refused`, it lies in the repository and does not count: it is recorded, quarantined, and the operation fails with this. */
export type BackupResult = MadeBackup & { readonly refused?: RepriseError };

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
  /** Of those that were asked for, what the tool cannot remove as long as another one is needed, and why; absent: nothing. */
  readonly keeps?: Kept;
}

/** Backups that stay, and why. */
export interface Kept {
  readonly labels: readonly string[];
  readonly because: string;
}

/** What pins and holds forbid to remove, at one moment. */
export interface StillNeeded {
  readonly labels: ReadonlySet<string>;
  /** First WAL segment that a recovery under way needs; null where none does. */
  readonly walFrom: string | null;
}
/** Asks again: a backup may be held, or a recovery begin, while a removal is under way. */
export type FindNeeded = () => Promise<StillNeeded>;

/** An object store in which an engine's own tool keeps its files, and where they may be in a class that must be thawed. */
export interface ToolStore {
  /** Where it is; null where nothing can be cold. */
  describe(context: ReadContext): Promise<DescribedStorage | null>;
  /** Keys in it of what a recovery from this backup may read and that are in a cold class; some more do no harm. */
  coldFiles(
    context: ReadContext,
    storage: ReadableStorage,
    backup: { readonly label: string; readonly walStart: string | null },
  ): Promise<readonly string[]>;
}

/** A hold carried on to the engine's tool. Both are idempotent; what is gone is no error. */
export interface Holds {
  hold(context: EngineContext, label: string): Promise<void>;
  /** @param held labels that stay held */
  release(context: EngineContext, label: string, held: readonly string[]): Promise<void>;
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
  /** Why it is only a part of its database; absent: nothing is known to be missing. */
  readonly partial?: string;
}
export interface AdoptionSurvey {
  readonly candidates: readonly AdoptionCandidate[];
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

/** Taking over what was made before Reprise. */
export interface Adoption {
  /**
   * The record of a backup that the engine lists and no record names.
   * @throws RepriseError `identity-mismatch` where it is another cluster's
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
