import { RepriseError } from '../../../domain/errors.js';
import type { MissingWal, WalTransaction } from '../../../domain/operation/wal-transactions.js';
import type { FollowedSegment } from '../scan/followed-segments.js';
import type { WalReader } from '../wal-archive.js';
import type { HeapRecord } from './record-parser.js';
import type { OtherRecord, TransactionRecord } from './record-text.js';
import type { RelationNames } from './relation-names.js';
import { lsnText, type ScanResult, scanRecords, startOf } from './scan-records.js';
import { type Tallied, TransactionTally } from './transaction-tally.js';
import { beginningAt, type Course, Glances, runsOf } from './wal-course.js';
import { type Wanted, type WantedChanges, WorstTransactions } from './worst-transactions.js';
import { instantText } from './instants.js';

/** What is asked of the WAL. */
export interface ListOrder extends Wanted {
  /** Microseconds since 1970, both included. */
  readonly from: number;
  readonly to: number;
}

export interface Listed {
  readonly fromLsn: string;
  readonly toLsn: string;
  readonly missing: readonly MissingWal[];
  readonly transactions: readonly WalTransaction[];
  readonly more: number;
  readonly committed: number;
  readonly open: readonly { readonly xid: string; readonly rows: number }[];
}

/** Told of all that is read on the way. */
export interface WalWatcher {
  readonly heap?: (record: HeapRecord) => void;
  readonly other?: (record: OtherRecord) => void;
  readonly transaction?: (record: TransactionRecord) => void;
  /** Of the span of time; `changes`: what it did to what is asked for, null: nothing. */
  readonly committed: (transaction: Tallied, changes: WantedChanges | null) => void;
}

/** Transactions end in nearly the order of their times: the clock is read a moment before the record is written. */
const DISORDER_MICROSECONDS = 5_000_000;
/** So many that are under way are named. */
const LISTED_OPEN = 20;

/**
 * The transactions that committed in a span of time, those that did most damage first. Only as many as are listed are kept in
 * memory, and of those under way only what they have changed in each table.
 * @param isWhole whether the WAL goes to what the server has written last
 * @throws RepriseError `wal-gap` where no WAL of the span is there
 */
export async function listTransactions(
  context: WalReader,
  course: Course,
  names: RelationNames,
  order: ListOrder,
  isWhole: boolean,
  watcher?: WalWatcher,
): Promise<Listed> {
  const { segments, source } = course;
  context.report({ phase: 'search for the beginning in the WAL', done: 0, total: segments.length, unit: 'segments' });
  const begin = await beginningAt(new Glances(context, course), course, order.from);
  const worst = new WorstTransactions(order, names);
  const span = new Span(order);
  const tally = new TransactionTally((transaction) => {
    if (!span.holds(transaction.end)) return;
    const changes = worst.offer(transaction);
    watcher?.committed(transaction, changes);
  }, begin.since);
  if (!begin.reachesBack) span.misses({ kind: 'before', from: 0, to: begin.lsn });
  const visitor = {
    heap: both(tally.heap.bind(tally), watcher?.heap),
    other: both(tally.other.bind(tally), watcher?.other),
    transaction: (record: TransactionRecord) => {
      span.ends(record);
      watcher?.transaction?.(record);
      tally.transaction(record);
    },
    goesOn: () => !span.isOver,
  };
  let end = begin.lsn;
  for (let rest = segments.slice(begin.index); rest.length > 0;) {
    const [run = []] = runsOf(rest);
    const scan = { segments: run, from: begin.lsn, phase: 'read transactions from the WAL' };
    const result = await scanRecords(context, source, scan, visitor);
    end = Math.max(end, result.end);
    const next = result.stopped ? undefined : goesOnWith(rest, run, result, source.segmentBytes);
    if (next === undefined) break;
    rest = rest.slice(rest.indexOf(next));
    const kind = result.damaged === null && !result.ended ? 'gap' : 'damaged';
    span.misses({ kind, from: result.end, to: startOf(next, source.segmentBytes) });
    tally.interrupt();
  }
  if (!span.isReached && !isWhole) span.misses({ kind: 'after', from: end, to: end });
  const open = tally.underWay().toSorted((a, b) => b.rows - a.rows);
  return {
    ...{ fromLsn: lsnText(begin.lsn), toLsn: lsnText(end), committed: span.committed },
    missing: span.missing(),
    ...worst.result(),
    open: open.slice(0, LISTED_OPEN).map(({ xid, rows }) => ({ xid: String(xid), rows })),
  };
}

/** For tens of millions of records: nothing is called that is not there. */
function both<T>(first: (record: T) => void, second: ((record: T) => void) | undefined): (record: T) => void {
  if (second === undefined) return first;
  return (record) => {
    first(record);
    second(record);
  };
}

/** The segment after what was read, behind a gap or what is damaged; undefined where nothing is left. */
function goesOnWith(
  rest: readonly FollowedSegment[],
  run: readonly FollowedSegment[],
  { damaged, ended, end }: ScanResult,
  segmentBytes: number,
): FollowedSegment | undefined {
  if (damaged !== null) return rest[rest.indexOf(damaged) + 1];
  return ended ? rest.find((segment) => startOf(segment, segmentBytes) > end) : rest[run.length];
}

interface Hole extends Pick<MissingWal, 'kind'> {
  readonly from: number;
  readonly to: number;
  /** Ends of transactions beside it. */
  readonly after: number | null;
  before: number | null;
}

/** Follows the times of the WAL: where the span begins and ends in it, and what of it is missing. */
class Span {
  /** Nothing of the span follows. */
  isOver = false;
  /** The WAL goes beyond the span. */
  isReached = false;
  committed = 0;
  private last: number | null = null;
  private readonly holes: Hole[] = [];

  constructor(private readonly order: Pick<ListOrder, 'from' | 'to'>) {}

  holds({ time }: TransactionRecord): boolean {
    return time >= this.order.from && time <= this.order.to;
  }

  ends(record: TransactionRecord): void {
    for (const hole of this.holes) hole.before ??= record.time;
    this.last = record.time;
    if (record.kind === 'commit' && this.holds(record)) this.committed++;
    if (record.time > this.order.to) this.isReached = true;
    if (record.time > this.order.to + DISORDER_MICROSECONDS) this.isOver = true;
  }

  misses(hole: Pick<Hole, 'kind' | 'from' | 'to'>): void {
    this.holes.push({ ...hole, after: this.last, before: null });
  }

  /** @throws RepriseError `wal-gap` where no WAL of the span is there */
  missing(): readonly MissingWal[] {
    const { from, to } = this.order;
    const own = this.holes.filter(({ before }) => before === null || before >= from);
    const first = own.find(({ kind, before }) => kind === 'before' && before !== null && before > to);
    if (first !== undefined)
      throw nothingOf(`it begins with a transaction of ${instantText(first.before as number)}`, 'name a later time');
    const last = own.find(({ kind, after }) => kind === 'after' && after !== null && after < from);
    if (last !== undefined)
      throw nothingOf(
        `its last transaction is of ${instantText(last.after as number)}`,
        'name an earlier time, or wait until the server has archived what it wrote: SELECT pg_switch_wal()',
      );
    return own.map(({ kind, from: begin, to: end, after, before }) => ({
      ...{ kind, fromLsn: lsnText(begin), toLsn: lsnText(end) },
      ...{ after: after === null ? null : instantText(after), before: before === null ? null : instantText(before) },
    }));
  }
}

function nothingOf(what: string, hint: string): RepriseError {
  return new RepriseError('wal-gap', `no archived WAL is of that time: ${what}`, hint);
}
