import type { DrillOutcome, RegisterEntry } from '../drill/drill.js';
import type { Backup, Proof, TableCount } from './backup.js';
import type { DailyCheck } from './daily-check.js';
import type { Approval, Plan, Sender } from '../plan/plan.js';

/**
 * Records of a cluster: append-only, one sequence, plain JSON in its `catalogue` repository, so that they outlive
 * Temporal. What is no longer true gets a further record (a tombstone), never a deletion.
 */
export interface RecordEnvelope {
  /** Position in the cluster's one sequence, from 1. */
  readonly seq: number;
  /** Deterministic name of the fact (operation id + what): a retry that finds it there adds nothing. */
  readonly id: string;
  readonly at: string;
  /** Place of the chained hash of the record before, filled once evidence is signed. */
  readonly prev: null;
  readonly operationId: string;
  readonly by: string;
}

export type RecordBody =
  /** `contentRecords`: so many records before it hold its contents, which would make it too big (`records/pieces.ts`). */
  | {
      readonly kind: 'backup';
      readonly backup: Omit<Backup, 'proven' | 'heldUntil' | 'status' | 'otherCluster'>;
      readonly contentRecords?: number;
    }
  | { readonly kind: 'contents'; readonly backupId: string; readonly contents: readonly TableCount[] }
  | { readonly kind: 'backup-failed'; readonly policy: string; readonly reason: string; readonly code: string }
  | { readonly kind: 'backup-skipped'; readonly policy: string; readonly reason: string }
  | { readonly kind: 'proof'; readonly backupId: string; readonly proof: Proof; readonly detail: string }
  | { readonly kind: 'quarantine'; readonly backupId: string; readonly reason: string }
  | { readonly kind: 'removed'; readonly backupId: string; readonly reason: string }
  | { readonly kind: 'hold'; readonly backupId: string; readonly until: string; readonly reason: string }
  | { readonly kind: 'release'; readonly backupId: string }
  | {
      readonly kind: 'pin';
      readonly backupIds: readonly string[];
      readonly walFrom: string | null;
      /** Whose pin it is: once this workflow has ended, nobody needs it. */
      readonly workflowId?: string;
    }
  | { readonly kind: 'unpin' }
  | { readonly kind: 'plan'; readonly plan: Plan }
  | {
      readonly kind: 'approval';
      readonly digest: string;
      readonly approval: Approval;
      readonly assurance: 'asserted' | 'signed';
      /** Absent where Temporal's history could not say it. */
      readonly sender?: Sender;
    }
  | {
      readonly kind: 'refusal';
      readonly digest: string;
      readonly by: string;
      readonly code: string;
      readonly reason: string;
      readonly sender?: Sender;
    }
  | { readonly kind: 'plan-used'; readonly digest: string }
  | {
      readonly kind: 'kept';
      readonly keptId: string;
      readonly what: string;
      readonly where: string;
      /** Directories outside of it that are part of it. */
      readonly parts?: readonly string[];
      readonly sizeBytes: number | null;
      readonly host: string;
      /** The place under `recovery.targets` that it was recovered into: a copy that runs beside, and no old data. */
      readonly beside?: string;
    }
  | { readonly kind: 'kept-dropped'; readonly keptId: string }
  /** Which repository the policies of the cluster use: `repository` as the host knows it, a name or `CLUSTER/POLICY`. The last one counts. */
  | { readonly kind: 'repository'; readonly repository: string; readonly identity: string; readonly where: string }
  /** Somebody showed that they hold the private key of this recipient of encrypted backups. */
  | { readonly kind: 'key-proof'; readonly recipient: string }
  | {
      readonly kind: 'incident';
      readonly incidentId: string;
      readonly scenario: string;
      readonly state: string;
      readonly text: string;
      /** As in a line of the journal. */
      readonly toldBy?: string;
      readonly sender?: Sender;
    }
  /** One line of the journal: what was done, found or decided, in words a reader of the incident document understands. */
  | {
      readonly kind: 'journal';
      readonly workflowId: string;
      readonly step: string;
      readonly text: string;
      /** Who said so, where the text is a client's: then it is told, and proves nothing. Absent: the host's own words. */
      readonly toldBy?: string;
    }
  | { readonly kind: 'outcome'; readonly workflowId: string; readonly outcome: RecoveryOutcome }
  | { readonly kind: 'drill'; readonly outcome: DrillOutcome }
  /** An entry of the quality register, whole; the last one of an id counts. */
  | { readonly kind: 'register'; readonly entry: RegisterEntry }
  /** What a daily check found; the last one counts. None is written while nothing was and is wrong. */
  | { readonly kind: 'daily-check'; readonly found: DailyCheck };

export type CatalogueRecord = RecordEnvelope & RecordBody;
export type NewRecord = Pick<RecordEnvelope, 'id' | 'at' | 'operationId' | 'by'> & RecordBody;

/** What a recovery came to: the figures of the incident document and of `recover --json`. */
export interface RecoveryOutcome {
  readonly target: { readonly requested: string; readonly reached: string };
  /** First failed check (or the request, where nothing failed) to validated; waiting for people excluded and shown apart. */
  readonly rtoSeconds: number;
  readonly waitedForPeopleSeconds: number;
  /**
   * From the last recovered commit to the last instant at which what was replaced may have accepted writes: an upper bound; 0 where the
   * source's last valid WAL record was replayed; null where it is not known, or nothing was replaced.
   */
  readonly rpoSeconds: number | null;
  /** It was recovered beside a server that goes on: nothing was replaced, and nothing lost. */
  readonly leavesProduction?: true;
  /** Where it was recovered to; absent in outcomes of an older version. `dataDir`: null for dumps. */
  readonly place?: {
    readonly into: string;
    readonly host: string;
    readonly dataDir: string | null;
    readonly port: number;
  };
  readonly lastCommitAt: string | null;
  readonly lastLsn: string | null;
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
  readonly checks: readonly {
    readonly name: string;
    readonly status: 'passed' | 'failed' | 'skipped';
    readonly detail: string;
  }[];
  readonly report: string;
}

/** Old data put aside and not yet dropped. */
export interface KeptItem {
  readonly id: string;
  readonly cluster: string;
  readonly what: string;
  readonly where: string;
  /** Directories outside of it that are kept, and dropped, with it. */
  readonly parts?: readonly string[];
  readonly host: string;
  readonly sizeBytes: number | null;
  readonly since: string;
  readonly operationId: string;
  /** Of a copy that was recovered beside: its place under `recovery.targets`; absent for old data. */
  readonly beside?: string;
}
