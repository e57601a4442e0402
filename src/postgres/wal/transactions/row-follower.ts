/** Follows rows from version to version by their places, from WAL alone. */
import type { WalWatcher } from './list-transactions.js';
import type { HeapRecord } from './record-parser.js';
import type { OtherRecord, RelationFile, TransactionRecord } from './record-text.js';
import type { NamedTable, RelationNames } from './relation-names.js';
import { placeNumber } from './row-place.js';
import { xidPrecedes } from './wal-course.js';

const PARTITION_MOVE = 0x10;

/** What a commit did to rows that are followed, each by its number. */
export interface FollowedCommit {
  readonly end: TransactionRecord;
  readonly rows: ReadonlySet<number>;
  /** Of them: those that it moved to another partition where they were not found. */
  readonly moved: number;
  /** Every UPDATE of them was a HOT one: it changed no value that an ordinary index has. */
  readonly isHot: boolean;
}

/** What is followed, and who is told. */
interface FollowOrder {
  readonly names: RelationNames;
  /** The table, with its partitions. */
  readonly tables: ReadonlySet<NamedTable>;
  /** The rows are where they were just before this position of the WAL. */
  readonly from: number;
  /** Transactions that were open there may have changed them already; false: nobody saw the rows before. */
  readonly wereSeen: boolean;
  readonly committed: (commit: FollowedCommit) => void;
  /** A commit that gave the table another file, or took it away: so many rows of it are followed no more. */
  readonly cut: (end: TransactionRecord, rows: number) => void;
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
  isHot: boolean;
}

/** As much of a record as is kept of what open transactions did before the position. */
type KeptRecord = Pick<
  HeapRecord,
  'kind' | 'lsn' | 'xid' | 'tablespace' | 'database' | 'file' | 'block' | 'offset' | 'newBlock' | 'newOffset' | 'flags'
>;

/**
 * Follows rows from version to version. The place of a version that has ended is used again for other rows, but only after the
 * transaction that ended it is over: what is open is noted apart, and takes effect with its commit.
 */
export class RowFollower {
  private readonly files = new Map<number, Held>();
  private readonly open = new Map<number, Touching>();
  /** By the open transaction that has just ended its version to make one in another partition: the next that it inserts there. */
  private readonly moving = new Map<number, { readonly row: number; readonly from: number }>();
  private early: EarlyRecords | null;
  /** At how many places each row is: of one whose transaction is open at two. */
  private places = new Uint32Array(1024);
  private rows = 0;
  private alive = 0;

  constructor(private readonly order: FollowOrder) {
    this.early = order.wereSeen ? new EarlyRecords((record) => this.isOfTable(record)) : null;
  }

  /** How many rows were to be followed. */
  get count(): number {
    return this.rows;
  }

  /** How many of them are still known; of an open transaction what it deletes too. */
  get left(): number {
    return this.alive;
  }

  /** For what reads the WAL. */
  get watcher(): Required<Pick<WalWatcher, 'heap' | 'other' | 'transaction'>> {
    return {
      heap: (record) => this.heap(record),
      other: (record) => this.other(record),
      transaction: (end) => this.transaction(end),
    };
  }

  /** Rows of a file by their places, each a row of its own. */
  follow(file: RelationFile, places: Iterable<number>): void {
    const held = this.heldOf(file);
    for (const place of places) {
      if (this.rows === this.places.length) {
        const more = new Uint32Array(2 * this.rows);
        more.set(this.places);
        this.places = more;
      }
      this.put(held, place, this.rows++);
      this.early?.follows(file, place);
    }
  }

  private heap(record: HeapRecord): void {
    if (record.lsn < this.order.from) this.early?.note(record);
    else {
      this.begin();
      this.apply(record);
    }
  }

  /** What was open at the position takes effect from there on. */
  private begin(): void {
    const { early } = this;
    this.early = null;
    for (const record of early?.inOrder() ?? []) this.apply(record);
  }

  private apply(record: KeptRecord): void {
    if (record.kind === 'insert' && this.arrived(record)) return;
    const held = this.files.get(record.file);
    if (held === undefined || !isOf(held, record)) return;
    switch (record.kind) {
      case 'insert':
        // The place of a version that is gone.
        return this.drop(held, placeNumber(record));
      case 'update':
      case 'hot-update':
        return this.updated(held, record);
      case 'delete':
        return this.deleted(held, record);
      default:
    }
  }

  private updated(held: Held, record: KeptRecord): void {
    const { xid, kind, newBlock, newOffset } = record;
    const [old, made] = [placeNumber(record), placeNumber({ block: newBlock, offset: newOffset })];
    const row = held.rows.get(old);
    if (row === undefined) return this.drop(held, made);
    const touching = this.of(xid);
    touching.rows.add(row);
    touching.isHot &&= kind === 'hot-update';
    touching.ended.push({ held, place: old });
    touching.made.push({ held, place: made });
    this.put(held, made, row);
  }

  private deleted(held: Held, record: KeptRecord): void {
    const { xid, flags } = record;
    const place = placeNumber(record);
    const row = held.rows.get(place);
    if (row === undefined) return;
    const touching = this.of(xid);
    touching.rows.add(row);
    touching.isHot = false;
    touching.ended.push({ held, place });
    if ((flags & PARTITION_MOVE) === 0) return;
    touching.moved++;
    this.moving.set(xid, { row, from: held.file.file });
  }

  /**
   * Whether a row that is being moved has come to another partition. The server deletes it in the one and inserts it in the other, one after the
   * other; only values that are stored apart come in between.
   */
  private arrived(record: KeptRecord): boolean {
    const { xid, tablespace, database, file } = record;
    const moving = this.moving.get(xid);
    if (moving === undefined || moving.from === file || !this.isOfTable(record)) return false;
    const held = this.heldOf({ tablespace, database, file });
    if (!isOf(held, record)) return false;
    this.moving.delete(xid);
    const [touching, place] = [this.of(xid), placeNumber(record)];
    touching.moved--;
    touching.made.push({ held, place });
    this.put(held, place, moving.row);
    return true;
  }

  private other(record: OtherRecord): void {
    if (record.kind !== 'running') return;
    this.early?.running(record.oldest);
    // Those before have ended, also where a crash has ended them without a record.
    for (const [xid, touching] of this.open)
      if (xidPrecedes(xid, record.oldest)) {
        this.open.delete(xid);
        this.moving.delete(xid);
        this.forget(touching.made);
      }
  }

  private transaction(end: TransactionRecord): void {
    if (end.lsn < this.order.from) {
      this.early?.ended(end);
      return;
    }
    this.begin();
    const parts = [end.xid, ...end.subxacts].flatMap((xid) => {
      const part = this.open.get(xid);
      this.open.delete(xid);
      this.moving.delete(xid);
      return part ?? [];
    });
    if (end.kind === 'abort') {
      for (const { made } of parts) this.forget(made);
      return;
    }
    for (const { ended } of parts) this.forget(ended);
    const rows = new Set(parts.flatMap((part) => [...part.rows]));
    if (rows.size > 0)
      this.order.committed({
        ...{ end, rows, isHot: parts.every(({ isHot }) => isHot) },
        moved: parts.reduce((sum, { moved }) => sum + moved, 0),
      });
    for (const file of end.files) this.cut(end, file);
  }

  private cut(end: TransactionRecord, file: RelationFile): void {
    const held = this.files.get(file.file);
    if (held === undefined || !isOf(held, file)) return;
    const { size } = held.rows;
    for (const place of held.rows.keys()) this.drop(held, place);
    this.files.delete(file.file);
    this.order.cut(end, size);
  }

  private put(held: Held, place: number, row: number): void {
    this.drop(held, place);
    held.rows.set(place, row);
    if ((this.places[row] ?? 0) === 0) this.alive++;
    this.places[row] = (this.places[row] ?? 0) + 1;
  }

  private drop(held: Held, place: number): void {
    const row = held.rows.get(place);
    if (row === undefined) return;
    held.rows.delete(place);
    this.places[row] = (this.places[row] ?? 0) - 1;
    if (this.places[row] === 0) this.alive--;
  }

  private forget(places: Touching['made']): void {
    for (const { held, place } of places) this.drop(held, place);
  }

  private heldOf(file: RelationFile): Held {
    const held = this.files.get(file.file) ?? { file, rows: new Map<number, number>() };
    this.files.set(file.file, held);
    return held;
  }

  private isOfTable({ tablespace, database, file }: RelationFile): boolean {
    const named = this.order.names.ofFile({ tablespace, database, file });
    return named !== null && this.order.tables.has(named) && named.kind === 'table';
  }

  private of(xid: number): Touching {
    const touching = this.open.get(xid) ?? { rows: new Set<number>(), ended: [], made: [], moved: 0, isHot: true };
    this.open.set(xid, touching);
    return touching;
  }
}

/**
 * What is done to the rows before the position by transactions that may end after it: the rows are followed from there on, and such a
 * transaction has changed its rows already. What ended before is in the rows as they were found.
 */
class EarlyRecords {
  private readonly kept = new Map<number, KeptRecord[]>();
  /** Of rows that are followed, and of versions that were made from them. */
  private readonly places = new Set<string>();
  private readonly moving = new Set<number>();

  constructor(private readonly isOfTable: (file: RelationFile) => boolean) {}

  follows(file: RelationFile, place: number): void {
    this.places.add(keyOf(file, place));
  }

  note(record: HeapRecord): void {
    const { kind, xid, newBlock, newOffset, flags } = record;
    if (kind === 'insert') {
      if (!this.moving.has(xid) || !this.isOfTable(record)) return;
      this.moving.delete(xid);
      this.places.add(keyOf(record, placeNumber(record)));
      return this.keep(record);
    }
    const isUpdate = kind === 'update' || kind === 'hot-update';
    if (!isUpdate && kind !== 'delete') return;
    if (!this.places.has(keyOf(record, placeNumber(record)))) return;
    if (isUpdate) this.places.add(keyOf(record, placeNumber({ block: newBlock, offset: newOffset })));
    else if ((flags & PARTITION_MOVE) !== 0) this.moving.add(xid);
    this.keep(record);
  }

  ended({ xid, subxacts }: TransactionRecord): void {
    for (const one of [xid, ...subxacts]) this.kept.delete(one);
  }

  running(oldest: number): void {
    for (const xid of this.kept.keys()) if (xidPrecedes(xid, oldest)) this.kept.delete(xid);
  }

  inOrder(): readonly KeptRecord[] {
    return [...this.kept.values()].flat().toSorted((a, b) => a.lsn - b.lsn);
  }

  /** The parser fills one object again and again. */
  private keep(record: HeapRecord): void {
    const { kind, lsn, xid, tablespace, database, file, block, offset, newBlock, newOffset, flags } = record;
    const own = this.kept.get(xid) ?? [];
    this.kept.set(xid, own);
    own.push({ kind, lsn, xid, tablespace, database, file, block, offset, newBlock, newOffset, flags });
  }
}

const keyOf = ({ tablespace, database, file }: RelationFile, place: number): string =>
  `${tablespace}/${database}/${file}/${place}`;

function isOf({ file }: Held, { tablespace, database }: Pick<RelationFile, 'tablespace' | 'database'>): boolean {
  return file.tablespace === tablespace && file.database === database;
}
