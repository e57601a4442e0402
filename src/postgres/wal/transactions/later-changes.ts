/**
 * What came after a transaction, from WAL alone and in one pass: which later transactions touched the rows that it has written, and how
 * much was done since in its table and in its database. A row is followed from version to version by its place.
 */
import type { ChangedSince, LaterTransaction } from '../../../domain/table/blast-radius.js';
import type { MissingWal, WalTransaction } from '../../../domain/operation/wal-transactions.js';
import type { WalReader } from '../wal-archive.js';
import { instantText } from './instants.js';
import { type Listed, listTransactions, type WalWatcher } from './list-transactions.js';
import type { HeapRecord } from './record-parser.js';
import type { OtherRecord, RelationFile, TransactionRecord } from './record-text.js';
import { isSystemFile, type NamedTable, type RelationNames } from './relation-names.js';
import { lsnNumber, lsnText } from './scan-records.js';
import { readChanges, type RowPlace, type TransactionChanges } from './transaction-changes.js';
import type { Tallied } from './transaction-tally.js';
import { type Course, xidPrecedes } from './wal-course.js';
import { WorstTransactions } from './worst-transactions.js';

/** So many rows are followed: some 100 bytes of memory each. */
const MOST_FOLLOWED = 1_000_000;
/** So many later transactions are named. */
const LISTED_LATER = 50;
/** Before its commit, so that what ended at the same time is read whole. */
const MARGIN_MICROSECONDS = 5_000_000;
const PARTITION_MOVE = 0x10;

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
  const follower = new RowFollower(order);
  await follower.begin();
  const totals = new Totals(order);
  const watcher: WalWatcher = {
    heap: (record) => follower.heap(record),
    other: (record) => follower.other(record),
    transaction: (end) => follower.transaction(end),
    committed: (tallied) => totals.add(tallied),
  };
  const span = { from: transaction.commit.time - MARGIN_MICROSECONDS, to: order.to, minRows: 1, limit: 1 };
  const listed: Listed = await listTransactions(context, course, names, span, isWhole, watcher);
  return { ...totals.result(), ...follower.result(), missing: listed.missing };
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

/** Rows of one file, by the places of their versions. */
interface Held {
  readonly file: RelationFile;
  readonly rows: Map<number, number>;
}

/** What an open transaction, or a part of one, has done to rows that are followed. */
interface Touching {
  readonly rows: Set<number>;
  /** Places whose versions end with it, and those of versions that it made. */
  readonly ended: { readonly held: Held; readonly place: number }[];
  readonly made: { readonly held: Held; readonly place: number }[];
  moved: number;
}

/** More than the offsets of a page of 32 kB. */
const OFFSETS = 4096;
const placeNumber = (block: number, offset: number): number => block * OFFSETS + offset;

/**
 * Follows rows from version to version. The place of a version that has ended is used again for other rows, but only after the
 * transaction that ended it is over: what is open is noted apart, and takes effect with its commit.
 */
class RowFollower {
  private readonly files = new Map<number, Held>();
  private readonly open = new Map<number, Touching>();
  /** By the open transaction that has just ended its version to make one in another partition: the next that it inserts there. */
  private readonly moving = new Map<number, { readonly row: number; readonly from: number }>();
  private readonly commitLsn: number;
  private touched = new Uint8Array(0);
  private followed = 0;
  private rows = 0;
  private atLeast = false;
  private moved = 0;
  private more = 0;
  private readonly listed: LaterTransaction[] = [];
  private readonly cuts: LaterChanges['cuts'][number][] = [];

  constructor(private readonly order: LaterOrder) {
    this.commitLsn = lsnNumber(order.transaction.commit.lsn);
  }

  /** Takes the versions that the transaction left behind in the table. */
  async begin(): Promise<void> {
    const { transaction, names, tables, places } = this.order;
    for (const { file } of transaction.files) {
      const named = names.ofFile(file);
      if (named === null || !tables.has(named)) continue;
      const held: Held = { file, rows: new Map() };
      this.files.set(file.file, held);
      for await (const { old, new: made } of readChanges(places, file)) {
        if (old !== null) held.rows.delete(numberOf(old));
        if (made === null) continue;
        if (held.rows.size + this.followed >= MOST_FOLLOWED) this.atLeast = true;
        else held.rows.set(numberOf(made), 0);
      }
      for (const place of held.rows.keys()) held.rows.set(place, this.followed++);
    }
    this.touched = new Uint8Array(this.followed);
  }

  heap(record: HeapRecord): void {
    if (record.kind === 'insert' && this.arrived(record)) return;
    const held = this.files.get(record.file);
    if (held === undefined || record.lsn <= this.commitLsn || !isOf(held, record)) return;
    const { kind, block, offset } = record;
    switch (kind) {
      case 'insert':
        // The place of a version that is gone.
        held.rows.delete(placeNumber(block, offset));
        return;
      case 'update':
      case 'hot-update':
        return this.updated(held, record);
      case 'delete':
        return this.deleted(held, record);
      default:
    }
  }

  private updated(held: Held, { xid, block, offset, newBlock, newOffset }: HeapRecord): void {
    const [old, made] = [placeNumber(block, offset), placeNumber(newBlock, newOffset)];
    const row = held.rows.get(old);
    if (row === undefined) {
      held.rows.delete(made);
      return;
    }
    const touching = this.of(xid);
    touching.rows.add(row);
    touching.ended.push({ held, place: old });
    touching.made.push({ held, place: made });
    held.rows.set(made, row);
  }

  private deleted(held: Held, { xid, block, offset, flags }: HeapRecord): void {
    const place = placeNumber(block, offset);
    const row = held.rows.get(place);
    if (row === undefined) return;
    const touching = this.of(xid);
    touching.rows.add(row);
    touching.ended.push({ held, place });
    if ((flags & PARTITION_MOVE) === 0) return;
    touching.moved++;
    this.moving.set(xid, { row, from: held.file.file });
  }

  /**
   * Whether a row that is being moved has come to another partition. The server deletes it in the one and inserts it in the other, one after the
   * other; only values that are stored apart come in between.
   */
  private arrived({ xid, tablespace, database, file, block, offset }: HeapRecord): boolean {
    const moving = this.moving.get(xid);
    if (moving === undefined || moving.from === file) return false;
    const relation: RelationFile = { tablespace, database, file };
    const named = this.order.names.ofFile(relation);
    if (named === null || !this.order.tables.has(named) || named.kind !== 'table') return false;
    const held = this.files.get(file) ?? { file: relation, rows: new Map<number, number>() };
    if (!isOf(held, relation)) return false;
    this.files.set(file, held);
    this.moving.delete(xid);
    const [touching, place] = [this.of(xid), placeNumber(block, offset)];
    touching.moved--;
    touching.made.push({ held, place });
    held.rows.set(place, moving.row);
    return true;
  }

  other(record: OtherRecord): void {
    if (record.kind !== 'running') return;
    // Those before have ended, also where a crash has ended them without a record.
    for (const [xid, touching] of this.open)
      if (xidPrecedes(xid, record.oldest)) {
        this.open.delete(xid);
        this.moving.delete(xid);
        forget(touching.made);
      }
  }

  transaction(end: TransactionRecord): void {
    const parts = [end.xid, ...end.subxacts].flatMap((xid) => {
      const part = this.open.get(xid);
      this.open.delete(xid);
      this.moving.delete(xid);
      return part ?? [];
    });
    if (end.kind === 'abort') {
      for (const { made } of parts) forget(made);
      return;
    }
    if (end.lsn <= this.commitLsn) return;
    const counts = end.time <= this.order.to;
    if (counts) this.committed(end, parts);
    for (const { ended } of parts) forget(ended);
    for (const file of end.files) this.cut(end, file, counts);
  }

  private committed(end: TransactionRecord, parts: readonly Touching[]): void {
    const rows = new Set(parts.flatMap((part) => [...part.rows]));
    if (rows.size === 0) return;
    for (const row of rows) {
      if (this.touched[row] === 0) this.rows++;
      this.touched[row] = 1;
    }
    for (const { moved } of parts) this.moved += moved;
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

  private cut(end: TransactionRecord, file: RelationFile, counts: boolean): void {
    const held = this.files.get(file.file);
    if (held === undefined || !isOf(held, file)) return;
    this.files.delete(file.file);
    if (counts) this.cuts.push({ ...told(end), rows: held.rows.size });
  }

  private of(xid: number): Touching {
    const touching = this.open.get(xid) ?? { rows: new Set<number>(), ended: [], made: [], moved: 0 };
    this.open.set(xid, touching);
    return touching;
  }

  result(): Pick<LaterChanges, 'followed' | 'rows' | 'transactions' | 'more' | 'atLeast' | 'cuts' | 'moved'> {
    const { followed, rows, more, atLeast, cuts, moved } = this;
    return { followed, rows, transactions: this.listed, more, atLeast, cuts, moved };
  }
}

const numberOf = ({ block, offset }: RowPlace): number => placeNumber(block, offset);

function told({ xid, time, lsn }: TransactionRecord): Omit<LaterTransaction, 'rows'> {
  return { xid: String(xid), committedAt: instantText(time), lsn: lsnText(lsn) };
}

function isOf({ file }: Held, { tablespace, database }: Pick<RelationFile, 'tablespace' | 'database'>): boolean {
  return file.tablespace === tablespace && file.database === database;
}

function forget(places: Touching['made']): void {
  for (const { held, place } of places) held.rows.delete(place);
}
