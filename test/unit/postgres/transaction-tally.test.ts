import { expect, test } from '@jest/globals';
import type { HeapRecord } from '../../../src/postgres/wal/transactions/record-parser.js';
import { type Tallied, TransactionTally } from '../../../src/postgres/wal/transactions/transaction-tally.js';

const heap = (xid: number, file: number): HeapRecord => ({
  ...{ kind: 'insert', lsn: 1, xid, length: 60, tablespace: 1663, database: 5, file, block: 0, offset: 1 },
  ...{ newBlock: 0, newOffset: 1, rows: 1, initial: false, flags: 0, offsets: () => null, relids: () => [] },
});

test('M3: rows are counted for each of many tables of a transaction and of its parts, in whatever order they change', () => {
  const found: Tallied[] = [];
  const tally = new TransactionTally((one) => found.push(one), null);
  const tables = Array.from({ length: 30 }, (_, index) => 16_384 + index);
  // Of two files with one number in two databases each is counted by itself.
  for (let round = 1; round <= 3; round++)
    for (const file of tables) {
      tally.heap(heap(700 + (round % 2), file));
      tally.heap({ ...heap(700, file), database: 6 });
    }
  const end = {
    kind: 'commit',
    lsn: 2,
    xid: 700,
    length: 30,
    time: 1,
    prepared: false,
    files: [],
    dropped: [],
  } as const;
  tally.transaction({ ...end, subxacts: [701] });
  const [{ counts, begun } = { counts: [], begun: null }] = found;
  const rowsIn = (database: number): [number, number][] =>
    counts.filter(({ file }) => file.database === database).map(({ file, inserted }) => [file.file, inserted]);
  expect(rowsIn(5).toSorted()).toEqual(tables.map((file) => [file, 3]));
  expect(rowsIn(6).toSorted()).toEqual(tables.map((file) => [file, 3]));
  expect([counts.length, begun, tally.underWay()]).toEqual([60, [], []]);
});
