import { freeMemory } from '../../files/free-memory.js';

const DOUBLED_BYTES = 1024 * 1024;

/**
 * PostgreSQL's `hash_bytes_extended`, which `hashtextextended(text COLLATE "C", seed)` gives on machines with little-endian numbers: the
 * server hashes where a query may run, and we do where the rows are copied out. Partitioning by hash relies on it, so that it is the same
 * in every version. It is Bob Jenkins' lookup3 (public domain).
 */
export class ServerHash {
  /** Upper and lower half of the last hash. */
  high = 0;
  low = 0;

  /**
   * Hashes the first bytes of a text.
   * @param seed below 2^32
   */
  hash({ bytes, words }: HashedText, length: number, seed: number): void {
    let a = (0x9e3779b9 + length + 3923095) | 0;
    let [b, c] = [a, a];
    if (seed !== 0) {
      b = (b + seed) | 0;
      [a, b, c] = mix(a, b, c);
    }
    let at = 0;
    for (let left = length; left >= 12; left -= 12) {
      a = (a + (words[at] ?? 0)) | 0;
      b = (b + (words[at + 1] ?? 0)) | 0;
      c = (c + (words[at + 2] ?? 0)) | 0;
      at += 3;
      // As `mix`, which would cost an array for each twelve bytes.
      a = ((a - c) ^ ((c << 4) | (c >>> 28))) | 0;
      c = (c + b) | 0;
      b = ((b - a) ^ ((a << 6) | (a >>> 26))) | 0;
      a = (a + c) | 0;
      c = ((c - b) ^ ((b << 8) | (b >>> 24))) | 0;
      b = (b + a) | 0;
      a = ((a - c) ^ ((c << 16) | (c >>> 16))) | 0;
      c = (c + b) | 0;
      b = ((b - a) ^ ((a << 19) | (a >>> 13))) | 0;
      a = (a + c) | 0;
      c = ((c - b) ^ ((b << 4) | (b >>> 28))) | 0;
      b = (b + a) | 0;
    }
    // The lowest byte of c belongs to the length.
    const start = at * 4;
    for (let rest = length - start - 1; rest >= 0; rest--) {
      const byte = bytes[start + rest] ?? 0;
      if (rest >= 8) c = (c + (byte << ((rest - 7) * 8))) | 0;
      else if (rest >= 4) b = (b + (byte << ((rest - 4) * 8))) | 0;
      else a = (a + (byte << (rest * 8))) | 0;
    }
    this.finish(a, b, c);
  }

  /** The last hash as the signed number that the server shows. */
  get value(): bigint {
    return BigInt.asIntN(64, (BigInt(this.high) << 32n) | BigInt(this.low));
  }

  private finish(first: number, second: number, third: number): void {
    let [a, b, c] = [first, second, third];
    c = ((c ^ b) - rotated(b, 14)) | 0;
    a = ((a ^ c) - rotated(c, 11)) | 0;
    b = ((b ^ a) - rotated(a, 25)) | 0;
    c = ((c ^ b) - rotated(b, 16)) | 0;
    a = ((a ^ c) - rotated(c, 4)) | 0;
    b = ((b ^ a) - rotated(a, 14)) | 0;
    c = ((c ^ b) - rotated(b, 24)) | 0;
    this.high = b >>> 0;
    this.low = c >>> 0;
  }
}

const rotated = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

function mix(first: number, second: number, third: number): [number, number, number] {
  let [a, b, c] = [first, second, third];
  a = ((a - c) ^ rotated(c, 4)) | 0;
  c = (c + b) | 0;
  b = ((b - a) ^ rotated(a, 6)) | 0;
  a = (a + c) | 0;
  c = ((c - b) ^ rotated(b, 8)) | 0;
  b = (b + a) | 0;
  a = ((a - c) ^ rotated(c, 16)) | 0;
  c = (c + b) | 0;
  b = ((b - a) ^ rotated(a, 19)) | 0;
  a = (a + c) | 0;
  c = ((c - b) ^ rotated(b, 4)) | 0;
  b = (b + a) | 0;
  return [a, b, c];
}

/** A text to be hashed, also as little-endian words. It is filled again and again. */
export class HashedText {
  bytes: Uint8Array = new Uint8Array(1024);
  words: Int32Array = new Int32Array(this.bytes.buffer);

  /** Makes room for so many bytes; what was in it is gone then. */
  ensure(length: number): void {
    if (length <= this.bytes.length) return;
    // Twice as much for small ones, which grow often; a row of many megabytes gets what it needs.
    const size = length < DOUBLED_BYTES ? length * 2 : length;
    freeMemory(this.bytes);
    this.bytes = new Uint8Array((size + 3) & ~3);
    this.words = new Int32Array(this.bytes.buffer);
  }

  /** Gives the memory of a wide text back. */
  shrink(): void {
    if (this.bytes.length <= DOUBLED_BYTES) return;
    freeMemory(this.bytes);
    this.bytes = new Uint8Array(1024);
    this.words = new Int32Array(this.bytes.buffer);
  }
}
