import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { removeLeftovers } from '../../../../src/engines/basebackup/restore/leftovers.js';
import { spoolName } from '../../../../src/engines/basebackup/repository/names.js';
import { tempDir } from '../../../helpers/temp.js';

const DAY_MS = 86_400_000;
const old = new Date(Date.now() - 10 * DAY_MS);

it('D3: spools of operations that are over go after days; what runs, is young, or is not certainly one stays', async () => {
  const scratchDir = await tempDir('scratch');
  const make = async (name: string, files: readonly string[], at = old): Promise<void> => {
    const path = join(scratchDir, name);
    await mkdir(join(path, 'tar'), { recursive: true });
    for (const file of files) await writeFile(join(path, file), 'x');
    for (const file of [...files, 'tar', '']) await utimes(join(path, file), at, at);
  };
  const [gone, restored, running, young, filled, elsewhere] = [
    'gone',
    'restored',
    'running',
    'young',
    'filled',
    'elsewhere',
  ].map(spoolName) as [string, string, string, string, string, string];
  await make(gone, ['tar/base.tar.gz', 'parent_manifest', 'choice.json']);
  await mkdir(join(scratchDir, restored, 'chain-incr_20261121_021500'), { recursive: true });
  await mkdir(join(scratchDir, restored, 'full_20261120_021500'));
  for (const name of ['chain-incr_20261121_021500', 'full_20261120_021500', ''])
    await utimes(join(scratchDir, restored, name), old, old);
  await make(running, ['tar/base.tar.gz']);
  await make(young, ['tar/base.tar.gz']);
  await utimes(join(scratchDir, young, 'tar', 'base.tar.gz'), new Date(), new Date());
  await make(filled, ['notes-of-somebody']);
  await make('basebackup-of-somebody', ['tar/base.tar.gz']);
  await make('outline-x', []);
  const victim = await tempDir('victim');
  await symlink(victim, join(scratchDir, elsewhere));

  const removed = await removeLeftovers({ scratchDir }, new Set(['running']), 7 * DAY_MS);
  expect(removed.toSorted()).toEqual([gone, restored].map((name) => join(scratchDir, name)).toSorted());
  expect((await readdir(scratchDir)).toSorted()).toEqual(
    [running, young, filled, elsewhere, 'basebackup-of-somebody', 'outline-x'].toSorted(),
  );
  expect(await removeLeftovers({ scratchDir: join(scratchDir, 'nothing') }, new Set(), 0)).toEqual([]);
});
