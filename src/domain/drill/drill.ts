import type { DrillOrder } from '../operation/orders.js';
import type { ReachedTarget } from '../operation/step-events.js';
import type { PredictedSeconds } from '../plan/plan.js';
import type { TableName } from '../table/table-name.js';
import type { RecoveryTarget } from '../target/target.js';

/** Where a drill restores to: a place of its own, wiped and made anew, that shares nothing with production. */
export interface StagingPlace {
  readonly host: string;
  readonly dataDir: string;
  readonly port: number;
}

/** One restore of a drill. */
export interface PlannedRestore {
  readonly policy: string;
  readonly engine: string;
  readonly method: 'data-directory' | 'databases';
  /** One for a physical engine; one for each database of a dump. */
  readonly backups: readonly {
    readonly id: string;
    readonly database: string | null;
    readonly label: string;
    readonly sizeBytes: number | null;
    readonly finishedAt: string;
    /** SHA-256 (hex) of what the restore has to find; see `BoundBackup.content`. */
    readonly content: string;
  }[];
  /** Of dumps: rows of these tables alone; absent: all. */
  readonly only?: readonly TableName[];
  readonly target: RecoveryTarget;
  /** How the target was chosen; `same-as`: the instant that another engine of this drill reached. */
  readonly chosen: 'asked' | 'latest' | 'random' | 'same-as';
  /** What PostgreSQL is told, and along which timeline: always a place that does not move; absent for dumps. */
  readonly recovery?: { readonly stopsAt: RecoveryTarget; readonly timeline: number | null };
  /** The last commit that has to come back, UTC ISO-8601; null or absent: not known. */
  readonly lastCommitAt?: string | null;
  /** Bytes that staging needs for it; null: not known. */
  readonly neededBytes?: number | null;
  /** What a random instant was chosen in, UTC ISO-8601. */
  readonly window?: { readonly from: string; readonly to: string };
  /** What is restored, and all WAL that is replayed, as plans of recoveries count them; absent: not known. */
  readonly sizeBytes?: number;
  readonly walBytes?: number;
  readonly predicted: PredictedSeconds | null;
}

/** Something that this drill does not show, and says so (V3). */
export interface NotTested {
  readonly kind: 'engine' | 'database' | 'tablespace' | 'media' | 'host' | 'policy' | 'check';
  readonly name: string;
  readonly reason: string;
}

/** A policy of the drill that could not be planned, as its backups or their WAL are not whole: the drill has failed with that. */
export interface UnrestorablePolicy {
  readonly policy: string;
  readonly engine: string;
  readonly code: string;
  readonly reason: string;
  readonly hint: string | null;
}

/** What a drill will do, made and kept on the staging host before anything is wiped. */
export interface DrillPlan {
  /** SHA-256 (hex) of all the rest, canonical JSON. */
  readonly digest: string;
  readonly cluster: string;
  readonly operationId: string;
  readonly workflowId: string;
  readonly requester: string;
  readonly order: DrillOrder;
  /** UTC ISO-8601. */
  readonly createdAt: string;
  readonly place: StagingPlace;
  readonly configDigest: string;
  /** Hex; random choices follow from it alone: the same seed and window give the same instant. */
  readonly seed: string;
  /** In the order in which they are carried out. The last one stays for the sign-off. */
  readonly restores: readonly PlannedRestore[];
  /** Absent: there is none. The others are restored all the same. */
  readonly unrestorable?: readonly UnrestorablePolicy[];
  /** Names of the checks that follow each restore. */
  readonly checks: readonly string[];
  readonly notTested: readonly NotTested[];
}

/** What one restore came to. */
export interface DrillRestored extends ReachedTarget {
  readonly policy: string;
  readonly engine: string;
  /** Of the restore and the replay, without the checks. */
  readonly rtoSeconds: number;
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
  readonly bytes: number | null;
}

/** What one check of a drill found. */
export interface DrillCheck {
  /** Which restore: its policy. */
  readonly policy: string;
  readonly name: string;
  readonly type: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** One sentence without row values. */
  readonly detail: string;
  /** What to do, where it failed. */
  readonly hint?: string;
  readonly seconds: number;
  /** Name of a file of the evidence folder with the whole; absent: the detail is all. */
  readonly evidence?: string;
}

/** Whose word is waited for, and for how long. */
export interface SignOffPolicy {
  readonly by: readonly string[];
  readonly withinSeconds: number;
}

/** A person's word on what was restored or repaired. */
export interface SignOff {
  readonly verdict: 'pass' | 'fail';
  readonly by: string;
  /** UTC ISO-8601. */
  readonly at: string;
  readonly remarks: string | null;
}

/** What a drill came to: a record of the catalogue, `drill show --json` and the evidence have it alike. */
export interface DrillOutcome {
  readonly drillId: string;
  readonly workflowId: string;
  readonly cluster: string;
  /** `fail`: a check, a restore or the person; `incomplete`: it ended before it could say. */
  readonly verdict: 'pass' | 'fail' | 'incomplete';
  /** Why not `pass`, in one sentence. */
  readonly reason: string | null;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly seed: string;
  readonly restores: readonly (DrillRestored & { readonly predicted: PredictedSeconds | null })[];
  readonly checks: readonly DrillCheck[];
  /** null: nobody was asked, or nobody answered in time. */
  readonly signOff: SignOff | null;
  /** Upper bound of what a loss at the drill's start would have cost; null: not known. */
  readonly rpoSeconds: number | null;
  readonly notTested: readonly NotTested[];
  readonly evidence: SealedEvidence | null;
}

/** The evidence as it lies in the catalogue's repository. */
export interface SealedEvidence {
  /** Key of its folder in the repository. */
  readonly path: string;
  /** Of its manifest, hex. */
  readonly sha256: string;
  readonly signed: boolean;
  /** Its number among the drills of its cluster; absent in records of before. */
  readonly sequence?: number;
  /** UTC ISO-8601: an object lock keeps it until then; absent where none is known. */
  readonly lockedUntil?: string;
}

/** An entry of the quality register: opened by a failed or overdue drill, closed by a later one that passes. */
export interface RegisterEntry {
  readonly id: string;
  readonly cluster: string;
  readonly what: 'drill-failed' | 'drill-overdue';
  /** One sentence. */
  readonly text: string;
  /** Contact of the RACI; null where nobody is named. */
  readonly owner: string | null;
  readonly openedAt: string;
  readonly dueAt: string;
  /** The drill that failed; null for one that did not take place. */
  readonly drillId: string | null;
  /** What a later drill has to restore to close it; absent: anything. */
  readonly policies?: readonly string[];
  /** The drill that closed it; null: it is open. */
  readonly closedBy: string | null;
  readonly closedAt: string | null;
}
