import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { sizeOfOldData } from '../../../src/postgres/old-data/size-old-data.js';
import { tempDir } from '../../helpers/temp.js';

it('O16: the size of an old data directory is that of its files; links are not followed, and what takes too long has none', async () => {
  const root = await tempDir('aside');
  const outside = await tempDir('outside');
  await mkdir(join(root, 'base', '1'), { recursive: true });
  await writeFile(join(root, 'base', '1', '2'), Buffer.alloc(1_000_000));
  await writeFile(join(outside, 'big'), Buffer.alloc(5_000_000));
  await symlink(outside, join(root, 'pg_tblspc'));
  const nowhere = {} as never;
  const bytes = await sizeOfOldData(root, nowhere, performance.now() + 60_000);
  expect(bytes).toBeGreaterThanOrEqual(1_000_000);
  expect(bytes).toBeLessThan(2_000_000);
  expect(await sizeOfOldData(root, nowhere, performance.now() - 1)).toBeNull();
  expect(await sizeOfOldData(join(root, 'gone'), nowhere, performance.now() + 60_000)).toBeNull();
});
