import type { RepairCheck } from '../../../domain/table/repair.js';

/** Every sentence of a repair's report: another language is another value of this type. Texts of hosts, checks and people stay as they are. */
export interface RepairSentences {
  /** As HTML has it: `en`. */
  readonly language: string;
  readonly title: (table: string, cluster: string) => string;
  readonly verdicts: Readonly<Record<'good' | 'failed' | 'checksFailed' | 'waiting' | 'unanswered', string>>;
  readonly summary: (facts: {
    readonly inserted: number;
    readonly updated: number;
    readonly deleted: number;
    readonly conflicts: number;
    /** How long the damage lasted, in words; null: not known. */
    readonly lasted: string | null;
  }) => string;
  readonly sections: Readonly<
    Record<'cause' | 'times' | 'rows' | 'checks' | 'signOff' | 'counts' | 'followUps' | 'takeBack', string>
  >;
  /** Heads of tables and names of facts. */
  readonly words: Readonly<
    Record<
      | 'after'
      | 'at'
      | 'backups'
      | 'cause'
      | 'change'
      | 'check'
      | 'cluster'
      | 'database'
      | 'found'
      | 'incident'
      | 'operation'
      | 'plan'
      | 'requester'
      | 'result'
      | 'rows'
      | 'source'
      | 'table'
      | 'transaction'
      | 'what'
      | 'who',
      string
    >
  >;
  readonly times: Readonly<
    Record<
      | 'damaged'
      | 'discovered'
      | 'planned'
      | 'approved'
      | 'frozen'
      | 'begun'
      | 'checked'
      | 'signedOff'
      | 'opened'
      | 'watched',
      string
    >
  >;
  readonly counted: Readonly<Record<'insert' | 'update' | 'delete' | 'conflicts' | 'before' | 'after', string>>;
  readonly statuses: Readonly<Record<RepairCheck['status'], string>>;
  readonly noCause: string;
  readonly notKnown: string;
  readonly asserted: (name: string) => string;
  readonly committed: (xid: string, at: string) => string;
  readonly durations: (facts: { readonly damage: string | null; readonly blocked: string | null }) => string;
  readonly rowsFile: (facts: { readonly path: string; readonly host: string; readonly until: string }) => string;
  readonly noRowsFile: (facts: { readonly path: string; readonly host: string; readonly until: string }) => string;
  readonly changed: (rows: string, since: string) => string;
  readonly abnormal: (found: string) => string;
  readonly signedOff: (facts: {
    readonly by: string;
    readonly verdict: 'pass' | 'fail';
    readonly at: string;
  }) => string;
  readonly noAnswer: (by: string) => string;
  readonly waitsFor: (by: string) => string;
  readonly takeBack: (until: string) => string;
  readonly followUps: {
    readonly takeBackOrKeep: string;
    readonly failedCheck: (name: string) => string;
    /** `decided`: no other rule would put them right. */
    readonly conflicts: (count: number, decided: boolean) => string;
    readonly leftOut: (count: number) => string;
    readonly abnormal: string;
    readonly backup: string;
    readonly affected: (from: string, to: string) => string;
    readonly restrict: (xid: string) => string;
    readonly cause: string;
    readonly noFreeze: string;
    readonly noSignOff: string;
    readonly noWatch: string;
    readonly noInvariant: string;
    readonly file: (until: string) => string;
  };
}
