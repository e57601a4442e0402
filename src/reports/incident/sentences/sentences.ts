/** Every sentence of the documents of incidents of tables and migrations: another language is another value of this type. Texts of hosts and people stay as they are. */
export interface IncidentSentences {
  /** As HTML has it: `en`. */
  readonly language: string;
  readonly title: (scenario: string, about: string) => string;
  readonly tableIn: (table: string, database: string, cluster: string) => string;
  readonly databaseOf: (database: string, cluster: string) => string;
  readonly verdicts: Readonly<Record<'repaired' | 'unrepaired' | 'tables' | 'recovered' | 'unchanged', string>>;
  readonly summaries: {
    readonly repaired: (facts: {
      readonly inserted: number;
      readonly updated: number;
      readonly deleted: number;
      readonly conflicts: number;
      readonly rowsAfter: number;
    }) => string;
    readonly unrepaired: string;
    readonly recovered: (reached: string) => string;
    readonly tables: (count: number) => string;
    readonly unchanged: string;
  };
  readonly sections: Readonly<
    Record<
      'rows' | 'rowsThen' | 'definitions' | 'times' | 'repairs' | 'chosen' | 'decisions' | 'timeline' | 'followUps',
      string
    >
  >;
  /** Heads of tables and names of facts. */
  readonly words: Readonly<
    Record<
      | 'after'
      | 'at'
      | 'before'
      | 'cause'
      | 'cluster'
      | 'database'
      | 'incident'
      | 'migrations'
      | 'operation'
      | 'plan'
      | 'reason'
      | 'report'
      | 'result'
      | 'rows'
      | 'state'
      | 'ofStep'
      | 'table'
      | 'then'
      | 'transaction'
      | 'what'
      | 'who',
      string
    >
  >;
  readonly times: Readonly<
    Record<
      | 'damaged'
      | 'beforeMigration'
      | 'discovered'
      | 'opened'
      | 'confirmed'
      | 'frozen'
      | 'approved'
      | 'begun'
      | 'checked'
      | 'released'
      | 'lastCommit'
      | 'closed',
      string
    >
  >;
  readonly recorded: (migration: string) => string;
  readonly earlier: (duration: string) => string;
  readonly counted: Readonly<Record<'insert' | 'update' | 'delete' | 'conflicts' | 'before' | 'after', string>>;
  readonly noCause: string;
  readonly notRecorded: string;
  readonly notThere: string;
  readonly stateSince: (state: string, at: string) => string;
  readonly committed: (at: string) => string;
  readonly rowsFile: readonly [before: string, after: (host: string, until: string) => string];
  readonly notCompared: string;
  readonly sameRows: (same: number, more: number) => string;
  readonly sameDefinitions: string;
  readonly moreDefinitions: (count: number) => string;
  readonly results: Readonly<Record<'right' | 'nothing' | 'done', string>>;
  readonly noPlan: string;
  readonly recoveredTo: (reached: string) => string;
  readonly approvals: {
    readonly signed: string;
    readonly asserted: string;
    readonly refused: (code: string) => string;
    readonly none: string;
  };
  readonly noTimeline: string;
  readonly followUps: {
    readonly cause: string;
    readonly unrepaired: string;
    /** The option stands between the two. */
    readonly conflicts: readonly [before: (count: number) => string, after: string];
    readonly check: (name: string, status: string) => string;
    readonly backup: string;
    readonly takeBack: string;
    readonly restrict: string;
    readonly correctBatch: string;
    readonly tell: string;
    readonly application: string;
    readonly oldDatabase: string;
    readonly definitions: string;
    readonly tryMigration: string;
    readonly beforeNext: string;
  };
}
