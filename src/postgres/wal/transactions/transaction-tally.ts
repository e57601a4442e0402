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

/** What a transaction did besides changes of rows. */
class Besides {
  readonly begun: RelationFile[] = [];
  readonly emptied: RelationFile[] = [];
  readonly locked: { database: number; table: number }[] = [];
  readonly truncated: number[] = [];
  readonly droppedDatabases: number[] = [];
}

/** Of the most, which do nothing besides. */
const NOTHING_BESIDES: { readonly [Key in keyof Besides]: readonly Besides[Key][number][] } = new Besides();

/** A transaction that changes more files has them found by a map, which would be most of the memory of a small one. */
const FEW_FILES = 8;

/** What an open transaction, or a part of one, has done so far. */
class Open {
  readonly counts: Counts[] = [];
  private byFile: Map<RelationFile, Counts> | null = null;
  private did: Besides | null = null;

  /** @param file the same object for the same file */
  countsOf(file: RelationFile): Counts {
    const known =
      this.counts.length <= FEW_FILES ? this.counts.find((one) => one.file === file) : this.mapped().get(file);
    if (known !== undefined) return known;
    const made = { file, inserted: 0, updated: 0, deleted: 0, moved: 0 };
    this.counts.push(made);
    this.byFile?.set(file, made);
    return made;
  }

  private mapped(): Map<RelationFile, Counts> {
    return (this.byFile ??= new Map(this.counts.map((one) => [one.file, one])));
  }

  get besides(): typeof NOTHING_BESIDES {
    return this.did ?? NOTHING_BESIDES;
  }

  /** To be added to. */
  get added(): Besides {
    return (this.did ??= new Besides());
  }

  get rows(): number {
    let rows = 0;
    for (const { inserted, updated, deleted } of this.counts) rows += inserted + updated + deleted;
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
  private readonly files = new Files();
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
      open.added.truncated.push(...record.relids());
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
        const { begun, emptied } = this.of(xid).added;
        const files = record.kind === 'file-created' ? begun : emptied;
        files.push({ tablespace, database, file });
        return;
      }
      case 'table-locked':
        this.of(record.xid).added.locked.push({ database: record.database, table: record.table });
        return;
      case 'database-dropped':
        this.of(record.xid).added.droppedDatabases.push(record.database);
    }
  }

  transaction(end: TransactionRecord): void {
    const whole = this.take(end.xid) ?? NOTHING;
    const parts = end.subxacts.length === 0 ? [] : end.subxacts.flatMap((xid) => this.take(xid) ?? []);
    this.last = null;
    this.lastXid = -1;
    if (end.kind === 'abort') return;
    const { counts, besides } = parts.length === 0 ? whole : joined([whole, ...parts]);
    const { begun, emptied, locked, truncated, droppedDatabases } = besides;
    const { since } = this;
    const atLeast = since === null || xidPrecedes(end.xid, since);
    this.committed({ end, counts, begun, emptied, locked, truncated, droppedDatabases, atLeast });
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
    const counts = open.countsOf(this.files.known(record));
    this.lastCounts = counts;
    return counts;
  }
}

/** What the parts of a transaction did, as one. */
function joined(parts: readonly Open[]): Open {
  const all = new Open();
  for (const part of parts) {
    for (const { file, inserted, updated, deleted, moved } of part.counts) {
      const sum = all.countsOf(file);
      sum.inserted += inserted;
      sum.updated += updated;
      sum.deleted += deleted;
      sum.moved += moved;
    }
    const { begun, emptied, locked, truncated, droppedDatabases } = all.added;
    begun.push(...part.besides.begun);
    emptied.push(...part.besides.emptied);
    locked.push(...part.besides.locked);
    truncated.push(...part.besides.truncated);
    droppedDatabases.push(...part.besides.droppedDatabases);
  }
  return all;
}

function isSame(file: RelationFile, other: RelationFile): boolean {
  return file.file === other.file && file.database === other.database && file.tablespace === other.tablespace;
}

/** One object for each file: keys of text would be made for each of millions of records. */
class Files {
  private readonly byNumber = new Map<number, RelationFile[]>();

  known({ tablespace, database, file }: RelationFile): RelationFile {
    const wanted = { tablespace, database, file };
    const candidates = this.byNumber.get(file);
    const known = candidates?.find((one) => isSame(one, wanted));
    if (known !== undefined) return known;
    if (candidates === undefined) this.byNumber.set(file, [wanted]);
    else candidates.push(wanted);
    return wanted;
  }
}
