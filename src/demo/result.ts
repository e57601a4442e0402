import type { DrillOutcome, SealedEvidence } from '../domain/drill/drill.js';
import type { EvidenceProblem } from '../domain/drill/evidence.js';
import type { ChangeCounts } from '../domain/table/repair.js';
import type { ComparedTable } from './compare.js';
import type { LossKind } from './loss.js';

/** One loss and recovery, measured. The names are those of the command line's contract. */
export interface PassResult {
  readonly loss: LossKind;
  /** Everything is there that could be, and nothing else was lost. */
  readonly recovered: boolean;
  readonly tables: readonly ComparedTable[];
  readonly rtoSeconds: number;
  readonly rpoSeconds: number | null;
  /** Acknowledged commits that are gone. */
  readonly lostTransactions: number;
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
  /** The incident in Temporal's Web UI; answers for as long as the demo is kept. */
  readonly webUi: string;
  /** Incident document (Markdown). */
  readonly report: string;
  readonly incident: string;
  readonly recovery: string;
  readonly waitedForPeopleSeconds: number;
  readonly transactions: {
    /** Acknowledged by the server before the loss, over all passes so far. */
    readonly acknowledged: number;
    /** There after the recovery without ever having been acknowledged. */
    readonly unacknowledged: number;
    readonly lastRecovered: number;
    /** Number of the last one whose commit the archive held at the loss: all after it were in `pg_wal` alone. */
    readonly lastArchived: number;
    /** First that is gone; null where none is. */
    readonly firstLost: number | null;
  };
}

/** Result of the scenario `instance-loss`; the top level repeats the first pass. */
export interface LossResult extends PassResult {
  readonly scenario: 'instance-loss';
  readonly passes: readonly PassResult[];
}

/** Result of the scenario `drill`. */
export interface DrillResult {
  readonly scenario: 'drill';
  /** The drill passed, what it restored matches the client's log, its evidence was verified, and the changed byte was found. */
  readonly recovered: boolean;
  /** What staging held when people were let in, against the client's log. */
  readonly tables: readonly ComparedTable[];
  /** The slowest of its restores. */
  readonly rtoSeconds: number;
  readonly rpoSeconds: number | null;
  /** Acknowledged before the drill, and not in staging. */
  readonly lostTransactions: number;
  /** Of all its restores. */
  readonly phases: readonly { readonly name: string; readonly seconds: number }[];
  /** The drill in Temporal's Web UI; answers for as long as the demo is kept. */
  readonly webUi: string;
  /** Report of the drill (HTML), in the copy of the evidence. */
  readonly report: string;
  readonly passes: readonly [];
  readonly drill: Pick<
    DrillOutcome,
    'drillId' | 'workflowId' | 'verdict' | 'reason' | 'checks' | 'signOff' | 'notTested'
  > & {
    /** Entries of the quality register: those that are to be made good, and those that a drill has. */
    readonly register: { readonly open: number; readonly closed: number };
  };
  readonly evidence: EvidenceShown | null;
}

/** Result of the scenario `table-corruption`. */
export interface RepairResult {
  readonly scenario: 'table-corruption';
  /** Every deleted appointment is back, and every booking made since is there, as the client's log says. */
  readonly recovered: boolean;
  readonly tables: readonly ComparedTable[];
  /** From the commit of the batch to the end of the repair. */
  readonly rtoSeconds: number;
  readonly rpoSeconds: 0;
  /** Acknowledged by the server, and not there. */
  readonly lostTransactions: number;
  readonly phases: readonly [];
  /** The incident in Temporal's Web UI; answers for as long as the demo is kept. */
  readonly webUi: string;
  /** Incident document (Markdown). */
  readonly report: string;
  readonly passes: readonly [];
  readonly incident: string;
  readonly repair: {
    readonly workflowId: string;
    readonly xid: string;
    /** UTC ISO-8601. */
    readonly committedAt: string;
    readonly deleted: number;
    readonly done: ChangeCounts;
  };
}

/** The evidence that a drill left, verified by the command line alone, and a copy of it with one byte changed. */
export interface EvidenceShown extends SealedEvidence {
  /** A copy that stays: all drills of the cluster. */
  readonly folder: string;
  readonly publicKey: string;
  readonly verified: boolean;
  readonly changed: {
    readonly folder: string;
    /** The file with the changed byte, below the folder. */
    readonly file: string;
    readonly offset: number;
    /** Verification refused the folder, and named the file. */
    readonly found: boolean;
    readonly problems: readonly EvidenceProblem[];
  };
}

/** Result of `reprise demo`. */
export type DemoResult = (LossResult | RepairResult | DrillResult) & {
  readonly seconds: number;
  /** Where everything still runs, with `--keep`. */
  readonly kept: string | null;
};
