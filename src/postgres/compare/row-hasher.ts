import { isNull, unescapeInto } from './copied-lines.js';
import { ServerHash } from './server-hash.js';

const [TAB, BACKSLASH, QUOTE, COMMA, OPEN, CLOSE] = [0x09, 0x5c, 0x22, 0x2c, 0x28, 0x29];
/** Of the hash of a key, and of the hash of a row. */
const [KEY_SEED, ROW_SEED] = [1, 0];

/** Characters for which `record_out` puts a value in quotes. */
const QUOTED = new Uint8Array(256);
for (const byte of [QUOTE, BACKSLASH, OPEN, CLOSE, COMMA, 0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d]) QUOTED[byte] = 1;

/** Makes of a row of COPY's text format the hashes that {@link QueryReader} has the server make. */
export class RowHasher {
  readonly key = new ServerHash();
  readonly row = new ServerHash();
  private readonly ends: number[];
  private text = Buffer.allocUnsafe(1024);
  private plain = Buffer.allocUnsafe(1024);

  /** @param keyAt places of the key's columns among the row's; none: the whole row is its own key */
  constructor(
    private readonly columns: number,
    private readonly keyAt: readonly number[],
    private readonly plainKey: boolean,
  ) {
    this.ends = new Array<number>(columns).fill(0);
  }

  /** Hashes the key of a row; what came of it is in `key`. */
  hashKey(bytes: Buffer, start: number, end: number): void {
    this.split(bytes, start, end);
    this.makeRoom(end - start);
    if (this.plainKey) this.hashPlain(bytes, start);
    else {
      const length = this.recordOf(bytes, start, this.keyAt.length === 0 ? null : this.keyAt);
      this.key.hash(this.text, 0, length, KEY_SEED);
    }
  }

  /** Hashes the whole row whose key was hashed just before; what came of it is in `row`. */
  hashRow(bytes: Buffer, start: number): void {
    this.row.hash(this.text, 0, this.recordOf(bytes, start, null), ROW_SEED);
  }

  private split(bytes: Buffer, start: number, end: number): void {
    let column = 0;
    for (let at = start; at < end; at++) if (bytes[at] === TAB) this.ends[column++] = at;
    if (this.columns > 0) this.ends[column] = end;
  }

  /** A value may be twice as long in quotes, and has up to two of them and a comma. */
  private makeRoom(length: number): void {
    const needed = length * 2 + this.columns * 3 + 2;
    if (this.text.length < needed) this.text = Buffer.allocUnsafe(needed * 2);
    if (this.plain.length < length) this.plain = Buffer.allocUnsafe(length * 2);
  }

  private hashPlain(bytes: Buffer, start: number): void {
    const column = this.keyAt[0] ?? 0;
    const from = this.startOf(column, start);
    const to = this.ends[column] ?? from;
    const length = unescapeInto(this.plain, 0, bytes, from, to);
    this.key.hash(this.plain, 0, length, KEY_SEED);
  }

  private startOf(column: number, start: number): number {
    return column === 0 ? start : (this.ends[column - 1] ?? 0) + 1;
  }

  /** Writes these columns, or all, as `record_out` does; returns the length. */
  private recordOf(bytes: Buffer, start: number, columns: readonly number[] | null): number {
    let to = 0;
    this.text[to++] = OPEN;
    const count = columns?.length ?? this.columns;
    for (let index = 0; index < count; index++) {
      const column = columns === null ? index : (columns[index] ?? 0);
      if (index > 0) this.text[to++] = COMMA;
      to = this.valueInto(to, bytes, this.startOf(column, start), this.ends[column] ?? 0);
    }
    this.text[to++] = CLOSE;
    return to;
  }

  private valueInto(at: number, bytes: Buffer, start: number, end: number): number {
    if (start === end) {
      this.text[at] = QUOTE;
      this.text[at + 1] = QUOTE;
      return at + 2;
    }
    // Most values are written as they are.
    let to = at;
    for (let from = start; from < end; from++) {
      const byte = bytes[from] ?? 0;
      if (QUOTED[byte] === 1) return isNull(bytes, start, end) ? at : this.quotedInto(at, bytes, start, end);
      this.text[to++] = byte;
    }
    return to;
  }

  private quotedInto(at: number, bytes: Buffer, start: number, end: number): number {
    const length = unescapeInto(this.plain, 0, bytes, start, end);
    let isQuoted = false;
    for (let from = 0; from < length; from++) isQuoted ||= QUOTED[this.plain[from] ?? 0] === 1;
    let to = at;
    if (isQuoted) this.text[to++] = QUOTE;
    for (let from = 0; from < length; from++) {
      const byte = this.plain[from] ?? 0;
      if (byte === QUOTE || byte === BACKSLASH) this.text[to++] = byte;
      this.text[to++] = byte;
    }
    if (isQuoted) this.text[to++] = QUOTE;
    return to;
  }
}
