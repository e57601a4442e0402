import type { DrillOutcome, RegisterEntry } from '../drill/drill.js';
import type { Backup } from './backup.js';
import type { DailyCheck } from './daily-check.js';
import type { Approval, Plan, Sender } from '../plan/plan.js';
import type { KeptItem, RecoveryOutcome } from './records.js';

/** What the records of a cluster come to when they are read from the first to the last. */
export interface CatalogueState {
  /** Every backup recorded and not removed, oldest first. What the engines' own lists say is not in it: see `reconcile`. */
  readonly backups: readonly Backup[];
  /** What running work needs and rotation must leave, by operation id. */
  readonly pins: ReadonlyMap<string, Pin>;
  /** Holds in force by backup id, until when; also those of a backup whose own record cannot be read. */
  readonly holds: ReadonlyMap<string, string>;
  /** Ids of quarantined backups that no record tells of otherwise. */
  readonly quarantined: ReadonlySet<string>;
  /** Old data put aside and not yet dropped, oldest first. */
  readonly kept: readonly KeptItem[];
  /** By digest. */
  readonly plans: ReadonlyMap<string, RecordedPlan>;
  readonly approvals: readonly RecordedApproval[];
  readonly refusals: readonly Refusal[];
  /** By recipient; the last one of each. */
  readonly keyProofs: ReadonlyMap<string, KeyProof>;
  /** Ids of the repositories that backups went to, by the name under which hosts know them. */
  readonly repositories: ReadonlyMap<string, string>;
  /** By incident id. */
  readonly incidents: ReadonlyMap<string, RecordedIncident>;
  /** By operation id; the last one where an operation recorded several. */
  readonly outcomes: ReadonlyMap<string, RecordedOutcome>;
  /** Drills that have ended, in the order recorded. */
  readonly drills: readonly DrillOutcome[];
  /** The quality register, in the order opened. */
  readonly register: readonly RegisterEntry[];
  /** The last daily check that had something to tell. */
  readonly dailyCheck?: RecordedDailyCheck;
  /** When the first record was made, UTC ISO-8601; absent: there is none. */
  readonly firstRecordAt?: string;
  /** Backups that failed or were skipped, oldest first. */
  readonly unmade: readonly UnmadeBackup[];
  /** Lines of one operation, in the order written. */
  journalOf(operationId: string): readonly JournalLine[];
  /** Ids of everything some operation has pinned. */
  pinnedBackups(): Set<string>;
}

/** Who last showed that they hold a private key, and when. */
export interface KeyProof {
  readonly at: string;
  readonly by: string;
}

export interface Pin {
  readonly operationId: string;
  readonly backupIds: readonly string[];
  /** First WAL segment that must stay. */
  readonly walFrom: string | null;
  readonly at: string;
  /** Absent in records of earlier versions. */
  readonly workflowId?: string;
}

export interface RecordedPlan {
  readonly plan: Plan;
  readonly operationId: string;
  readonly at: string;
  /** When the destructive step took it up; null where it never did. */
  readonly usedAt: string | null;
}

export interface RecordedApproval {
  readonly digest: string;
  readonly approval: Approval;
  readonly assurance: 'asserted' | 'signed';
  readonly sender?: Sender;
  readonly at: string;
  readonly operationId: string;
}

export interface Refusal {
  readonly digest: string;
  readonly by: string;
  readonly code: string;
  readonly reason: string;
  readonly sender?: Sender;
  readonly at: string;
  readonly operationId: string;
}

export interface RecordedIncident {
  readonly id: string;
  readonly scenario: string;
  /** The last state recorded. */
  readonly state: string;
  readonly operationId: string;
  readonly openedAt: string;
  readonly updatedAt: string;
  readonly history: readonly {
    readonly at: string;
    readonly state: string;
    readonly text: string;
    readonly by: string;
    readonly toldBy?: string;
    readonly sender?: Sender;
  }[];
}

export interface JournalLine {
  readonly at: string;
  readonly step: string;
  readonly text: string;
  readonly by: string;
  readonly workflowId: string;
  /** Whose words they are, where they are not the host's own. */
  readonly toldBy?: string;
}

export interface RecordedOutcome {
  readonly outcome: RecoveryOutcome;
  readonly workflowId: string;
  readonly at: string;
}

export interface UnmadeBackup {
  readonly kind: 'failed' | 'skipped';
  readonly policy: string;
  readonly reason: string;
  readonly code: string | null;
  readonly at: string;
  readonly operationId: string;
}

/** A record file that cannot be read as one: named, and left out of the state, so that it hides no other. */
export interface RecordProblem {
  readonly key: string;
  readonly reason: string;
  /** How it can be read again; absent where only a copy helps. */
  readonly hint?: string;
}

/** What a daily check found, and which operation it was. */
export interface RecordedDailyCheck {
  readonly operationId: string;
  readonly found: DailyCheck;
}
