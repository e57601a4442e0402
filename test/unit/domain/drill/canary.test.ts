import { expect, it } from '@jest/globals';
import { newestCanary, type WrittenCanary } from '../../../../src/domain/drill/canary.js';

const row = (n: number, lsn: string, minute: number): WrittenCanary => ({
  ...{ n, lsn, token: String(n) },
  at: `2026-01-01T00:${String(minute).padStart(2, '0')}:00.000000Z`,
});

it('V2: the newest canary is that of the history that was restored', () => {
  const written = [row(1, '0/10', 1), row(2, '0/20', 2), row(3, '0/30', 3), row(4, '0/40', 4)];
  expect(newestCanary(written, { lsn: '0/3F' })?.n).toBe(3);
  expect(newestCanary(written, { at: '2026-01-01T00:02:30Z' })?.n).toBe(2);
  expect(newestCanary(written, { lsn: '0/F' })).toBeNull();
  // After a recovery to the second row the third is written again, at a later time and another position.
  const again = [...written, row(3, '0/28', 9)];
  expect(newestCanary(again, { lsn: '0/40' })).toEqual(row(3, '0/28', 9));
});

it('V2: a row that was committed after a dump began is not expected in it', () => {
  const slow = { ...row(2, '0/20', 2), committedAt: '2026-01-01T00:02:40.000000Z' };
  const written = [row(1, '0/10', 1), slow];
  expect(newestCanary(written, { at: '2026-01-01T00:02:30Z' })?.n).toBe(1);
  expect(newestCanary(written, { at: '2026-01-01T00:02:40Z' })?.n).toBe(2);
});
