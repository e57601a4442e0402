import { expect, it } from '@jest/globals';
import { missingFor } from '../../../src/postgres/wal/contiguous-wal.js';

it('F7: segments of another size than 16 MB are counted in their own: 64 MB make 64 to a log file', () => {
  const wal = { start: '00000001000000000000003F', stop: '000000010000000100000001' };
  const backup = { lsn: { start: '0/FC000028' }, wal };
  const present = [wal.start, '000000010000000100000000', wal.stop];
  expect(missingFor(backup, present)).toEqual([]);
  expect(missingFor(backup, present.slice(1))).toEqual([wal.start]);
  expect(missingFor({ lsn: { start: '0/3F000028' }, wal }, present)).toHaveLength(192);
  expect(missingFor({ lsn: null, wal }, present)).toHaveLength(192);
});
