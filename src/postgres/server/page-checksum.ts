import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../../files/paths.js';

export const PAGE_BYTES = 8192;
/** Pages in a file of a relation: the next ones are in `NAME.1`. */
export const PAGES_IN_FILE = 131_072;
/** A page that PostgreSQL writes just now is read half old, half new: such a one is whole soon. */
const READS = 4;
const PAUSE_MS = 100;

const CHECKSUM_AT = 8;
const UPPER_AT = 14;
const PRIME = 16_777_619;
/** Found once: where the global object is one of node:vm, as in tests, each look for `Math` costs more than the product. */
const { imul } = Math;
/** Where each of the parallel sums begins, as storage/checksum_impl.h of PostgreSQL has it. */
const OFFSETS = Uint32Array.of(
  ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c],
  ...[0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb],
  ...[0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4],
  ...[0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
);

/**
 * Whether a page of a relation's file has a wrong checksum each time it is read. A file that is gone by now, or that ends
 * before the page, has none.
 * @param index of the page in this file
 */
export async function isDamagedPage(path: string, index: number): Promise<boolean> {
  const number = segmentOf(path) * PAGES_IN_FILE + index;
  for (let read = 1; ; read++) {
    const page = await readPage(path, index);
    if (page === null || hasItsChecksum(page, number)) return false;
    if (read === READS) return true;
    await sleep(PAUSE_MS);
  }
}

/**
 * Whether the checksum in a page is that of its content; a page that was never written has none.
 * @param number of the page in its relation
 */
export function hasItsChecksum(page: Buffer, number: number): boolean {
  if (page.readUInt16LE(UPPER_AT) === 0) return true;
  return page.readUInt16LE(CHECKSUM_AT) === checksumOf(page, number);
}

/** The page that is summed, as bytes and as the numbers that PostgreSQL adds up: read from a Buffer one by one it takes four times as long. */
const words = new Uint32Array(PAGE_BYTES / 4);
const bytes = new Uint8Array(words.buffer);
const sums = new Uint32Array(OFFSETS.length);

/** PostgreSQL's checksum of a page: 32 sums of FNV-1a beside each other, over the page without its own checksum. */
export function checksumOf(page: Buffer, number: number): number {
  bytes.set(page);
  bytes[CHECKSUM_AT] = 0;
  bytes[CHECKSUM_AT + 1] = 0;
  sums.set(OFFSETS);
  for (let at = 0; at < words.length; at += sums.length)
    for (let sum = 0; sum < sums.length; sum++) mix(sum, words[at + sum] ?? 0);
  for (let round = 0; round < 2; round++) for (let sum = 0; sum < sums.length; sum++) mix(sum, 0);
  const whole = sums.reduce((left, right) => left ^ right) ^ number;
  return ((whole >>> 0) % 65_535) + 1;
}

function mix(sum: number, value: number): void {
  const mixed = (sums[sum] ?? 0) ^ value;
  sums[sum] = imul(mixed, PRIME) ^ (mixed >>> 17);
}

async function readPage(path: string, index: number): Promise<Buffer | null> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const page = Buffer.alloc(PAGE_BYTES);
    const { bytesRead } = await file.read(page, 0, PAGE_BYTES, index * PAGE_BYTES);
    return bytesRead === PAGE_BYTES ? page : null;
  } finally {
    await file.close();
  }
}

/** `base/5/16385.2` is the third file of its relation. */
export function segmentOf(path: string): number {
  return Number(/\.(\d+)$/.exec(path)?.[1] ?? 0);
}
