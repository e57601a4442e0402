import { expect, it } from '@jest/globals';
import { walSizes } from '../../../src/postgres/server/wal-sizes.js';

it('M1: a copy is given room for two segments of WAL where the defaults of a server have less', () => {
  const [megabyte, sizes] = [1024 * 1024, [0, 1, 16, 32, 64, 1024]];
  expect(sizes.map((size) => walSizes(size * megabyte))).toEqual([
    {},
    {},
    {},
    {},
    { min_wal_size: '128MB', max_wal_size: '1024MB' },
    { min_wal_size: '2048MB', max_wal_size: '2048MB' },
  ]);
});
