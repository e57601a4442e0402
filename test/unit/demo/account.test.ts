import { describe, expect, it } from '@jest/globals';
import { account } from '../../../src/demo/business/log.js';
import type { LogEntry } from '../../../src/demo/business/log.js';
import { tables } from '../../../src/demo/data/schema.js';
import { ExpectedContents } from '../../../src/demo/model/expected.js';
import type { Row } from '../../../src/demo/model/row.js';

const at = '2026-11-21T08:00:00.000Z';
const sent = (n: number): LogEntry => ({ kind: 'sent', n, at, xid: String(700 + n), changes: [] });
const committed = (n: number): LogEntry => ({ kind: 'committed', n, at });

describe('account of the business client', () => {
  it('tells what was acknowledged from what was only sent', () => {
    const { sent: all, acknowledged } = account([sent(1), committed(1), sent(2), { kind: 'lost', at, reason: 'gone' }]);
    expect(all.map(({ n }) => n)).toEqual([1, 2]);
    expect([...acknowledged.keys()]).toEqual([1]);
  });

  it('leaves out what an earlier pass lost, acknowledged or not, and counts on from there', () => {
    const entries = [
      sent(1),
      committed(1),
      sent(2),
      committed(2),
      sent(3),
      { kind: 'recovered', at, upTo: 1 } as const,
      sent(4),
      committed(4),
    ];
    const { sent: all, acknowledged } = account(entries);
    expect(all.map(({ n }) => n)).toEqual([1, 4]);
    expect([...acknowledged.keys()]).toEqual([1, 4]);
  });
});

describe('expected contents', () => {
  const rows = new Map<typeof tables.services, readonly Row[]>([
    [
      tables.services,
      [
        ['1', 'État civil'],
        ['2', 'Urbanisme'],
      ],
    ],
  ]);

  it('are what is left after inserts, updates and deletes', () => {
    const expected = new ExpectedContents({ rows });
    expected.apply([
      { table: tables.services, op: 'insert', row: ['3', 'Voirie'] },
      { table: tables.services, op: 'update', row: ['1', 'Mariages'] },
      { table: tables.services, op: 'delete', key: '2' },
    ]);
    expect([...expected.rows(tables.services)]).toEqual([
      ['1', 'Mariages'],
      ['3', 'Voirie'],
    ]);
  });

  it.each([
    [{ table: tables.services, op: 'insert', row: ['1', 'x'] } as const],
    [{ table: tables.services, op: 'update', row: ['9', 'x'] } as const],
    [{ table: tables.services, op: 'delete', key: '9' } as const],
    [{ table: tables.journal, op: 'delete', key: '1' } as const],
  ])('refuse a log that contradicts itself: %j', (change) => {
    expect(() => new ExpectedContents({ rows }).apply([change])).toThrow();
  });
});
