import { isNull, unescaped, unescapeInto } from './copied-lines.js';
import { HashedText, ServerHash } from './server-hash.js';

const [TAB, BACKSLASH, QUOTE, COMMA, OPEN, CLOSE] = [0x09, 0x5c, 0x22, 0x2c, 0x28, 0x29];
/** Of the hash of a key, and of the hash of a row. */
const [KEY_SEED, ROW_SEED] = [1, 0];
/** A row of so many bytes is looked through for how long it becomes. */
const WIDE_BYTES = 1024 * 1024;

/** Characters for which `record_out` puts a value in quotes. */
const QUOTED = new Uint8Array(256);
for (const byte of [QUOTE, BACKSLASH, OPEN, CLOSE, COMMA, 0x20, TAB, 0x0a, 0x0b, 0x0c, 0x0d]) QUOTED[byte] = 1;

/** Makes of a row of COPY's text format the hashes that {@link QueryReader} has the server make. */
export class RowHasher {
  readonly key = new ServerHash();
  readonly row = new ServerHash();
  /** Where the values end, as far as they are needed for the key. */
  private readonly ends: number[];
  private readonly text = new HashedText();

  /** @param keyAt places of the key's columns among the row's; none: the whole row is its own key */
  constructor(
    private readonly columns: number,
    private readonly keyAt: readonly number[],
    private readonly plainKey: boolean,
  ) {
    this.ends = new Array<number>(Math.max(-1, ...keyAt) + 1).fill(0);
  }

  /** Hashes the key of a row; what came of it is in `key`. */
  hashKey(bytes: Buffer, start: number, end: number): void {
    if (this.keyAt.length === 0) return this.key.hash(this.text, this.recordOf(bytes, start, end), KEY_SEED);
    this.split(bytes, start, end);
    if (this.plainKey) this.hashPlain(bytes, start);
    else this.key.hash(this.text, this.keyOf(bytes, start, end), KEY_SEED);
  }

  /** Hashes a whole row; what came of it is in `row`. */
  hashRow(bytes: Buffer, start: number, end: number): void {
    this.row.hash(this.text, this.recordOf(bytes, start, end), ROW_SEED);
  }

  /** No row follows for now. */
  rest(): void {
    this.text.shrink();
  }

  private split(bytes: Buffer, start: number, end: number): void {
    const { ends } = this;
    let at = start;
    for (let column = 0; column < ends.length; column++) {
      while (at < end && bytes[at] !== TAB) at++;
      ends[column] = at++;
    }
  }

  private hashPlain(bytes: Buffer, start: number): void {
    const column = this.keyAt[0] ?? 0;
    const from = this.startOf(column, start);
    const to = this.ends[column] ?? from;
    this.text.ensure(to - from);
    this.key.hash(this.text, unescapeInto(this.text.bytes, 0, bytes, from, to), KEY_SEED);
  }

  private startOf(column: number, start: number): number {
    return column === 0 ? start : (this.ends[column - 1] ?? 0) + 1;
  }

  /** Writes the key as `record_out` does; returns the length. */
  private keyOf(bytes: Buffer, start: number, end: number): number {
    this.makeRoom(bytes, start, end);
    const { keyAt, ends } = this;
    const text = this.text.bytes;
    text[0] = OPEN;
    let to = 1;
    for (let index = 0; index < keyAt.length; index++) {
      const column = keyAt[index] ?? 0;
      if (index > 0) text[to++] = COMMA;
      to = valueInto(text, to, bytes, this.startOf(column, start), ends[column] ?? 0);
    }
    text[to] = CLOSE;
    return to + 1;
  }

  /** Writes all columns as `record_out` does; returns the length. */
  private recordOf(bytes: Buffer, start: number, end: number): number {
    this.makeRoom(bytes, start, end);
    const text = this.text.bytes;
    text[0] = OPEN;
    let to = 1;
    let from = start;
    for (let column = 0; column < this.columns; column++) {
      if (column > 0) text[to++] = COMMA;
      const [value, valueAt] = [from, to];
      // Most values are written as they are.
      let byte = from < end ? (bytes[from] ?? 0) : TAB;
      while (QUOTED[byte] === 0) {
        text[to++] = byte;
        byte = ++from < end ? (bytes[from] ?? 0) : TAB;
      }
      if (byte !== TAB || from === value) {
        while (from < end && bytes[from] !== TAB) from++;
        to = quotedInto(text, valueAt, bytes, value, from);
      }
      from++;
    }
    text[to] = CLOSE;
    return to + 1;
  }

  /** A value has up to two quotes and a comma, and each quote in it is doubled; what else is, has an escape already. */
  private makeRoom(bytes: Buffer, start: number, end: number): void {
    let length = (end - start) * 2;
    if (length > WIDE_BYTES) {
      length = end - start;
      for (let at = bytes.indexOf(QUOTE, start); at >= 0 && at < end; at = bytes.indexOf(QUOTE, at + 1)) length++;
    }
    this.text.ensure(length + this.columns * 3 + 2);
  }
}

/** Writes a value as `record_out` does; returns where it ends. */
function valueInto(text: Uint8Array, at: number, bytes: Buffer, start: number, end: number): number {
  let to = at;
  for (let from = start; from < end; from++) {
    const byte = bytes[from] ?? 0;
    if (QUOTED[byte] === 1) return quotedInto(text, at, bytes, start, end);
    text[to++] = byte;
  }
  return start === end ? quotedInto(text, at, bytes, start, end) : to;
}

/** The same of a value that is empty or NULL, or has characters that need quotes or have an escape. */
function quotedInto(text: Uint8Array, at: number, bytes: Buffer, start: number, end: number): number {
  if (isNull(bytes, start, end)) return at;
  const isQuoted = start === end || needsQuotes(bytes, start, end);
  let to = at;
  if (isQuoted) text[to++] = QUOTE;
  for (let from = start; from < end; from++) {
    let byte = bytes[from] ?? 0;
    if (byte === BACKSLASH) byte = unescaped(bytes[++from] ?? 0);
    if (byte === QUOTE || byte === BACKSLASH) text[to++] = byte;
    text[to++] = byte;
  }
  if (isQuoted) text[to++] = QUOTE;
  return to;
}

function needsQuotes(bytes: Buffer, start: number, end: number): boolean {
  for (let from = start; from < end; from++) {
    let byte = bytes[from] ?? 0;
    if (byte === BACKSLASH) byte = unescaped(bytes[++from] ?? 0);
    if (QUOTED[byte] === 1) return true;
  }
  return false;
}
