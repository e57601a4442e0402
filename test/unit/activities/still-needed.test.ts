import { expect, it } from '@jest/globals';
import { stillNeeded } from '../../../src/activities/backup/rotate.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { neededBy } from '../../../src/engines/walg/removal/removal-plan.js';
import { foldRecords } from '../../../src/records/fold.js';

const segment = (number: number): string => `0000000100000000${number.toString(16).toUpperCase().padStart(8, '0')}`;
const backup = (number: number, dependsOn: readonly string[] = []) =>
  ({
    id: `mairie/walg/b${number}`,
    label: `b${number}`,
    dependsOn,
    startedAt: '',
    wal: { start: segment(number), stop: segment(number) },
  }) as unknown as Backup;
const own = [backup(1), backup(2, ['b1']), backup(3)];

/** Records are read again each time, as they are at that moment. */
function asked(...facts: readonly Record<string, unknown>[]) {
  const records = [...own.map((one) => ({ kind: 'backup', backup: one })), ...facts].map((body, index) => ({
    at: '2026-11-21T00:00:00Z',
    operationId: `op ${index}`,
    by: 'marie',
    ...body,
  }));
  const catalogue = {
    state: () => Promise.resolve(foldRecords('mairie', records as never, new Date('2026-11-21T12:00:00Z'))),
  };
  return stillNeeded({ catalogue } as never, own);
}

it('B3: what was held or pinned since the plan stays, with what it rests on; a hold that is over holds nothing', async () => {
  expect(await asked()).toEqual({ labels: new Set(), walFrom: null });
  expect(await asked({ kind: 'hold', backupId: own[1]?.id, until: 'infinity' })).toEqual({
    labels: new Set(['b2', 'b1']),
    walFrom: null,
  });
  expect(await asked({ kind: 'hold', backupId: own[1]?.id, until: '2026-11-21T11:00:00Z' })).toEqual({
    labels: new Set(),
    walFrom: null,
  });
  const pins = [
    { kind: 'pin', backupIds: [own[2]?.id], walFrom: segment(3) },
    { kind: 'pin', backupIds: [own[0]?.id], walFrom: segment(1) },
    { kind: 'pin', backupIds: ['mairie/other/x'], walFrom: segment(0) },
  ];
  expect(await asked(...pins)).toEqual({ labels: new Set(['b3', 'b1']), walFrom: segment(1) });
});

it('B3, F23: WAL-G removes neither what is held by now nor WAL that a waiting recovery needs', () => {
  const needed = { labels: new Set(['b1']), walFrom: segment(5) };
  expect(neededBy(needed, ['b2'], [segment(3), segment(4)])).toBeUndefined();
  expect(neededBy(needed, ['b2', 'b1'], [])).toBe('b1 is held, or needed by a running operation');
  expect(neededBy(needed, ['b2'], [segment(4), segment(5)])).toContain(`${segment(5)} would be removed`);
  expect(neededBy({ ...needed, walFrom: null }, ['b2'], [segment(5)])).toBeUndefined();
});
