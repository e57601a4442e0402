import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../../src/domain/backup/backup.js';
import { isTable, percent, SUSPICION, suspicionOf, tableHistory } from '../../../../src/domain/table/history.js';

const table = { schema: 'metier', table: 'demandes_rdv' };

const backup = (day: number, rows: number | null, more: object = {}): Backup =>
  ({
    id: `mairie:physical:${day}`,
    policy: 'physical',
    startedAt: `2026-11-${String(day).padStart(2, '0')}T02:00:00.000Z`,
    finishedAt: `2026-11-${String(day).padStart(2, '0')}T02:10:00.000Z`,
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
    expect(suspicionOf(100, null, null, SUSPICION)).toBeNull();
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
});
