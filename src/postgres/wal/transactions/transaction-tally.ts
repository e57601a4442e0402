import type { HeapRecord } from './record-parser.js';
import type { OtherRecord, RelationFile, TransactionRecord } from './record-text.js';
import { xidPrecedes } from './wal-course.js';

/** Rows of one file. */
export interface Counts {
  readonly file: RelationFile;
  inserted: number;
  updated: number;
  deleted: number;
  /** Of the deleted ones: moved to another partition. */
  moved: number;
}

/** A transaction that was committed, with all that its parts did. */
export interface Tallied {
  readonly end: TransactionRecord;
  readonly counts: readonly Counts[];
  /** Files that it began. */
  readonly begun: readonly RelationFile[];
  /** Files that it emptied. */
  readonly emptied: readonly RelationFile[];
  /** Tables that it locked exclusively, in order. */
  readonly locked: readonly { readonly database: number; readonly table: number }[];
  /** Tables (OIDs) that it truncated, where the WAL says so. */
  readonly truncated: readonly number[];
  readonly droppedDatabases: readonly number[];
  /** It began before the WAL that was read, or may have. */
  readonly atLeast: boolean;
}

/** What an open transaction, or a part of one, has done so far. */
class Open {
  readonly counts = new Map<number, Counts>();
  readonly begun: RelationFile[] = [];
  readonly emptied: RelationFile[] = [];
  readonly locked: { database: number; table: number }[] = [];
  readonly truncated: number[] = [];
  readonly droppedDatabases: number[] = [];

  get rows(): number {
    let rows = 0;
    for (const { inserted, updated, deleted } of this.counts.values()) rows += inserted + updated + deleted;
    return rows;
  }
}

/** Of a transaction that changed nothing that is counted. */
const NOTHING = new Open();
const SUPER_DELETE = 0x08;
const PARTITION_MOVE = 0x10;

/** Counts what open transactions do, and hands each on when it commits. What was rolled back is forgotten. */
export class TransactionTally {
  private readonly open = new Map<number, Open>();
  private readonly files = new FileNumbers();
  /** All of the transactions from this id on is read; null: not known yet. */
  private since: number | null;
  // Most records are of the transaction and the table of the one before.
  private last: Open | null = null;
  private lastXid = -1;
  private lastCounts: Counts | null = null;

  /** @param since of transactions from this id on everything is read; null: the WAL will tell */
  constructor(
    private readonly committed: (transaction: Tallied) => void,
    since: number | null,
  ) {
    this.since = since;
  }

  /** WAL is missing here: of what is under way nothing is known for sure. */
  interrupt(): void {
    this.since = null;
  }

  heap(record: HeapRecord): void {
    const { kind } = record;
    if (record.xid === 0 || kind === 'lock' || kind === 'inplace') return;
    const open = this.of(record.xid);
    if (kind === 'truncate') {
      open.truncated.push(...record.relids());
      return;
    }
    const counts = this.countsOf(open, record);
    switch (kind) {
      case 'insert':
      case 'multi-insert':
        counts.inserted += record.rows;
        return;
      case 'delete':
        // An INSERT ... ON CONFLICT takes its own row back where another one was faster.
        if ((record.flags & SUPER_DELETE) !== 0) counts.inserted--;
        else counts.deleted++;
        if ((record.flags & PARTITION_MOVE) !== 0) counts.moved++;
        return;
      default:
        counts.updated++;
    }
  }

  other(record: OtherRecord): void {
    switch (record.kind) {
      case 'running':
        return this.running(record.oldest, record.next);
      case 'file-created':
      case 'file-truncated': {
        const { xid, tablespace, database, file } = record;
        // VACUUM cuts files too, in no transaction.
        if (xid === 0) return;
        const files = record.kind === 'file-created' ? this.of(xid).begun : this.of(xid).emptied;
        files.push({ tablespace, database, file });
        return;
      }
      case 'table-locked':
        this.of(record.xid).locked.push({ database: record.database, table: record.table });
        return;
      case 'database-dropped':
        this.of(record.xid).droppedDatabases.push(record.database);
    }
  }

  transaction(end: TransactionRecord): void {
    const whole = this.take(end.xid) ?? NOTHING;
    const parts = end.subxacts.flatMap((xid) => this.take(xid) ?? []);
    this.last = null;
    this.lastXid = -1;
    if (end.kind === 'abort') return;
    const { counts, begun, emptied, locked, truncated, droppedDatabases } =
      parts.length === 0 ? whole : joined([whole, ...parts]);
    const { since } = this;
    const atLeast = since === null || xidPrecedes(end.xid, since);
    const sums = [...counts.values()];
    this.committed({ end, counts: sums, begun, emptied, locked, truncated, droppedDatabases, atLeast });
  }

  private take(xid: number): Open | undefined {
    const open = this.open.get(xid);
    this.open.delete(xid);
    return open;
  }

  /** Those that are under way, with the rows that they have changed. */
  underWay(): readonly { readonly xid: number; readonly rows: number }[] {
    return [...this.open].map(([xid, { rows }]) => ({ xid, rows })).filter(({ rows }) => rows > 0);
  }

  private running(oldest: number, next: number): void {
    this.since ??= next;
    // Those before have ended, also where a crash has ended them without a record.
    for (const xid of this.open.keys()) if (xidPrecedes(xid, oldest)) this.open.delete(xid);
    this.last = null;
    this.lastXid = -1;
  }

  private of(xid: number): Open {
    if (xid === this.lastXid && this.last !== null) return this.last;
    const open = this.open.get(xid) ?? new Open();
    this.open.set(xid, open);
    this.last = open;
    this.lastXid = xid;
    this.lastCounts = null;
    return open;
  }

  private countsOf(open: Open, record: HeapRecord): Counts {
    const last = this.lastCounts;
    if (last !== null && isSame(last.file, record)) return last;
    const number = this.files.numberOf(record);
    const counts = open.counts.get(number) ?? newCounts(this.files.file(number));
    open.counts.set(number, counts);
    this.lastCounts = counts;
    return counts;
  }
}

function newCounts(file: RelationFile): Counts {
  return { file, inserted: 0, updated: 0, deleted: 0, moved: 0 };
}

/** What the parts of a transaction did, as one. */
function joined(parts: readonly Open[]): Open {
  const all = new Open();
  for (const part of parts) {
    for (const [number, { file, inserted, updated, deleted, moved }] of part.counts) {
      const sum = all.counts.get(number) ?? newCounts(file);
      sum.inserted += inserted;
      sum.updated += updated;
      sum.deleted += deleted;
      sum.moved += moved;
      all.counts.set(number, sum);
    }
    all.begun.push(...part.begun);
    all.emptied.push(...part.emptied);
    all.locked.push(...part.locked);
    all.truncated.push(...part.truncated);
    all.droppedDatabases.push(...part.droppedDatabases);
  }
  return all;
}

function isSame(file: RelationFile, other: RelationFile): boolean {
  return file.file === other.file && file.database === other.database && file.tablespace === other.tablespace;
}

/** A number for each file: keys of text would be made for each of millions of records. */
class FileNumbers {
  private readonly known: RelationFile[] = [];
  private readonly byFile = new Map<number, number[]>();

  numberOf({ tablespace, database, file }: RelationFile): number {
    const candidates = this.byFile.get(file);
    if (candidates !== undefined)
      for (const number of candidates) if (isSame(this.file(number), { tablespace, database, file })) return number;
    const number = this.known.push({ tablespace, database, file }) - 1;
    if (candidates === undefined) this.byFile.set(file, [number]);
    else candidates.push(number);
    return number;
  }

  file(number: number): RelationFile {
    return this.known[number] as RelationFile;
  }
}
