import type { SignOff, SignOffPolicy } from '../drill/drill.js';
import type { RepairOrder } from '../operation/orders.js';
import type { ApprovableBinding, ApprovablePlan, PlannedBackup } from '../plan/plan.js';
import type { TableName } from './table-name.js';

/** A row in the text that PostgreSQL writes for each column, in the order of the change set's columns; null: NULL. */
export type RowText = readonly (string | null)[];

/** One row that a repair changes. */
export type RowChange = (
  | { readonly op: 'insert'; readonly after: RowText }
  | { readonly op: 'update'; readonly before: RowText; readonly after: RowText }
  | { readonly op: 'delete'; readonly before: RowText }
) & {
  /** It is made in the same transaction as the one before it: it takes a value that must be unique from it, or refers to it. */
  readonly together?: true;
};

/** Why a row that was damaged is not put right by itself. */
export type ConflictReason =
  /** Damaged, and changed again since. */
  | 'changed-since'
  /** Deleted, and a row with its key is there again. */
  | 'there-again'
  /** Damaged, and deleted since. */
  | 'deleted-since'
  /** Other rows refer to the row that would be deleted. */
  | 'referenced'
  /** It refers to rows that are gone. */
  | 'refers-to-missing'
  /** Another row has a value that must be unique. */
  | 'not-unique'
  /** A check, a domain or a column that takes no NULL does not take it any more. */
  | 'not-allowed';

/** A row for a person to decide on. `good`, `bad`, `now`: null where it was not there. */
export interface RowConflict {
  readonly reason: ConflictReason;
  readonly key: RowText;
  readonly good: RowText | null;
  readonly bad: RowText | null;
  readonly now: RowText | null;
}

/** First line of a change set. */
export interface ChangeSetHeader {
  readonly database: string;
  readonly table: TableName;
  /** Every column that is stored and not generated, in the order of the rows below. */
  readonly columns: readonly string[];
  /** Of the columns; empty: rows are told apart by all of them, and equal rows are counted. */
  readonly key: readonly string[];
}

export interface ChangeCounts {
  readonly insert: number;
  readonly update: number;
  readonly delete: number;
  /** Damaged rows that the rule for conflicts leaves as they are. */
  readonly conflicts: number;
}

/** How many rows are changed. */
export function changedRows({ insert, update, delete: removed }: ChangeCounts): number {
  return insert + update + removed;
}

/** What one transaction of a repair did. */
export interface AppliedChanges extends Omit<ChangeCounts, 'conflicts'> {
  /** Numbers of changes that were left out, because their rows are not as the plan saw them. */
  readonly left: readonly number[];
}

/** What a change set is known by: the approval binds the file's own hash. */
export interface ChangeSetDigest extends ChangeCounts {
  /** SHA-256 (hex) of the file. */
  readonly sha256: string;
  readonly bytes: number;
}

/** How writes of others to the table are blocked. */
export type FreezeMeans = { readonly by: 'trigger' } | { readonly by: 'revoke'; readonly roles: readonly string[] };

/** What a repair does beside the rows of its table. */
export interface RepairEffects {
  /** Foreign keys of other tables to this one, with what they do when a row is deleted. */
  readonly referencedBy: readonly { readonly table: TableName; readonly onDelete: string }[];
  /** Foreign keys of this table. */
  readonly refersTo: readonly TableName[];
  /** Triggers of the table, which fire only where the order says so. */
  readonly triggers: readonly string[];
  /** Sequences that are moved forward, so that no key is given twice. */
  readonly sequences: readonly string[];
  readonly generated: readonly string[];
}

/** The rows of a table, counted after a step of its way back into service. */
export interface TableCount {
  /** What was done before it was counted. */
  readonly after: string;
  /** UTC ISO-8601. */
  readonly at: string;
  readonly rows: number;
  /** Rows against an earlier count; null: it is the first. */
  readonly change: number | null;
  /** After what that one was counted; null as above. */
  readonly since: string | null;
  /** What is abnormal about it, with the figures; null: nothing. */
  readonly suspicion: string | null;
}

export interface RepairBinding extends ApprovableBinding {
  readonly action: 'table-repair';
  readonly order: RepairOrder;
  readonly systemIdentifier: string;
  /** From which the good rows come; none for what takes a repair back. */
  readonly backups: readonly PlannedBackup[];
  readonly key: readonly string[];
  readonly changes: ChangeSetDigest;
  readonly effects: RepairEffects;
  /** Null: the table takes writes meanwhile, and a row that changes meanwhile stops the repair. */
  readonly freeze: FreezeMeans | null;
  readonly hooks: readonly string[];
  readonly undoHooks?: Readonly<Record<string, string>>;
  /** Whose word is waited for before the table is opened; absent: nobody's. */
  readonly signOff?: SignOffPolicy;
  /** So long its rows are counted afterwards; absent: not at all. */
  readonly watchSeconds?: number;
}

export interface RepairPlan extends ApprovablePlan {
  readonly binding: RepairBinding;
  readonly observed: {
    /** Of the transaction that did the damage, where it is known (UTC ISO-8601). */
    readonly damagedAt: string | null;
    readonly rowsNow: number;
    /** File with every change and every conflict on the target host; owner-only, with an end. */
    readonly file: string;
    readonly fileUntil: string;
    /** Workflows that keep the table frozen, and go on after the repair; absent: none does. */
    readonly heldBy?: readonly string[];
    readonly approval: { readonly approvers: number; readonly from: readonly string[] } | null;
    readonly warnings: readonly string[];
  };
}

export function isRepairPlan(plan: ApprovablePlan): plan is RepairPlan {
  return plan.binding.action === 'table-repair';
}

/** What an incident knows that its repair does not. */
export interface RepairIncident {
  readonly workflowId: string;
  /** When the damage was found, UTC ISO-8601. */
  readonly discoveredAt: string;
  /** As people entered it; null: not yet. */
  readonly cause: string | null;
}

export interface RepairOutcome {
  readonly database: string;
  readonly table: TableName;
  readonly done: ChangeCounts;
  readonly rowsBefore: number;
  readonly rowsAfter: number;
  readonly checks: readonly RepairCheck[];
  /** UTC ISO-8601. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Key of the report in the catalogue. */
  readonly report: string;
  /** Absent: nobody was asked; null: nobody has answered. */
  readonly signOff?: SignOff | null;
  /** From the block of the writes to the end of the watch. */
  readonly counts?: readonly TableCount[];
  /** When the writes of others were blocked, UTC ISO-8601; absent: they were not. */
  readonly frozenAt?: string;
  /** When the table took writes again; absent: it always did, or does not yet. */
  readonly openedAt?: string;
  /** File with every row on the host of the repair, for a spreadsheet; owner-only, with an end. Absent: it could not be written. */
  readonly rowsFile?: { readonly path: string; readonly until: string };
}

export interface RepairCheck {
  readonly name: string;
  readonly status: 'ok' | 'failed' | 'skipped';
  /** What was found. */
  readonly detail?: string;
}
