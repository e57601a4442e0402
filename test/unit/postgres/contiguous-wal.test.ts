import { expect, it } from '@jest/globals';
import { MOST_MISSING, neededSegments } from '../../../src/domain/target/wal.js';
import { listSegments } from '../../../src/postgres/wal/messages.js';
import { followWal, missingFor } from '../../../src/postgres/wal/contiguous-wal.js';
import { cpuMs } from '../../helpers/cpu-time.js';

it('F7: segments of another size than 16 MB are counted in their own: 64 MB make 64 to a log file', () => {
  const wal = { start: '00000001000000000000003F', stop: '000000010000000100000001' };
  const backup = { lsn: { start: '0/FC000028' }, wal };
  const present = [wal.start, '000000010000000100000000', wal.stop];
  expect(missingFor(backup, present)).toEqual([]);
  expect(missingFor(backup, present.slice(1))).toEqual([wal.start]);
  expect(missingFor({ lsn: { start: '0/3F000028' }, wal }, present)).toHaveLength(192);
  expect(missingFor({ lsn: null, wal }, present)).toHaveLength(192);
});

it('U5: a segment far away in the archive is a gap of the first thousand names, and costs nothing', () => {
  const [start, next, far] = ['000000010000000000000003', '000000010000000000000004', '000000010FFFFFFF000000FF'];
  const began = cpuMs();
  const { end, missing } = followWal([start, next, far], start, { id: 1, history: [] }, 16 * 1024 * 1024);
  expect(cpuMs() - began).toBeLessThan(5_000);
  expect(end).toBe(next);
  expect(missing).toHaveLength(MOST_MISSING);
  expect(missing[0]).toBe('000000010000000000000005');
  expect(listSegments(missing)).toMatch(/ and at least 995 more$/);
  expect(listSegments(missing.slice(0, 7))).toMatch(/ and 2 more$/);
  // A verification reads them one by one, and ends at the first that is not there.
  const [first] = neededSegments(start, far);
  expect(first).toBe(start);
});
