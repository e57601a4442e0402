import { expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { isRestoreTurn } from '../../../src/domain/backup/restore-turn.js';
import { backupFacts } from '../records/samples.js';

const made = (day: number, more: Partial<Backup> = {}): Backup => {
  const startedAt = `2026-11-${day}T01:30:00Z`;
  return {
    ...backupFacts(startedAt, { startedAt, finishedAt: startedAt, database: 'mairie' }),
    ...{ status: 'complete', heldUntil: null, proven: { level: 'verified', at: startedAt } },
    ...more,
  };
};
const restored = (day: number) => made(day, { proven: { level: 'restored', at: `2026-11-${day}T01:31:00Z` } });
const turn = (...backups: Backup[]) => isRestoreTurn(backups.at(-1) as Backup, backups, 3);

it('B3: the turn comes with the n-th backup since the one that was restored, or since the first', () => {
  expect(turn(made(10))).toBe(false);
  expect(turn(made(10), made(11))).toBe(false);
  expect(turn(made(10), made(11), made(12))).toBe(true);
  expect(turn(restored(10), made(11), made(12))).toBe(false);
  expect(turn(restored(10), made(11), made(12), made(13))).toBe(true);
  // One that was missed is made up for.
  expect(turn(restored(10), made(11), made(12), made(13), made(14))).toBe(true);
});

it('B3: other databases and policies, damaged backups and later ones do not count', () => {
  const others = [made(11, { database: 'other' }), made(11, { policy: 'weekly' })];
  expect(turn(restored(10), ...others, made(11, { status: 'quarantined' }), made(12), made(13))).toBe(false);
  const older = made(11);
  expect(isRestoreTurn(older, [restored(10), older, made(12), made(13), made(14)], 3)).toBe(false);
  expect(isRestoreTurn(made(14), [made(12), made(13), made(14)], undefined)).toBe(false);
});
