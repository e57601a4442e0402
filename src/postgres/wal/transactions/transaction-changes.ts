/**
 * What one transaction did to which rows, from WAL alone: each row version that it ended and each that it made, by its place
 * (file of the table, block, offset), in the order of the WAL, with those of its subtransactions that were committed with it.
 */
import { closeSync, createReadStream, fsyncSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { RepriseError } from '../../../domain/errors.js';
import type { WalReader } from '../wal-archive.js';
import type { HeapRecord } from './record-parser.js';
import type { OtherRecord, RelationFile, TransactionRecord } from './record-text.js';
import { lsnText, scanRecords } from './scan-records.js';
import type { StagedWal } from './staged-wal.js';
import type { RowPlace } from './row-place.js';
import { beginningOf, type Beginning, type Course, Glances, type Run, runsOf } from './wal-course.js';

/** One row version that a transaction ended, made, or both. */
export interface RowChange {
  /** `moved`: deleted from a partition by an UPDATE, which inserts it into another one. */
  readonly kind: 'insert' | 'update' | 'delete' | 'moved';
  readonly file: RelationFile;
  /** The version before; null for an insert. It may be one that the same transaction has made. */
  readonly old: RowPlace | null;
  /** The version after; null for a delete. It may be ended later by the same transaction. */
  readonly new: RowPlace | null;
}

/** Rows of one table, and whether they are all that the transaction did to it. */
export interface FileChanges {
  readonly file: RelationFile;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

export interface TransactionChanges {
  /** As the WAL has it, 32 bits. */
  readonly xid: number;
  /** Committed with it. */
  readonly subxacts: readonly number[];
  readonly commit: {
    /** Where its record begins: a recovery to this position, inclusive, has the transaction, exclusive it has not. */
    readonly lsn: string;
    /** Microseconds since 1970. */
    readonly time: number;
    readonly prepared: boolean;
  };
  readonly files: readonly FileChanges[];
  /**
   * Whether the changes are all that it did. False where it was under way already at the beginning of the WAL, or where WAL is
   * missing before its commit: rows are missing then.
   */
  readonly whole: boolean;
  /** Files that it began: a new table, TRUNCATE, a rewrite. */
  readonly begun: readonly RelationFile[];
  /** Files that ended with it: DROP, TRUNCATE, a rewrite. */
  readonly ended: readonly RelationFile[];
  /** Files that it emptied: TRUNCATE of a table that it had made itself. */
  readonly emptied: readonly RelationFile[];
  /** Tables (OIDs, `database/oid`) that it locked exclusively, as DROP, TRUNCATE and most of ALTER TABLE do. */
  readonly locked: readonly string[];
  /** Databases (OIDs) that it dropped. */
  readonly droppedDatabases: readonly number[];
}

/**
 * Why the rows in the WAL are not all that a transaction did to a table, so that the whole table has to be compared: null where
 * they are. `before` and `after`: its files before the transaction and after it.
 */
export function notInRows(
  { whole, begun, ended, emptied }: TransactionChanges,
  { before, after }: { readonly before: RelationFile | null; readonly after: RelationFile | null },
): 'wal-missing' | 'file-replaced' | null {
  const has = (files: readonly RelationFile[], file: RelationFile | null): boolean =>
    file !== null && files.some((one) => fileKey(one) === fileKey(file));
  if (has(ended, before) || has(begun, after) || has(emptied, before) || has(emptied, after)) return 'file-replaced';
  return whole ? null : 'wal-missing';
}

/** Where the WAL of a transaction is. */
interface Found {
  readonly begin: Beginning | null;
  readonly end: TransactionRecord;
}

/**
 * Calls `take` with every row version that a committed transaction ended or made.
 * @param xid as PostgreSQL shows it, with or without the epoch; of a subtransaction: refused, with the id of its transaction
 * @throws RepriseError `not-found` where the WAL does not hold its commit; `conflict` where it was rolled back, or is a part
 */
export async function tableChangesOf(
  context: WalReader,
  course: Course,
  xid: string,
  take: (change: RowChange) => void,
): Promise<TransactionChanges> {
  const wanted = Number(BigInt(xid) & 0xffff_ffffn);
  const found = await findEnd(context, course, wanted);
  const gather = new Gather(found.end, take);
  const segments = course.segments.slice(found.begin?.index ?? 0);
  const runs = runsOf(segments);
  let whole = found.begin !== null;
  for (const run of runs) {
    const { damaged, ended } = await scanRecords(
      context,
      course.source,
      { segments: run, ...from(found.begin, run, segments), phase: 'read the changes of the transaction' },
      {
        heap: (record, wal) => gather.heap(record, wal),
        transaction: ({ lsn }) => gather.reach(lsn),
        other: (record) => gather.other(record),
        goesOn: () => !gather.done,
      },
    );
    if (gather.done) break;
    whole &&= damaged === null && !ended && run === runs.at(-1);
  }
  return gather.result(whole);
}

function from(begin: Beginning | null, run: Run, segments: readonly unknown[]): { from?: number } {
  return begin !== null && run[0] === segments[0] ? { from: begin.lsn } : {};
}

/** Reads only ends of transactions, from where it can have begun on. */
async function findEnd(context: WalReader, course: Course, xid: number): Promise<Found> {
  const begin = await beginningOf(new Glances(context, course), course, xid);
  const segments = course.segments.slice(begin?.index ?? 0);
  let end: TransactionRecord | null = null;
  let unread: string | null = null;
  for (const run of runsOf(segments)) {
    const { damaged } = await scanRecords(
      context,
      course.source,
      {
        segments: run,
        ...from(begin, run, segments),
        managers: ['Transaction'],
        phase: 'search for the end of the transaction',
      },
      {
        transaction: (record) => {
          if (record.xid === xid || record.subxacts.includes(xid)) end ??= record;
        },
        goesOn: () => end === null,
      },
    );
    if (end !== null) return { begin, end: requireCommit(end, xid) };
    unread ??= damaged?.name ?? null;
  }
  if (unread !== null)
    throw new RepriseError(
      'wal-gap',
      `no end of transaction ${xid} was found in the WAL, of which segment ${unread} cannot be read`,
      'verify the archive of the policy, or put a good copy of the segment into it; name a good and a bad instant instead: --good TARGET --bad TARGET',
    );
  throw new RepriseError(
    'not-found',
    `the WAL holds no end of transaction ${xid}`,
    'see which transactions it holds: reprise wal transactions CLUSTER --from TIME --to TIME',
  );
}

function requireCommit(end: TransactionRecord, xid: number): TransactionRecord {
  if (end.kind === 'abort')
    throw new RepriseError(
      'conflict',
      `transaction ${xid} was rolled back: it changed nothing`,
      'name one that was committed',
    );
  if (end.xid !== xid)
    throw new RepriseError(
      'conflict',
      `transaction ${xid} is a part (a savepoint) of transaction ${end.xid}`,
      `name the whole: ${end.xid}`,
    );
  return end;
}

const SUPER_DELETE = 0x08;
const PARTITION_MOVE = 0x10;

class Gather {
  done = false;
  private readonly xids: ReadonlySet<number>;
  private readonly files = new Map<
    string,
    { file: RelationFile; inserted: number; updated: number; deleted: number }
  >();
  private readonly begun: RelationFile[] = [];
  private readonly emptied: RelationFile[] = [];
  private readonly locked = new Set<string>();
  private readonly droppedDatabases: number[] = [];

  constructor(
    private readonly end: TransactionRecord,
    private readonly take: (change: RowChange) => void,
  ) {
    this.xids = new Set([end.xid, ...end.subxacts]);
  }

  reach(lsn: number): void {
    if (lsn >= this.end.lsn) this.done = true;
  }

  heap(record: HeapRecord, wal: StagedWal): void {
    if (!this.xids.has(record.xid) || this.done) return;
    const { kind, tablespace, database, block, offset, newBlock, newOffset, flags } = record;
    const file = { tablespace, database, file: record.file };
    const old = { block, offset };
    const counted = this.counted(file);
    switch (kind) {
      case 'insert':
        counted.inserted++;
        return this.take({ kind: 'insert', file, old: null, new: old });
      case 'multi-insert':
        counted.inserted += record.rows;
        for (const at of offsetsOf(record, wal))
          this.take({ kind: 'insert', file, old: null, new: { block, offset: at } });
        return;
      case 'update':
      case 'hot-update':
        counted.updated++;
        return this.take({ kind: 'update', file, old, new: { block: newBlock, offset: newOffset } });
      case 'delete':
        // An INSERT ... ON CONFLICT took its own row back, because another one was faster.
        if ((flags & SUPER_DELETE) === 0) counted.deleted++;
        else counted.inserted--;
        return this.take({ kind: (flags & PARTITION_MOVE) === 0 ? 'delete' : 'moved', file, old, new: null });
      default:
    }
  }

  other(record: OtherRecord): void {
    if (!('xid' in record) || !this.xids.has(record.xid) || this.done) return;
    const { kind } = record;
    if (kind === 'file-created' || kind === 'file-truncated') {
      const { tablespace, database, file } = record;
      (kind === 'file-created' ? this.begun : this.emptied).push({ tablespace, database, file });
    }
    if (kind === 'table-locked') this.locked.add(`${record.database}/${record.table}`);
    if (kind === 'database-dropped') this.droppedDatabases.push(record.database);
  }

  result(whole: boolean): TransactionChanges {
    const { xid, subxacts, lsn, time, prepared, files } = this.end;
    return {
      ...{ xid, subxacts, whole },
      commit: { lsn: lsnText(lsn), time, prepared },
      files: [...this.files.values()],
      ...{ begun: this.begun, ended: files, emptied: this.emptied },
      ...{ locked: [...this.locked], droppedDatabases: this.droppedDatabases },
    };
  }

  private counted(file: RelationFile): { inserted: number; updated: number; deleted: number } {
    const key = fileKey(file);
    const known = this.files.get(key) ?? { file, inserted: 0, updated: 0, deleted: 0 };
    this.files.set(key, known);
    return known;
  }
}

function fileKey({ tablespace, database, file }: RelationFile): string {
  return `${tablespace}/${database}/${file}`;
}

/** Bytes of a multi-insert's own data before its offsets: flags, a hole, and how many. */
const BEFORE_OFFSETS = 4;

/** Where a multi-insert put its rows: as printed, else read from the record itself, whose last bytes they are. */
function offsetsOf(record: HeapRecord, wal: StagedWal): readonly number[] {
  const printed = record.offsets();
  if (printed !== null) return printed;
  const { rows } = record;
  const data = wal.recordTail(record.lsn, record.length, BEFORE_OFFSETS + 2 * rows);
  const counted = data.readUInt16LE(2);
  if (counted !== rows)
    throw new RepriseError(
      'wal-gap',
      `the record at ${lsnText(record.lsn)} is not as pg_waldump prints it`,
      'verify the archive of the policy',
    );
  return Array.from({ length: rows }, (_, index) => data.readUInt16LE(BEFORE_OFFSETS + 2 * index));
}

const LETTERS = { insert: 'i', update: 'u', delete: 'd', moved: 'm' } as const;
const KINDS = { i: 'insert', u: 'update', d: 'delete', m: 'moved' } as const;

/**
 * The same into a file, for transactions of millions of rows: a line for each change, read again by {@link readChanges}. The
 * file is made anew, for its owner alone.
 */
export async function writeChanges(
  context: WalReader,
  course: Course,
  xid: string,
  path: string,
): Promise<TransactionChanges> {
  const file = openSync(path, 'wx', 0o600);
  try {
    let lines = '';
    const write = (): void => {
      writeSync(file, lines);
      lines = '';
    };
    const result = await tableChangesOf(context, course, xid, (change) => {
      lines += lineOf(change);
      if (lines.length > WRITTEN_AT_ONCE) write();
    });
    write();
    fsyncSync(file);
    return result;
  } finally {
    closeSync(file);
  }
}

const WRITTEN_AT_ONCE = 256 * 1024;

function lineOf({ kind, file, old, new: made }: RowChange): string {
  const place = (one: RowPlace | null): string => (one === null ? '-' : `${one.block},${one.offset}`);
  return `${LETTERS[kind]} ${fileKey(file)} ${place(old)} ${place(made)}\n`;
}

/** Reads what {@link writeChanges} wrote, in order; of one file of a table only, where that is named. */
export async function* readChanges(path: string, only?: RelationFile): AsyncGenerator<RowChange> {
  const wanted = only === undefined ? null : fileKey(only);
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const [letter = '', key = '', old = '', made = ''] = line.split(' ');
    if (wanted !== null && key !== wanted) continue;
    const [tablespace = 0, database = 0, file = 0] = key.split('/').map(Number);
    yield {
      kind: KINDS[letter as keyof typeof KINDS],
      file: { tablespace, database, file },
      ...{ old: placeIn(old), new: placeIn(made) },
    };
  }
}

function placeIn(text: string): RowPlace | null {
  if (text === '-') return null;
  const [block = 0, offset = 0] = text.split(',').map(Number);
  return { block, offset };
}
