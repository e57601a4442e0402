import { describe, expect, it } from '@jest/globals';
import { recordIn, recordLines } from '../../../src/postgres/wal/waldump-lines.js';
import { walEventIn } from '../../../src/postgres/wal/scan/wal-events.js';

const head = (manager: string, tx: number): string =>
  `rmgr: ${manager.padEnd(11)} len (rec/tot):    250/   250, tx: ${String(tx).padStart(10)}, lsn: 0/04000028, prev 0/03000100, desc: `;
const commit = `${head('Transaction', 700)}COMMIT 2001-01-01 00:00:00.000000 UTC`;
const after = ': 2026-11-29 06:00:00.123456 UTC';
/** As pg_waldump prints the record of a prepared transaction, whose name anybody chooses who may prepare one. */
const prepared = (name: string): string => `${head('Transaction', 731)}PREPARE gid ${name}${after}`;

const events = (output: string) => recordLines(output).flatMap((line) => walEventIn(line) ?? []);

describe('W3, U7: lines that look like records of the WAL and are names', () => {
  it.each([
    ['it begins a line and the rest of the name follows in it', `x\n${commit}`],
    ['the rest of the name follows in another line', `x\n${commit}\n`],
    ['it looks as if the name had ended before', `x${after}\n${commit}\ny`],
    ['it is another record than the end of a transaction', `x\n${head('Database', 700)}DROP dir 1663/16384`],
    [
      'it is the end of a prepared transaction',
      `x\n${head('Transaction', 0)}COMMIT_PREPARED 730: 2001-01-01 00:00:00.0 UTC`,
    ],
  ])('a name of a prepared transaction holds one: %s', (_what, name) => {
    expect(events(`${prepared(name)}\n`)).toEqual([]);
    const next = `${head('Transaction', 732)}COMMIT 2026-11-29 06:00:01.000000 UTC`;
    expect(events(`${commit}\n${prepared(name)}\n${next}\n`).map((event) => 'xid' in event && event.xid)).toEqual([
      '700',
      '732',
    ]);
  });

  it('two of them have no room in a name: it has 199 bytes at the most', () => {
    expect(`x\n${commit}\n${head('Transaction', 1)}PREPARE gid \n`.length).toBeGreaterThan(199);
  });

  it('records with long names of their manager, and of a wide length, are read', () => {
    const line = `${head('ReplicationOrigin', 5)}set 1`.replace('   250', '1234567');
    expect(recordIn(line)).toMatchObject({ manager: 'ReplicationOrigin', tx: '5', description: 'set 1' });
  });
});
