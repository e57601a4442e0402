import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../../src/domain/backup/backup.js';
import {
  isTable,
  newSuspicions,
  percent,
  SUSPICION,
  type SuspicionRule,
  suspicionOf,
  tableHistory,
} from '../../../../src/domain/table/history.js';
import type { TableName } from '../../../../src/domain/table/table-name.js';

const table = { schema: 'metier', table: 'demandes_rdv' };

const backup = (day: number, rows: number | null, more: object = {}): Backup =>
  ({
    id: `mairie:physical:${day}`,
    policy: 'physical',
    startedAt: new Date(Date.UTC(2026, 10, day, 2)).toISOString(),
    finishedAt: new Date(Date.UTC(2026, 10, day, 2, 10)).toISOString(),
    contents: rows === null ? [] : [{ database: 'mairie', ...table, rows, ...more }],
  }) as unknown as Backup;

const historyOf = (...rows: (number | null)[]) =>
  tableHistory(
    rows.map((one, index) => backup(index + 1, one)),
    'mairie',
    isTable(table),
  );

describe('T3: what backups recorded of a table', () => {
  it('T3: is oldest first, with the change and the middle of those before', () => {
    const [newest, ...older] = [1000, 1010, 1020, 1030].map((rows, index) => backup(index + 1, rows)).toReversed();
    const history = tableHistory([newest as Backup, ...older], 'mairie', isTable(table));
    expect(history.map(({ rows, change, median }) => [rows, change, median])).toEqual([
      [1000, null, null],
      [1010, 10, null],
      [1020, 10, null],
      [1030, 10, 1010],
    ]);
    expect(history.every(({ suspicion }) => suspicion === null)).toBe(true);
  });

  it('T3: half of the rows gone is suspicious, with the figures', () => {
    expect(historyOf(1000, 1010, 1020, 400).at(-1)?.suspicion).toBe(
      '400 rows; 1020 in the backup before (-61 %), 1010 usually (-60 %)',
    );
    expect(historyOf(1000, 1000, 1000, 5000).at(-1)?.suspicion).toContain('+400 %');
    expect(historyOf(1000, 1000, 1000, 0).at(-1)?.suspicion).toContain('-100 %');
  });

  it('T3: no alarm with few backups, for few rows, for a table that is emptied every night, or on the way back', () => {
    expect(historyOf(1000, 1000, 0).at(-1)?.suspicion).toBeNull();
    expect(historyOf(50, 50, 50, 0).at(-1)?.suspicion).toBeNull();
    expect(historyOf(9000, 0, 9000, 0, 9000, 0).every(({ suspicion }) => suspicion === null)).toBe(true);
    // Repaired after an alarm.
    expect(historyOf(1000, 1000, 1000, 100, 1000).map(({ suspicion }) => suspicion !== null)).toEqual([
      ...[false, false, false],
      ...[true, false],
    ]);
    expect(suspicionOf([], { rows: 100, bytes: null }, SUSPICION)).toBeNull();
  });

  it('T3: partitions count together, other databases and unlogged tables do not; sizes where all have one', () => {
    const counted = [
      { database: 'mairie', schema: 'p', table: 'a', rows: 10, bytes: 8192 },
      { database: 'mairie', schema: 'p', table: 'b', rows: 20, bytes: 8192 },
      { database: 'other', schema: 'p', table: 'a', rows: 99, bytes: 8192 },
      { database: 'mairie', schema: 'p', table: 'c', rows: 7, unlogged: true },
    ];
    const one = { ...backup(1, null), contents: counted } as Backup;
    expect(tableHistory([one, backup(2, null)], 'mairie', ({ schema }) => schema === 'p')).toMatchObject([
      { rows: 30, bytes: 16_384 },
    ]);
  });

  it('T3: percentages say from what', () => {
    expect([percent(5, 0), percent(0, 0), percent(100, 100), percent(1005, 1000)]).toEqual([
      ...['from none', '±0 %'],
      ...['±0.0 %', '+0.5 %'],
    ]);
  });

  const suspicious = (...rows: (number | null)[]): number[] =>
    historyOf(...rows).flatMap(({ suspicion }, index) => (suspicion === null ? [] : [index]));
  const days = (count: number, rows: (day: number) => number): number[] =>
    Array.from({ length: count }, (_, day) => Math.round(rows(day)));

  it.each([
    ['growth of a few percent a day', days(60, (day) => 1000 * 1.05 ** day)],
    ['growth that doubles a young table each day', days(12, (day) => 10 * 2 ** day)],
    ['a table that is new', [null, null, null, null, 5000, 5100] as (number | null)[]],
    ['a table that is dropped', [5000, 5000, 5000, 5000, null, null] as (number | null)[]],
    ['ten rows that are gone', [10, 10, 10, 10, 0]],
    ['a staging table that is truncated and loaded again', days(20, (day) => (day % 2 === 0 ? 50_000 : 0))],
    ['a staging table that was empty and is loaded', [0, 0, 0, 0, 80_000]],
    ['a purge of the oldest tenth', [100_000, 101_000, 102_000, 103_000, 92_000]],
  ])('T3: no alarm for what is normal: %s', (_, rows) => {
    expect(suspicious(...rows)).toEqual([]);
  });

  it('T3: what comes again with the week or the month is told once at most, a loss beside it is', () => {
    const week = days(60, (day) => (day % 7 >= 5 ? 900 : 40_000) + day * 10);
    expect(suspicious(...week).filter((day) => day > 6)).toEqual([]);
    const month = days(95, (day) => (day % 30 === 29 ? 500 + (day % 7) * 10 : 20_000 + (day % 30) * 400));
    expect(suspicious(...month).filter((day) => day > 30)).toEqual([]);
    expect(suspicious(...week.slice(0, 53), 12_000)).toEqual(expect.arrayContaining([53]));
    // A table that was small once is not expected to be so again.
    expect(suspicious(...days(40, (day) => 1000 + day * 1000), 2000)).toEqual([40]);
  });

  it('T3: a change is told once, with both backups; thresholds of the configuration count', () => {
    const backups = [1000, 1010, 1020, 400, 410].map((rows, index) => backup(index + 1, rows, { bytes: rows * 100 }));
    const rules = (rule: SuspicionRule | null, watched = false) => ({
      rootOf: (_: string, one: TableName) => one,
      ruleOf: () => (rule === null ? null : { rule, watched }),
    });
    const told = (count: number, rule: SuspicionRule | null = SUSPICION) => {
      const made = backups.slice(0, count);
      return newSuspicions(made, [made.at(-1)?.id ?? ''], rules(rule));
    };
    expect(told(4)).toEqual([
      {
        ...{ database: 'mairie', table, backupId: 'mairie:physical:4', before: 'mairie:physical:3', change: -620 },
        text: '400 rows; 1020 in the backup before (-61 %), 1010 usually (-60 %); 40.0 kB on disk, 102.0 kB in the backup before',
      },
    ]);
    expect([told(3), told(5)]).toEqual([[], []]);
    expect([told(4, { ...SUSPICION, loss: 0.7 }), told(4, { ...SUSPICION, least: 1000 }), told(4, null)]).toEqual([
      ...[[], [], []],
    ]);
    // One that the configuration names is missed where it is gone, once.
    const other = { database: 'mairie', schema: 'metier', table: 'other', rows: 5 };
    const gone = [1, 2, 3, 4, 5].map((day) => (day < 4 ? backup(day, 1000) : { ...backup(day, 1), contents: [other] }));
    const missed = (count: number, watched: boolean) =>
      newSuspicions(gone.slice(0, count), [gone[count - 1]?.id ?? ''], rules(SUSPICION, watched));
    expect(missed(4, true)).toMatchObject([{ table, text: 'the table is not there; 1000 rows in the backup before' }]);
    expect([missed(4, false), missed(5, true)]).toEqual([[], []]);
  });
});
