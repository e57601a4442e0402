import type { BoundContent } from '../backup/backup.js';
import type { PlannedMedia } from './planned-media.js';
import type { TimelineHistory } from './timeline-history.js';
import type { PlannedLayout } from './layout.js';
import type { DetachedReplication } from './topology.js';
import type { RecoveryTarget } from '../target/target.js';
import type { ObservedThaw, PlannedThaw } from './thaw.js';

/** Steps a policy may list under `recovery.steps`, in the order of the runbook. */
export type RecoveryStepName = 'stop-applications' | 'safety-backup' | 'restore' | 'run-checks' | 'start-applications';

/**
 * How the recovery is done. `restart`: the data directory is whole, nothing is replaced. `data-directory`: a physical
 * backup into a directory. `databases`: dumps restored beside the live databases and swapped by rename.
 */
export type RecoveryMethod = 'restart' | 'data-directory' | 'databases';

/**
 * As whom a dump is restored. `unprivileged`: by a login without rights, so that code of the dump's owners gets none.
 * `superuser`: by the role of the connection itself.
 */
export type RestoreAs = 'unprivileged' | 'superuser';

/** One backup the plan uses, and what it becomes. */
export interface PlannedBackup {
  readonly id: string;
  readonly label: string;
  readonly type: string;
  readonly finishedAt: string;
  /** SHA-256 of the file or of the manifest as recorded when it was taken. */
  readonly hash: string | null;
  /** Of everything that decides what is restored: the engine uses nothing else. Plans of an older version have none. */
  readonly content?: BoundContent;
  readonly database?: string;
}

/** What the restore of a database could not make; all its rows are there. */
export interface RestoreErrors {
  readonly database: string;
  /** The copy beside, which is meant and no other. */
  readonly copy: string;
  readonly errors: readonly string[];
}

/** What is replaced and where the old one goes: read by the person who approves. */
export interface Replacement {
  readonly what: string;
  /** Null: nowhere. It is overwritten where it is, and lost. */
  readonly keptAs: string | null;
  /** Copied there and then emptied; absent: renamed. */
  readonly copied?: true;
  /** Directories outside of it that are part of it: they are kept, and dropped, with it. */
  readonly parts?: readonly string[];
}

/** Whether approving the plan gives up what is there now for good. */
export function losesOldData({ replaces }: Pick<PlanBinding, 'replaces'>): boolean {
  return replaces.some(({ keptAs }) => keptAs === null);
}

/** What every plan says of itself, whatever it does: enough to approve it, and to know whose it is. */
export interface ApprovableBinding {
  readonly action: string;
  readonly operationId: string;
  readonly cluster: string;
  readonly targetHost: string;
  readonly configDigest: string;
  readonly requester: string;
}

export interface ApprovablePlan {
  /** SHA-256 (hex) of the canonical JSON of `binding`; people use the first 12 digits. */
  readonly digest: string;
  readonly binding: ApprovableBinding;
  /** UTC ISO-8601. */
  readonly createdAt: string;
  readonly approveBy: string;
}

export function isRecoveryPlan(plan: ApprovablePlan): plan is Plan {
  return plan.binding.action === 'recover';
}

/** A plan whose steps can be run; one that only accepts errors is no such plan. */
export function isExecutablePlan(plan: ApprovablePlan): plan is Plan {
  return isRecoveryPlan(plan) && plan.binding.accepts === undefined;
}

/** The part of a plan that is approved: everything that decides what will be done. Digested as canonical JSON. */
export interface PlanBinding {
  readonly action: 'recover';
  readonly operationId: string;
  readonly cluster: string;
  readonly policy: string;
  readonly engine: string;
  readonly method: RecoveryMethod;
  /**
   * One database of a physical backup: the whole is restored into a temporary instance at the target, and the database moved by a dump.
   * Absent: the backups are restored themselves.
   */
  readonly through?: 'temporary-instance';
  /** Of dumps: as whom they are restored. Plans of an older version have none, and mean `unprivileged`. */
  readonly restoreAs?: RestoreAs;
  readonly systemIdentifier: string | null;
  readonly backups: readonly PlannedBackup[];
  /** As it was asked for. */
  readonly target: RecoveryTarget;
  /** Where the replay stops for it, in PostgreSQL's terms; absent: at the target as it is. */
  readonly stopsAt?: RecoveryTarget;
  readonly timeline: number | null;
  /** Stop at the target and wait for a person before the server accepts writes. */
  readonly pause: boolean;
  readonly sourceHost: string;
  readonly targetHost: string;
  /** `in-place` or the name of an entry under `recovery.targets`. */
  readonly into: string;
  readonly dataDir: string | null;
  readonly port: number;
  readonly replaces: readonly Replacement[];
  /** System identifier of a new, empty cluster that is put aside: not the one that was lost, and no WAL is saved from it. */
  readonly freshCluster?: string;
  /** Symbolic links, a WAL disk, tablespaces; absent for a data directory that is one plain directory. */
  readonly layout?: PlannedLayout;
  /** What is logical in the databases that are replaced, and stays with the old ones; absent: nothing. */
  readonly detaches?: DetachedReplication;
  /** Configuration files outside the data directory that are gone, and are put back as the backup has them. */
  readonly putsBack?: readonly string[];
  /** Directory whose unarchived WAL is saved, where an earlier recovery, given up, has put it aside. */
  readonly salvageFrom?: string;
  /** Its files have to be thawed first; absent where they can be read. */
  readonly thaw?: PlannedThaw;
  /** Media recovered to the same instant; absent where nobody asked. */
  readonly media?: PlannedMedia;
  /**
   * What a restore has left behind and a person accepts with this very plan; absent: nothing. `plan`: the digest of the one that was
   * being executed, of which this one is a copy in all else.
   */
  readonly accepts?: { readonly plan: string; readonly databases: readonly RestoreErrors[] };
  readonly steps: readonly string[];
  readonly hooks: readonly string[];
  /** By hook: the one that takes it back on every way out; absent where the configuration names none. */
  readonly undoHooks?: Readonly<Record<string, string>>;
  readonly configDigest: string;
  /** SHA-256 of the engine's own configuration file, where it has one: it decides where backups are read from. */
  readonly engineConfigDigest?: string;
  readonly requester: string;
}

/** A disk that a recovery writes to, beside that of the data directory. */
export interface PlannedDisk {
  readonly path: string;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

/** Another plan of the same operation came before, and would have recovered in another way: its approvals do not count. */
export interface ChangedMethod {
  /** Digest of the plan before. */
  readonly plan: string;
  readonly method: RecoveryMethod;
  readonly why: string;
}

/** Told in place of a plan: why there is nothing to recover. */
export interface NothingToDo {
  readonly nothingToDo: string;
}

/** From the rates measured on this host with this engine; null where nothing was measured yet. */
export interface PredictedSeconds {
  readonly p50: number;
  readonly p90: number;
  /** Number of measured restores it rests on. */
  readonly samples: number;
}

/** What was seen when the plan was made: shown, rechecked by thresholds, never part of the digest. */
export interface PlanObservations {
  readonly sizeBytes: number;
  readonly neededBytes: number;
  /** Null where the disk is not this host's, or not known. */
  readonly freeBytes: number | null;
  /** The same of further disks: of WAL and tablespaces. */
  readonly disks?: readonly PlannedDisk[];
  /** The instants between which a target can be reached. */
  readonly reachableFrom: string | null;
  readonly reachableTo: string | null;
  /** Last WAL position known to exist anywhere (archive, or the old pg_wal). */
  readonly walEnd: string | null;
  readonly salvageableSegments: number;
  readonly thaw?: ObservedThaw;
  /** The instant whose data comes back; absent where it is not known before the recovery. */
  readonly stateAt?: string;
  /** The last commit that comes back; absent where it is not known. */
  readonly lastCommitAt?: string;
  /** Which history the recovery follows; absent where there is no WAL. */
  readonly history?: TimelineHistory;
  /** The middle of `predictedRto`; null where nothing was measured on this host with this engine. */
  readonly predictedRtoSeconds: number | null;
  /** From what was measured on this host with this engine; absent where nothing was. */
  readonly predictedRto?: PredictedSeconds;
  /** All WAL between the backup and the target; absent where it is not known. */
  readonly replayBytes?: number;
  readonly predictedRpoSeconds: number | null;
  /** Who may approve this very plan, and how many of them have to. */
  readonly approval?: { readonly approvers: number; readonly from: readonly string[] };
  readonly changedMethod?: ChangedMethod;
  /** Whether the cluster's own server was there when the plan was made; absent where that could not be seen. */
  readonly serverIsThere?: boolean;
  readonly warnings: readonly string[];
}

export interface Plan {
  /** SHA-256 (hex) of the canonical JSON of `binding`; people use the first 12 digits. */
  readonly digest: string;
  readonly binding: PlanBinding;
  readonly observed: PlanObservations;
  /** UTC ISO-8601. */
  readonly createdAt: string;
  readonly approveBy: string;
}

/** What a person sends: one JSON object, the same for the signal and the update. */
export interface Approval {
  readonly plan: string;
  readonly by: string;
  readonly reason: string;
  readonly signature?: string;
}
/** Who sent a decision, as Temporal recorded it beside what the person wrote. */
export interface Sender {
  /** What the client calls itself: `PID@HOST` as a rule. Anybody may choose it. */
  readonly identity: string;
  /** Whom the Temporal server's authorizer knows the caller as (`TYPE:NAME`); null where it has none. */
  readonly principal: string | null;
}
/** By which message a decision came, as its event in the history names it. */
export type SentBy = { readonly update: string } | { readonly signal: string };

export interface Rejection {
  readonly by: string;
  readonly reason: string;
}

/** What a person decides after a look at the recovered data: open it for writes, or go on to another target. */
export type Decision = Rejection &
  ({ readonly kind: 'promote' } | { readonly kind: 'retarget'; readonly target: RecoveryTarget });
