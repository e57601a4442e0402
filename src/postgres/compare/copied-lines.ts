import { hash } from 'node:crypto';
import type pg from 'pg';
import { copyOut, type UseLine } from '../content/copy-out.js';

const [TAB, BACKSLASH] = [0x09, 0x5c];

/**
 * Gives each row of a `COPY ... TO STDOUT` in its text format, in bytes as the server has them, to a function that keeps none of them.
 * @param source a table with its columns, or a query in brackets
 */
export async function eachLine(
  client: pg.ClientBase,
  source: string,
  signal: AbortSignal,
  use: UseLine,
): Promise<void> {
  signal.throwIfAborted();
  const hangUp = (): void => endSession(client);
  signal.addEventListener('abort', hangUp);
  try {
    const statement = Buffer.from(`COPY ${source} TO STDOUT WITH (ENCODING 'SQL_ASCII')`);
    await copyOut(client, statement, use);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', hangUp);
  }
}

/** Without a word to the server, which may be in the middle of an answer and notices by itself. */
function endSession(client: pg.ClientBase): void {
  const { connection } = client as unknown as { readonly connection: { readonly stream: { destroy(): void } } };
  connection.stream.destroy();
}

const ESCAPES: Readonly<Record<number, number>> = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11 };
const UNESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => ESCAPES[byte] ?? byte);

/** What a character after a backslash stands for. */
export const unescaped = (byte: number): number => UNESCAPED[byte] ?? 0;

/** Writes a value of COPY's text format without its escapes; returns where it ends. */
export function unescapeInto(target: Uint8Array, at: number, bytes: Buffer, start: number, end: number): number {
  let to = at;
  for (let from = start; from < end; from++) {
    let byte = bytes[from] ?? 0;
    if (byte === BACKSLASH) byte = unescaped(bytes[++from] ?? 0);
    target[to++] = byte;
  }
  return to;
}

/** Whether a value of COPY's text format is NULL. */
export const isNull = (bytes: Buffer, start: number, end: number): boolean =>
  end - start === 2 && bytes[start] === BACKSLASH && bytes[start + 1] === 0x4e;

/** The values of a row, read by the encoding of the server; null: NULL. */
export function valuesOf(
  line: Buffer,
  columns: number,
  decode: (bytes: Buffer) => string,
  read: typeof valueOf = valueOf,
): (string | null)[] {
  const values: (string | null)[] = [];
  for (let start = 0; values.length < columns;) {
    const next = line.indexOf(TAB, start);
    const end = next === -1 ? line.length : next;
    values.push(isNull(line, start, end) ? null : read(line, start, end, decode));
    start = end + 1;
  }
  return values;
}

function valueOf(line: Buffer, start: number, end: number, decode: (bytes: Buffer) => string): string {
  const raw = line.subarray(start, end);
  if (!raw.includes(BACKSLASH)) return decode(raw);
  const plain = Buffer.allocUnsafe(raw.length);
  return decode(plain.subarray(0, unescapeInto(plain, 0, raw, 0, raw.length)));
}

/** A value of more bytes is cut, to so many: a row may have a gigabyte, and to tell it from another one takes no text of it. */
const [WIDE_BYTES, SHOWN_BYTES] = [1024 * 1024, 8 * 1024];

/** As {@link valuesOf}; of a wide value its beginning, its length and its hash, so that two are the same text where they are equal. */
export function shortValuesOf(line: Buffer, columns: number, decode: (bytes: Buffer) => string): (string | null)[] {
  return valuesOf(line, columns, decode, (bytes, start, end) => {
    if (end - start <= WIDE_BYTES) return valueOf(bytes, start, end, decode);
    let length = end - start;
    for (let at = bytes.indexOf(BACKSLASH, start); at >= 0 && at < end; at = bytes.indexOf(BACKSLASH, at + 2)) length--;
    const begin = valueOf(bytes, start, wholeCharacters(bytes, start, start + SHOWN_BYTES), decode);
    return `${begin}… (${length} bytes, SHA-256 ${hash('sha256', bytes.subarray(start, end))})`;
  });
}

/** Where the last whole character ends before a position: neither an escape nor one of UTF-8 is divided. */
function wholeCharacters(bytes: Buffer, start: number, before: number): number {
  let end = before;
  while (end > start && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  let escapes = 0;
  while (end - escapes > start && bytes[end - escapes - 1] === BACKSLASH) escapes++;
  return end - (escapes % 2);
}
