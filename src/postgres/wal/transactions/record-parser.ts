/**
 * Reads what pg_waldump of PostgreSQL 14 to 18 prints, from bytes: an hour of WAL is tens of millions of lines, and most of them
 * are looked at only as far as it takes to know that they say nothing.
 *
 * Two ways of writing: up to 15 `INSERT off 1 flags 0x00`, from 16 on `INSERT off: 1, flags: 0x00`. Offsets of a MULTI_INSERT
 * are printed from 16 on only, and not where the page is in the record as an image.
 */

import {
  midnightOf,
  type OtherRecord,
  otherRecord,
  type RecordHead,
  type RelationFile,
  type TransactionRecord,
  transactionRecord,
} from './record-text.js';

/** What a record does to a table. `confirm`: the end of an INSERT ... ON CONFLICT, whose row the record before it has written. */
export type HeapKind = 'insert' | 'multi-insert' | 'update' | 'hot-update' | 'delete' | 'truncate' | 'lock' | 'inplace';

/** A record of Heap or Heap2. The parser fills one object again and again: who keeps it, copies it. */
export interface HeapRecord extends RelationFile {
  readonly kind: HeapKind;
  /** Where the record begins. */
  readonly lsn: number;
  readonly xid: number;
  /** Bytes of the record, with images of pages. */
  readonly length: number;
  /** Of the old version of the row; of an insert, the new one. */
  readonly block: number;
  /** Of the old version of the row; of an insert, the new one; 0 for several. */
  readonly offset: number;
  readonly newBlock: number;
  readonly newOffset: number;
  /** Rows: 1, but for a multi-insert. */
  readonly rows: number;
  /** It fills an empty page: rows of a multi-insert have the offsets from 1 on. */
  readonly initial: boolean;
  readonly flags: number;
  /** As far as they are printed; null where not. */
  readonly offsets: () => readonly number[] | null;
  /** Tables (OIDs) of a truncate, which only `wal_level = logical` records. */
  readonly relids: () => readonly number[];
}

export interface RecordVisitor {
  readonly heap: (record: HeapRecord) => void;
  readonly transaction: (record: TransactionRecord) => void;
  readonly other?: (record: OtherRecord) => void;
  /** Where each record begins that was printed, of whatever kind. */
  readonly position?: (lsn: number) => void;
}

const [SPACE, HASH, COMMA, SLASH, COLON, NEWLINE] = [0x20, 0x23, 0x2c, 0x2f, 0x3a, 0x0a];
const [ZERO, NINE, LOWER_F, LOWER_O, LOWER_X] = [0x30, 0x39, 0x66, 0x6f, 0x78];
const WORK_BYTES = 256 * 1024;
const RMGR = Buffer.from('rmgr: ');
/** After the name of the resource manager, which is padded to 11 characters. */
const AFTER_MANAGER = 17;
const BEFORE_LENGTH = ' len (rec/tot): '.length;

/** Zeros stand for digits. */
const PLAIN_COMMIT = Buffer.from('COMMIT 0000-00-00 00:00:00.000000 UTC');
const NOTHING_ELSE = { subxacts: [], files: [], dropped: [] } as const;

/** {@link HeapRecord} that is filled again and again. */
class HeapCursor implements HeapRecord {
  kind: HeapKind = 'insert';
  lsn = 0;
  xid = 0;
  length = 0;
  tablespace = 0;
  database = 0;
  file = 0;
  block = 0;
  offset = 0;
  newBlock = 0;
  newOffset = 0;
  rows = 1;
  initial = false;
  flags = 0;
  /** Where its description is, as long as the visitor looks at it. */
  bytes: Buffer = Buffer.alloc(0);
  from = 0;
  end = 0;

  readonly offsets = (): readonly number[] | null => {
    if (this.initial) return Array.from({ length: this.rows }, (_, index) => index + 1);
    const listed = /offsets: \[([\d, ]*)\]/.exec(this.text())?.[1];
    return listed === undefined ? null : listed.split(', ').map(Number);
  };

  readonly relids = (): readonly number[] => {
    const listed = /relids:? ?\[?([\d, ]*)/.exec(this.text())?.[1] ?? '';
    return (listed.match(/\d+/g) ?? []).map(Number);
  };

  private text(): string {
    return this.bytes.toString('latin1', this.from, this.end);
  }
}

/**
 * Takes the output of pg_waldump in pieces and calls the visitor with its records, in their order. A line counts once the next
 * one begins as a record does: pg_waldump prints names of prepared transactions as they are, and in one of 200 bytes there is
 * room for a line that looks like a record.
 */
export class WaldumpParser {
  /** What is read, with what was left of the piece before at its beginning: nothing is allocated for each piece. */
  private work: Buffer = Buffer.alloc(WORK_BYTES);
  private rest = 0;
  private at = 0;
  private readonly cursor = new HeapCursor();
  private readonly headRead = { lsn: 0, xid: 0, length: 0 };

  constructor(private readonly visitor: RecordVisitor) {}

  push(chunk: Buffer): void {
    const length = this.rest + chunk.length;
    if (length > this.work.length) this.work = Buffer.concat([this.work], 2 * length);
    const { work } = this;
    chunk.copy(work, this.rest);
    let pending = -1;
    let pendingEnd = 0;
    let start = 0;
    for (let end = work.indexOf(NEWLINE); end >= 0 && end < length; end = work.indexOf(NEWLINE, start)) {
      if (beginsRecord(work, start, end)) {
        if (pending >= 0) this.line(work, pending, pendingEnd);
        pending = start;
        pendingEnd = end;
      } else pending = -1;
      start = end + 1;
    }
    const kept = pending >= 0 ? pending : start;
    work.copyWithin(0, kept, length);
    this.rest = length - kept;
  }

  /** Nothing follows; a line that was cut off, as where the program was ended, is none. */
  end(): void {
    const bytes = this.work.subarray(0, this.rest);
    const last = bytes.lastIndexOf(NEWLINE);
    const follows = last < 0 ? '' : bytes.toString('latin1', last + 1);
    if (last > 0 && (follows === '' || 'rmgr: '.startsWith(follows.slice(0, 6))) && beginsRecord(bytes, 0, last))
      this.line(bytes, 0, last);
    this.rest = 0;
  }

  private line(bytes: Buffer, start: number, end: number): void {
    const [first, second] = [bytes[start + 6], bytes[start + 10]];
    const isHeap = first === 0x48 && (second === SPACE || second === 0x32);
    if (!isHeap && !ofInterest(first) && this.visitor.position === undefined) return;
    const head = this.head(bytes, start, end);
    if (head === null) return;
    this.visitor.position?.(head.lsn);
    if (!isHeap) {
      if (first === 0x54 && this.plainCommit(bytes, end, head)) return;
      const manager = bytes.toString('latin1', start + 6, start + AFTER_MANAGER).trimEnd();
      return this.inWords(manager, head, bytes.toString('utf8', this.at, end));
    }
    const kind = heapKind(bytes, this.at, second === 0x32);
    if (kind === null || !this.heapRecord(bytes, end, kind)) return;
    const { cursor } = this;
    cursor.lsn = head.lsn;
    cursor.xid = head.xid;
    cursor.length = head.length;
    this.visitor.heap(cursor);
  }

  /** What every record begins with; null where the line does not go on as a record does. Goes on to its description. */
  private head(bytes: Buffer, start: number, end: number): RecordHead | null {
    const { headRead } = this;
    let at = start + AFTER_MANAGER + BEFORE_LENGTH;
    while (at < end && bytes[at] !== SLASH) at++;
    this.at = at + 1;
    headRead.length = this.number(bytes);
    this.at += ', tx: '.length;
    headRead.xid = this.number(bytes);
    this.at += ', lsn: '.length;
    headRead.lsn = this.position(bytes);
    at = this.at + ', prev '.length;
    // The second half of a position has eight digits.
    while (at < end && bytes[at] !== SLASH && bytes[at] !== COMMA) at++;
    at += 1 + 8;
    if (headRead.lsn < 0 || bytes[at] !== COMMA || bytes[at + 6] !== COLON) return null;
    this.at = at + ', desc: '.length;
    return headRead;
  }

  /** Fills the cursor with what a record of Heap or Heap2 says; false where it is not written to its end. */
  private heapRecord(bytes: Buffer, end: number, kind: HeapKind): boolean {
    const { cursor } = this;
    cursor.kind = kind;
    cursor.bytes = bytes;
    cursor.from = this.at;
    cursor.end = end;
    cursor.rows = 1;
    cursor.flags = 0;
    cursor.initial = kind !== 'truncate' && hasInit(bytes, this.at);
    if (kind === 'truncate') return true;
    if (kind === 'multi-insert') this.severalRows(bytes, end);
    else this.offsetsOf(bytes, end);
    if (bytes[this.at] !== HASH || !this.blockReference(bytes)) return false;
    // Of an update block 0 is where the new version is, and block 1 where the old one was, unless that is the same.
    cursor.block = cursor.newBlock;
    if (kind === 'update' && bytes[this.at] === COMMA) {
      const { newBlock } = cursor;
      this.toHash(bytes, end);
      if (this.at >= end || !this.blockReference(bytes)) return false;
      cursor.block = cursor.newBlock;
      cursor.newBlock = newBlock;
    }
    return this.endsHere(bytes, end);
  }

  /** Reads offsets and flags, as far as the first reference to a block. */
  private offsetsOf(bytes: Buffer, end: number): void {
    const { cursor } = this;
    cursor.offset = -1;
    cursor.newOffset = -1;
    for (; this.at < end && bytes[this.at] !== HASH; this.at++) {
      const byte = bytes[this.at];
      if (byte === LOWER_O && bytes[this.at + 1] === LOWER_F) {
        const after = bytes[this.at + 3];
        if (after !== SPACE && after !== COLON) continue;
        this.at += after === COLON ? 5 : 4;
        const value = this.number(bytes);
        if (cursor.offset < 0) cursor.offset = value;
        else cursor.newOffset = value;
      } else if (byte === LOWER_X && bytes[this.at - 1] === ZERO) cursor.flags = this.flagsAt(bytes);
    }
    if (cursor.newOffset < 0) cursor.newOffset = cursor.offset;
  }

  /** The same of a multi-insert, whose first number says how many rows it has. */
  private severalRows(bytes: Buffer, end: number): void {
    const { cursor } = this;
    cursor.offset = 0;
    cursor.newOffset = 0;
    while (this.at < end && !isDigit(bytes[this.at])) this.at++;
    cursor.rows = this.number(bytes);
    while (this.at < end && bytes[this.at] !== HASH && bytes[this.at] !== LOWER_X) this.at++;
    if (bytes[this.at] === LOWER_X) cursor.flags = this.flagsAt(bytes);
    this.toHash(bytes, end);
  }

  private toHash(bytes: Buffer, end: number): void {
    while (this.at < end && bytes[this.at] !== HASH) this.at++;
  }

  private flagsAt(bytes: Buffer): number {
    this.at++;
    const flags = this.hex(bytes);
    this.at--;
    return flags;
  }

  /** `#0: rel 1663/5/16384 blk 7`, the block as the new one; false where it is another fork, or none. */
  private blockReference(bytes: Buffer): boolean {
    const { cursor } = this;
    this.at += '#0: rel '.length;
    cursor.tablespace = this.number(bytes);
    if (bytes[this.at++] !== SLASH) return false;
    cursor.database = this.number(bytes);
    if (bytes[this.at++] !== SLASH) return false;
    cursor.file = this.number(bytes);
    if (bytes[this.at + 1] !== 0x62) return false;
    this.at += ' blk '.length;
    cursor.newBlock = this.number(bytes);
    return true;
  }

  /** After the last block nothing follows but that the record has its image: else it is the rest of a name. */
  private endsHere(bytes: Buffer, end: number): boolean {
    if (this.at === end) return true;
    const tail = bytes.toString('latin1', this.at, end);
    return /^(?: FPW(?: for WAL verification)?)?(?:, blkref #\d+: rel \d+\/\d+\/\d+(?: fork \w+)? blk \d+(?: FPW(?: for WAL verification)?)?)*$/.test(
      tail,
    );
  }

  /** A commit of which nothing but the time is printed, as most are. */
  private plainCommit(bytes: Buffer, end: number, { lsn, xid, length }: RecordHead): boolean {
    const from = this.at;
    if (end - from !== PLAIN_COMMIT.length) return false;
    for (let index = 0; index < PLAIN_COMMIT.length; index++) {
      const expected = PLAIN_COMMIT[index];
      const byte = bytes[from + index];
      if (expected === ZERO ? !isDigit(byte) : byte !== expected) return false;
    }
    const digits = (at: number, count: number): number => {
      let value = 0;
      for (let index = from + at; index < from + at + count; index++) value = value * 10 + (bytes[index] ?? 0) - ZERO;
      return value;
    };
    const seconds = digits(18, 2) * 3600 + digits(21, 2) * 60 + digits(24, 2);
    const time = midnightOf(digits(7, 4), digits(12, 2), digits(15, 2)) + seconds * 1e6 + digits(27, 6);
    this.visitor.transaction({ kind: 'commit', lsn, xid, length, time, prepared: false, ...NOTHING_ELSE });
    return true;
  }

  private inWords(manager: string, at: RecordHead, desc: string): void {
    if (manager === 'Transaction') {
      const found = transactionRecord(at, desc);
      if (found !== null) this.visitor.transaction(found);
      return;
    }
    const found = this.visitor.other === undefined ? null : otherRecord(manager, at, desc);
    if (found !== null) this.visitor.other?.(found);
  }

  /** A decimal number, with spaces before it. */
  private number(bytes: Buffer): number {
    while (bytes[this.at] === SPACE) this.at++;
    let value = 0;
    let at = this.at;
    for (let byte = bytes[at] ?? 0; byte >= ZERO && byte <= NINE; byte = bytes[++at] ?? 0)
      value = value * 10 + byte - ZERO;
    this.at = at;
    return value;
  }

  private hex(bytes: Buffer): number {
    let value = 0;
    let at = this.at;
    for (let digit = hexDigit(bytes[at]); digit >= 0; digit = hexDigit(bytes[++at])) value = value * 16 + digit;
    this.at = at;
    return value;
  }

  /** `0/16B3740`; -1 where there is none. */
  private position(bytes: Buffer): number {
    const high = this.hex(bytes);
    if (bytes[this.at] !== SLASH) return -1;
    this.at++;
    return high * 0x1_0000_0000 + this.hex(bytes);
  }
}

function beginsRecord(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < 60) return false;
  for (let index = 0; index < RMGR.length; index++) if (bytes[start + index] !== RMGR[index]) return false;
  return true;
}

/** Transaction, Storage, Standby, Database: what is printed besides, where the program cannot choose, says nothing. */
function ofInterest(first: number | undefined): boolean {
  return first === 0x54 || first === 0x53 || first === 0x44;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Value of each byte as a hexadecimal digit; -1 where it is none. */
const HEX = Int8Array.from({ length: 256 }, (_, byte) =>
  /[0-9A-Fa-f]/.test(String.fromCharCode(byte)) ? Number.parseInt(String.fromCharCode(byte), 16) : -1,
);

function hexDigit(byte: number | undefined): number {
  return byte === undefined ? -1 : (HEX[byte] ?? -1);
}

/** By the first letters: INSERT, DELETE, UPDATE, HOT_UPDATE, TRUNCATE, LOCK, INPLACE; of Heap2 MULTI_INSERT alone. */
function heapKind(bytes: Buffer, at: number, isHeap2: boolean): HeapKind | null {
  const [first, second] = [bytes[at], bytes[at + 1]];
  if (isHeap2) return first === 0x4d ? 'multi-insert' : null;
  switch (first) {
    case 0x49:
      return bytes[at + 2] === 0x53 ? 'insert' : 'inplace';
    case 0x44:
      return 'delete';
    case 0x55:
      return 'update';
    case 0x48:
      return second === 0x4f ? 'hot-update' : null;
    case 0x54:
      return 'truncate';
    case 0x4c:
      return 'lock';
    default:
      return null;
  }
}

/** Whether the name ends with `+INIT`. */
function hasInit(bytes: Buffer, at: number): boolean {
  for (let index = at; index < at + 14; index++) {
    if (bytes[index] === SPACE) return false;
    if (bytes[index] === 0x2b) return true;
  }
  return false;
}
