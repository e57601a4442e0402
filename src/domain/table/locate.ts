import type { WalTransaction } from '../operation/wal-transactions.js';
import { parseLsn, type WalSegment } from '../target/wal.js';
import { shellWord, visible } from '../text/text.js';
import { type TableName, tableCommand } from './table-name.js';

/** Which state of a table is coherent. */
export type TableCondition =
  | { readonly kind: 'min-rows'; readonly rows: number }
  /** There is a row with this value. */
  | { readonly kind: 'key'; readonly column: string; readonly value: string }
  /** The query of that name in the configuration gives true. */
  | { readonly kind: 'invariant'; readonly name: string };

/** What somebody who searches asks for, in words. */
export function conditionText(condition: TableCondition): string {
  switch (condition.kind) {
    case 'min-rows':
      return `at least ${condition.rows} rows`;
    case 'key':
      return `a row with ${visible(condition.column)} = ${visible(condition.value)}`;
    case 'invariant':
      return `invariant ${visible(condition.name)}`;
  }
}

/** Whether a state was coherent; `figure`: what was seen, in words, without a value of a row. */
export interface TableState {
  readonly holds: boolean;
  readonly figure: string;
  /** How many there are, where they were counted. */
  readonly rows?: number;
  /** What is asked about was not there: the table, its database, a column. */
  readonly absent?: true;
}

/** A backup that may be looked into. */
export interface LocateBackup {
  readonly id: string;
  readonly policy: string;
  /** UTC ISO-8601: what it holds is of that time. */
  readonly at: string;
  readonly startedAt: string;
  /** From its record alone; null: it has to be restored. */
  readonly recorded: TableState | null;
}

/** What is searched, before anything is restored. */
export interface LocatePlan {
  /** Oldest first. */
  readonly backups: readonly LocateBackup[];
  /** Policy whose WAL leads from one backup to the next; null: dumps alone, which say no more than between which two of them. */
  readonly walPolicy: string | null;
  /** Along which timeline; absent or null: nobody could tell, and the newest is followed. */
  readonly timeline?: number | null;
  /** A recovery has left that timeline: production is not its end, and may have given the same transaction numbers again. */
  readonly isLeft?: boolean;
  /** Production; null where it does not answer, or is not the end of that timeline. */
  readonly now: TableState | null;
  /** What is left out, and why. */
  readonly notes?: readonly string[];
}

/** A commit that touched the table. */
export type TableCommit = Pick<WalTransaction, 'xid' | 'committedAt' | 'lsn' | 'inserted' | 'updated' | 'deleted'> & {
  /** What was done to the table as a whole, as `truncated`. */
  readonly actions: readonly string[];
};

/** What a commit did to the table. */
export type TableChange = Pick<TableCommit, 'inserted' | 'updated' | 'deleted' | 'actions'>;

/** A commit where the replay is stopped. */
export interface LocateStop extends TableCommit {
  /** Its place among the commits of the range. */
  readonly index: number;
}

/** At which commits a replay stops. */
export interface LocateStops {
  readonly total: number;
  readonly stops: readonly LocateStop[];
  /** Transaction of the stop after which the condition cannot hold, see `Stops`. */
  readonly reckoned?: string | null;
}

/** How many restores find the boundary among so many backups, without the one for the WAL. */
export function mostProbes(backups: number): number {
  return Math.ceil(Math.log2(backups + 1));
}

/** What is known of a state; null: nothing yet. `unreadable`: it could not be looked at, and is passed over. */
export type Known = 'good' | 'bad' | 'absent' | 'unreadable' | null;

export const knownOf = ({ holds, absent }: TableState): Known => (absent === true ? 'absent' : holds ? 'good' : 'bad');

/**
 * Finds where a row of states changes from coherent to not. What is known already costs nothing. Of states that change more than
 * once it finds a change after the newest coherent one that is known. A table that was not there yet broke later; one that is not there
 * any more is broken.
 */
export class Bisection {
  private readonly known: Known[];
  /** Whether each is known to be broken. */
  private broke: readonly boolean[];
  private isThere = false;

  /** @param isThereNow whether production has the table; null: that is not known */
  constructor(
    known: readonly Known[],
    private readonly isThereNow: boolean | null = null,
  ) {
    this.known = [...known];
    this.broke = this.judged();
  }

  /** The newest that is coherent, as far as known; -1: none. */
  get good(): number {
    return this.known.lastIndexOf('good');
  }

  /** The first after {@link good} that is not; the count of all where none is known. */
  get bad(): number {
    const at = this.broke.indexOf(true, this.good + 1);
    return at === -1 ? this.known.length : at;
  }

  /** Which one to look at next; null: the boundary is found. */
  get next(): number | null {
    const { candidates } = this;
    return this.decisive ?? candidates[Math.floor(candidates.length / 2)] ?? null;
  }

  /** How many more have to be looked at, at most. */
  get left(): number {
    const open = this.known.filter((one) => one === null).length;
    return this.decisive === null ? mostProbes(this.candidates.length) : 1 + mostProbes(open - 1);
  }

  set(index: number, state: Known): void {
    this.known[index] = state;
    this.broke = this.judged();
  }

  /** A state that is not coherent, and an earlier one and a later one that are; null: none is known. */
  get broken(): number | null {
    const first = this.known.indexOf('good');
    const at = first === -1 ? -1 : this.broke.indexOf(true, first);
    return at !== -1 && at < this.good ? at : null;
  }

  /** Between the newest coherent one, or the last from before the table was made, and the first broken one. */
  private get candidates(): readonly number[] {
    const { bad, good } = this;
    const unborn = this.known.findLastIndex((one, index) => one === 'absent' && index < bad && !this.broke[index]);
    return this.known.flatMap((one, index) =>
      one === null && index > Math.max(good, unborn) && index < bad ? [index] : [],
    );
  }

  /** Where all that is known is that it was not there, the newest state tells whether it was made or dropped since. */
  private get decisive(): number | null {
    if (this.isThereNow !== null || this.isThere || !this.known.includes('absent')) return null;
    const newest = this.known.lastIndexOf(null);
    return newest > this.known.lastIndexOf('absent') ? newest : null;
  }

  /** One without the table is broken where an earlier one has it, and where no later one does. */
  private judged(): readonly boolean[] {
    const has = (one: Known): boolean => one === 'good' || one === 'bad';
    const [first, last] = [this.known.findIndex(has), this.known.findLastIndex(has)];
    this.isThere = first !== -1;
    return this.known.map(
      (one, index) =>
        one === 'bad' ||
        (one === 'absent' && ((this.isThere && first < index) || (this.isThereNow !== true && last < index))),
    );
  }
}

/**
 * Whether what ended in this segment is on the path of a timeline: each step is left at `until` for the next. Null where it ended in
 * the very segment in which that was: only its exact end tells.
 */
export function isPlaceOfTimeline(
  { timeline, number }: WalSegment,
  path: readonly { readonly id: number; readonly until: string | null }[],
  segmentBytes: number,
): boolean | null {
  const step = path.find(({ id }) => id === timeline);
  if (step === undefined) return false;
  if (step.until === null) return true;
  const left = parseLsn(step.until) / BigInt(segmentBytes);
  return number === left ? null : number < left;
}

/** One state that was looked at. */
export interface LocateProbe extends Omit<TableState, 'holds'> {
  /** Null: it could not be looked at, as `figure` says. */
  readonly holds: boolean | null;
  readonly what: 'backup' | 'commit' | 'record' | 'production';
  /** Id of the backup, or of the transaction after whose commit the state was looked at; null: production. */
  readonly id: string | null;
  /** UTC ISO-8601. */
  readonly at: string | null;
}

export interface LocateResult {
  /**
   * `transaction`: this one broke it; `between`: somewhere between two states; `holds`: production is coherent; `never`: no state that
   * was looked at is broken; `no-good`: no backup is coherent.
   */
  readonly state: 'transaction' | 'between' | 'holds' | 'never' | 'no-good';
  readonly database: string;
  readonly table: TableName;
  readonly condition: TableCondition;
  /** The newest state that is known to be coherent, and the first one after it that is not. */
  readonly good: LocateProbe | null;
  readonly bad: LocateProbe | null;
  readonly transaction: TableCommit | null;
  /** In the order in which they were looked at. */
  readonly probes: readonly LocateProbe[];
  readonly restores: number;
  /** Replays of WAL, each forward from a restore. */
  readonly replays: number;
  /** What whoever reads this has to know. */
  readonly notes: readonly string[];
  /** The command to type next; null: there is none. */
  readonly next: string | null;
}

/**
 * Failures that say something of one backup or of its WAL, by their code: another backup may be looked into. Everything else, such as
 * a disk that is full or a program that is missing, would meet each of them.
 */
export function isOfBackup(code: string): boolean {
  return OF_BACKUP.has(code);
}

const OF_BACKUP: ReadonlySet<string> = new Set([
  ...['backup-corrupt', 'page-corrupt', 'no-usable-backup', 'not-found', 'object-cold', 'key-missing'],
  ...['wal-gap', 'wal-not-archived', 'target-before-backup', 'target-after-wal', 'target-not-reached'],
  ...['version-mismatch', 'identity-mismatch', 'encoding-mismatch', 'extension-missing', 'locale-missing'],
  ...['tool-failed', 'tool-rejected', 'service-failed', 'query-failed'],
]);

/**
 * The command that goes on from a result; null: nothing is to be done.
 * @param left the timeline that was searched, where production has left it: what happened there is looked at and not undone
 */
export function nextCommand(
  cluster: string,
  {
    state,
    database,
    table,
    good,
    transaction,
  }: Pick<LocateResult, 'state' | 'database' | 'table' | 'good' | 'transaction'>,
  left: number | null = null,
): string | null {
  const named = { cluster, database, table };
  if (left !== null) {
    const reached = state === 'between' && good?.what === 'commit' ? `xid:${good.id}` : null;
    const to = transaction === null ? reached : `before-xid:${transaction.xid}`;
    if (to !== null) return `reprise explore start ${shellWord(cluster)} --to ${to} --timeline ${left}`;
  }
  if (transaction !== null) return tableCommand('repair', named, `--xid ${transaction.xid}`);
  if (state !== 'between' || good === null) return null;
  return tableCommand(
    'compare',
    named,
    good.what === 'commit' ? `--to xid:${good.id}` : `--backup ${shellWord(good.id ?? '')}`,
  );
}

/** What was found, in a sentence. */
export function locateText(result: LocateResult): string {
  const { state, good, bad, transaction, condition } = result;
  const what = conditionText(condition);
  switch (state) {
    case 'transaction':
      return `transaction ${transaction?.xid ?? ''}, committed at ${transaction?.committedAt ?? ''}, broke it: ${what}`;
    case 'between':
      return `it broke between ${probeText(good)} and ${probeText(bad)}: ${what}`;
    case 'holds':
      return `it holds in production now: ${what}`;
    case 'never':
      return `no state that was looked at breaks it: ${what}`;
    case 'no-good':
      return `no backup that was looked at is coherent: ${what}`;
  }
}

/** A state, in a few words. */
function probeText(probe: LocateProbe | null): string {
  if (probe === null) return 'the end of the range';
  const at = probe.at === null ? '' : ` of ${probe.at}`;
  if (probe.what === 'production') return 'production now';
  return probe.what === 'commit' ? `the commit of ${probe.id ?? ''}${at}` : `backup ${probe.id ?? ''}${at}`;
}
