/**
 * What came after a transaction, from WAL alone and in one pass: which later transactions touched the rows that it has written, and how
 * much was done since in its table and in its database. A row is followed from version to version by its place.
 */
import type { ChangedSince, LaterTransaction } from '../../../domain/table/blast-radius.js';
import type { MissingWal, WalTransaction } from '../../../domain/operation/wal-transactions.js';
import type { WalReader } from '../wal-archive.js';
import { instantText } from './instants.js';
import { type Listed, listTransactions, type WalWatcher } from './list-transactions.js';
import type { TransactionRecord } from './record-text.js';
import { isSystemFile, type NamedTable, type RelationNames } from './relation-names.js';
import { type FollowedCommit, RowFollower } from './row-follower.js';
import { placeNumber } from './row-place.js';
import { lsnNumber, lsnText } from './scan-records.js';
import { readChanges, type TransactionChanges } from './transaction-changes.js';
import type { Tallied } from './transaction-tally.js';
import type { Course } from './wal-course.js';
import { WorstTransactions } from './worst-transactions.js';

/** So many rows are followed: some 100 bytes of memory each. */
const MOST_FOLLOWED = 1_000_000;
/** So many later transactions are named. */
const LISTED_LATER = 50;
/** Before its commit, so that what ended at the same time is read whole. */
const MARGIN_MICROSECONDS = 5_000_000;

export interface LaterOrder {
  readonly transaction: TransactionChanges;
  /** What `writeChanges` wrote of it. */
  readonly places: string;
  readonly names: RelationNames;
  /** OID of the database. */
  readonly database: number;
  /** The table, with its partitions. */
  readonly tables: ReadonlySet<NamedTable>;
  /** Microseconds since 1970: what committed later does not count. */
  readonly to: number;
}

export interface LaterChanges {
  /** The transaction itself, in all tables; null where the WAL does not hold it whole enough to say. */
  readonly transaction: WalTransaction | null;
  /** Row versions of the table that it left behind and that were followed. */
  readonly followed: number;
  /** Of these rows: how many were touched later, each counted once. */
  readonly rows: number;
  /** Those that touched most first. */
  readonly transactions: readonly LaterTransaction[];
  readonly more: number;
  /** Whether there were more rows than are followed. */
  readonly atLeast: boolean;
  /** Commits that gave the table another file, after which its rows are followed no more. */
  readonly cuts: readonly { readonly xid: string; readonly committedAt: string; readonly rows: number }[];
  /** Rows that a later transaction moved to another partition where they were not found: they are followed no more. */
  readonly moved: number;
  readonly table: ChangedSince;
  readonly database: ChangedSince;
  readonly missing: readonly MissingWal[];
}

/**
 * @param isWhole whether the WAL goes to what the server has written last
 * @throws RepriseError `wal-gap` where no WAL of the time is there
 */
export async function laterChanges(
  context: WalReader,
  course: Course,
  order: LaterOrder,
  isWhole: boolean,
): Promise<LaterChanges> {
  const { transaction, names } = order;
  const later = new LaterCommits(order);
  await later.begin();
  const totals = new Totals(order);
  const watcher: WalWatcher = { ...later.watcher, committed: (tallied) => totals.add(tallied) };
  const span = { from: transaction.commit.time - MARGIN_MICROSECONDS, to: order.to, minRows: 1, limit: 1 };
  const listed: Listed = await listTransactions(context, course, names, span, isWhole, watcher);
  return { ...totals.result(), ...later.result(), missing: listed.missing };
}

/** What was done in a table, and in its database, by transactions that were committed after one. */
class Totals {
  private own: WalTransaction | null = null;
  private readonly table = { transactions: 0, inserted: 0, updated: 0, deleted: 0 };
  private readonly database = { transactions: 0, inserted: 0, updated: 0, deleted: 0 };
  private readonly commitLsn: number;

  constructor(private readonly order: LaterOrder) {
    this.commitLsn = lsnNumber(order.transaction.commit.lsn);
  }

  add(tallied: Tallied): void {
    const { end, counts } = tallied;
    const { transaction, names, database, tables } = this.order;
    if (end.xid === transaction.xid && end.lsn === this.commitLsn) {
      const worst = new WorstTransactions({ minRows: 1, limit: 1 }, names);
      worst.offer(tallied);
      this.own = worst.result().transactions[0] ?? null;
    }
    if (end.lsn <= this.commitLsn) return;
    let [inTable, inDatabase] = [false, false];
    for (const one of counts) {
      if (one.file.database !== database) continue;
      const named = names.ofFile(one.file);
      if (named === null ? isSystemFile(one.file) : named.kind !== 'table') continue;
      inDatabase = true;
      addTo(this.database, one);
      if (named === null || !tables.has(named)) continue;
      inTable = true;
      addTo(this.table, one);
    }
    // TRUNCATE, DROP and a rewrite change no row that the WAL tells.
    const ended = end.files.filter((file) => file.database === database).map((file) => names.ofFile(file));
    if (inDatabase || ended.some((named) => named === null || named.kind === 'table')) this.database.transactions++;
    if (inTable || ended.some((named) => named !== null && tables.has(named))) this.table.transactions++;
  }

  result(): Pick<LaterChanges, 'transaction' | 'table' | 'database'> {
    return { transaction: this.own, table: this.table, database: this.database };
  }
}

function addTo(
  sum: { inserted: number; updated: number; deleted: number },
  { inserted, updated, deleted }: Pick<ChangedSince, 'inserted' | 'updated' | 'deleted'>,
): void {
  sum.inserted += inserted;
  sum.updated += updated;
  sum.deleted += deleted;
}

/** Which later transactions touched the rows that a transaction left behind. */
class LaterCommits {
  private readonly follower: RowFollower;
  private touched = new Uint8Array(0);
  private rows = 0;
  private atLeast = false;
  private moved = 0;
  private more = 0;
  private readonly listed: LaterTransaction[] = [];
  private readonly cuts: LaterChanges['cuts'][number][] = [];

  constructor(private readonly order: LaterOrder) {
    const { names, tables, transaction, to } = order;
    this.follower = new RowFollower({
      ...{ names, tables, from: lsnNumber(transaction.commit.lsn) + 1, wereSeen: false },
      committed: (commit) => {
        if (commit.end.time <= to) this.committed(commit);
      },
      cut: (end, rows) => {
        if (end.time <= to) this.cuts.push({ ...told(end), rows });
      },
    });
  }

  /** Takes the versions that the transaction left behind in the table. */
  async begin(): Promise<void> {
    const { transaction, names, tables, places } = this.order;
    for (const { file } of transaction.files) {
      const named = names.ofFile(file);
      if (named === null || !tables.has(named)) continue;
      const left = new Set<number>();
      for await (const { old, new: made } of readChanges(places, file)) {
        if (old !== null) left.delete(placeNumber(old));
        if (made === null) continue;
        if (left.size + this.follower.count >= MOST_FOLLOWED) this.atLeast = true;
        else left.add(placeNumber(made));
      }
      this.follower.follow(file, left);
    }
    this.touched = new Uint8Array(this.follower.count);
  }

  get watcher(): Pick<WalWatcher, 'heap' | 'other' | 'transaction'> {
    return this.follower.watcher;
  }

  private committed({ end, rows, moved }: FollowedCommit): void {
    for (const row of rows) {
      if (this.touched[row] === 0) this.rows++;
      this.touched[row] = 1;
    }
    this.moved += moved;
    this.list({ ...told(end), rows: rows.size });
  }

  /** Those that touched most stay. */
  private list(one: LaterTransaction): void {
    const at = this.listed.findIndex(({ rows }) => rows < one.rows);
    this.listed.splice(at < 0 ? this.listed.length : at, 0, one);
    if (this.listed.length <= LISTED_LATER) return;
    this.listed.pop();
    this.more++;
  }

  result(): Pick<LaterChanges, 'followed' | 'rows' | 'transactions' | 'more' | 'atLeast' | 'cuts' | 'moved'> {
    const { rows, more, atLeast, cuts, moved, follower } = this;
    return { followed: follower.count, rows, transactions: this.listed, more, atLeast, cuts, moved };
  }
}

function told({ xid, time, lsn }: TransactionRecord): Omit<LaterTransaction, 'rows'> {
  return { xid: String(xid), committedAt: instantText(time), lsn: lsnText(lsn) };
}
