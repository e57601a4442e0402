import { createHash } from 'node:crypto';
import { recordText } from './record-text.js';
import type { Row } from './row.js';

/**
 * Rows and order-independent content hash of a table that holds these rows: the figures that `tableContentHash` of
 * src/postgres/inventory.ts gets from PostgreSQL, by the same formula.
 */
export function contentHash(rows: Iterable<Row>): { rows: number; hash: string } {
  let count = 0;
  let sum = 0n;
  for (const row of rows) {
    count += 1;
    sum += createHash('md5').update(recordText(row)).digest().readBigInt64BE(0);
  }
  return { rows: count, hash: String(sum) };
}
