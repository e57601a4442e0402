import { createHash, hash as md5Of } from 'node:crypto';
import type pg from 'pg';
import { copyTable } from './copy-rows.js';

/** Settings under which the same values are the same text everywhere; `C` is a locale of every system. */
export const SAME_TEXT = `SET LOCAL "DateStyle" TO 'ISO, YMD'; SET LOCAL "IntervalStyle" TO 'postgres'; SET LOCAL "TimeZone" TO 'UTC';
  SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'; SET LOCAL lc_monetary TO 'C';
  SET LOCAL xmloption TO 'content'; SET LOCAL array_nulls TO on`;
const NEWLINE = 0x0a;

/**
 * Counts and hashes a table by COPY: the hash is the sum, modulo 2^64, of the first eight bytes of the MD5 of each row, in decimal. Two copies of the
 * same rows have the same, whatever their order, where {@link SAME_TEXT} was set. It is no protection against somebody who forges rows.
 * @param name as `TABLE_NAME` gives it
 */
export async function hashRows(client: pg.ClientBase, name: string): Promise<{ rows: number; hash: string }> {
  let [rows, sum] = [0, 0n];
  let begun: ReturnType<typeof createHash> | null = null;
  const add = (digest: Buffer): void => {
    rows += 1;
    sum = BigInt.asUintN(64, sum + digest.readBigUInt64BE(0));
  };
  for await (const chunk of copyTable(client, name)) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = chunk.subarray(start, end);
      add(begun === null ? md5Of('md5', line, 'buffer') : begun.update(line).digest());
      begun = null;
      start = end + 1;
    }
    if (start < chunk.length) begun = (begun ?? createHash('md5')).update(chunk.subarray(start));
  }
  return { rows, hash: String(sum) };
}
