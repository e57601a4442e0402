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

/** Result of `reprise demo`; the top level repeats the first pass. */
export interface DemoResult extends PassResult {
  readonly scenario: 'instance-loss';
  readonly passes: readonly PassResult[];
  readonly seconds: number;
  /** Where everything still runs, with `--keep`. */
  readonly kept: string | null;
}
