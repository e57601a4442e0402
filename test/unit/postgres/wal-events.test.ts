import { describe, expect, it } from '@jest/globals';
import { stopAt } from '../../../src/postgres/wal/find-stop.js';
import { precedes, walEventIn, xidInWal } from '../../../src/postgres/wal/scan/wal-events.js';

const record = (manager: string, tx: number, desc: string): string =>
  `rmgr: ${manager.padEnd(11)} len (rec/tot):     34/    34, tx:  ${String(tx).padStart(9)}, lsn: 0/04000028, prev 0/03000100, desc: ${desc}`;
const at = { lsn: 0x4000028n };

describe('W3, W7: what decides where a recovery stops, in lines of pg_waldump', () => {
  it.each([
    // As PostgreSQL 15 and 18 print them.
    [
      record('Transaction', 725, 'COMMIT 2026-11-21 09:22:53.886669 UTC'),
      { kind: 'commit', ...at, xid: '725', subxacts: [], time: '2026-11-21T09:22:53.886669Z' },
    ],
    [
      record(
        'Transaction',
        727,
        'COMMIT 2026-11-21 09:22:53.886669 UTC; subxacts: 728 731; inval msgs: catcache 21; sync',
      ),
      { kind: 'commit', ...at, xid: '727', subxacts: ['728', '731'], time: '2026-11-21T09:22:53.886669Z' },
    ],
    [
      record('Transaction', 0, 'COMMIT_PREPARED 730: 2026-11-21 09:22:55 UTC'),
      { kind: 'commit', ...at, xid: '730', subxacts: [], time: '2026-11-21T09:22:55Z' },
    ],
    [
      record('Transaction', 7250, 'ABORT 2026-11-21 09:22:54 UTC'),
      { kind: 'abort', ...at, xid: '7250', subxacts: [], time: '2026-11-21T09:22:54Z' },
    ],
    [record('Transaction', 730, 'PREPARE gid p1: 2026-11-21 09:22:54 UTC'), null],
    [record('Database', 731, 'DROP dir 1663/16384'), { kind: 'drop', ...at, xid: '731', what: 'DROP DATABASE' }],
    // What ALTER DATABASE SET TABLESPACE leaves, after its commit.
    [record('Database', 0, 'DROP dir 1663/16384'), null],
    [record('Database', 731, 'CREATE_FILE_COPY copy dir 1663/1 to 1663/16384'), null],
    [record('Tablespace', 733, 'DROP 16388'), { kind: 'drop', ...at, xid: '733', what: 'DROP TABLESPACE' }],
    [
      record('Heap', 731, 'DELETE off 4 flags 0x00 KEYS_UPDATED , blkref #0: rel 1664/0/1262 blk 0'),
      { kind: 'drop', ...at, xid: '731', what: 'DROP DATABASE' },
    ],
    [
      record(
        'Heap',
        759,
        'DELETE xmax: 759, off: 4, infobits: [KEYS_UPDATED], flags: 0x00, blkref #0: rel 1664/0/1262 blk 0',
      ),
      { kind: 'drop', ...at, xid: '759', what: 'DROP DATABASE' },
    ],
    [record('Heap', 0, 'INPLACE off 4, blkref #0: rel 1664/0/1262 blk 0'), null],
    [record('Heap', 731, 'DELETE off 4 flags 0x00 KEYS_UPDATED , blkref #0: rel 1663/5/1262 blk 0'), null],
    [record('XLOG', 0, "RESTORE_POINT it's a point"), { kind: 'restore-point', ...at, name: "it's a point" }],
    [
      record('XLOG', 0, 'END_OF_RECOVERY tli 2; prev tli 1; time 2026-11-21 09:22:53.886669 UTC; wal_level replica'),
      { kind: 'promotion', ...at, time: '2026-11-21T09:22:53.886669Z' },
    ],
    [record('XLOG', 0, 'SWITCH '), null],
    [
      record('Standby', 0, 'RUNNING_XACTS nextXid 732 latestCompletedXid 730 oldestRunningXid 731; 1 xacts: 731'),
      { kind: 'running', ...at, oldest: '731' },
    ],
    ['first record is after 0/4000000, at 0/4000028, skipping over 40 bytes', null],
    ['', null],
  ])('%s', (line, event) => {
    expect(walEventIn(line)).toEqual(event);
  });

  it('ids are of 32 bits there, and go round', () => {
    expect(xidInWal('4294968021')).toBe('725');
    expect([precedes('725', '726'), precedes('726', '725'), precedes('725', '725')]).toEqual([true, false, false]);
    expect([precedes('4294967290', '5'), precedes('5', '4294967290')]).toEqual([true, false]);
  });
});

describe('W3, F48: a drop that has begun and is not committed', () => {
  const [earlier, last] = [
    { lsn: '0/3000028', time: '2026-11-21T09:00:00Z' },
    { lsn: '0/3000128', time: '2026-11-21T09:01:00Z' },
  ];
  const target = { kind: 'time', time: '2026-11-21T09:01:30Z' } as const;
  const drop = { xid: '731', what: 'DROP DATABASE', lsn: '0/3000200' } as const;

  it('begun after the last commit, the replay stops at that commit', () => {
    expect(stopAt(target, { commit: last, drops: [{ ...drop, before: last }] }, '0/3000300')).toEqual({
      kind: 'lsn',
      lsn: last.lsn,
    });
    expect(stopAt(target, { commit: null, drops: [{ ...drop, before: null }] }, null)).toEqual({
      kind: 'end-of-backup',
    });
    expect(stopAt(target, { commit: last, drops: [] }, '0/3000300')).toEqual({ kind: 'lsn', lsn: '0/3000300' });
  });

  it('begun before it, both ways are named', () => {
    expect(() => stopAt(target, { commit: last, drops: [{ ...drop, before: earlier }] }, null)).toThrow(
      expect.objectContaining({
        code: 'target-ambiguous',
        hint: expect.stringMatching(/--to lsn:0\/3000028 .*--to xid:731/) as unknown,
      }),
    );
  });
});
