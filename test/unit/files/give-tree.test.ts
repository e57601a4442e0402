import { chown, link, lstat, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { giveTree } from '../../../src/files/give-tree.js';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { tempDir } from '../../helpers/temp.js';

const SOMEBODY = { uid: 12_345, gid: 12_345 };
const itAsRoot = process.getuid?.() === 0 ? it : it.skip;

itAsRoot(
  'O4: what root left in a state directory is given away, and nothing that its owner planted there',
  async () => {
    const root = await tempDir('give');
    const at = (...names: string[]): string => join(root, ...names);
    await mkdir(at('state', 'embedded'), { recursive: true });
    await mkdir(at('etc'));
    for (const file of [at('state', 'embedded', 'embedded.json'), at('state', 'other'), at('etc', 'shadow')])
      await writeFile(file, '');
    await chown(at('state', 'other'), 54_321, 54_321);
    await symlink(at('etc'), at('state', 'folder'));
    await symlink(at('etc', 'shadow'), at('state', 'link'));
    await link(at('etc', 'shadow'), at('state', 'second-name'));
    await runProgram(['mkfifo', at('state', 'pipe')]);
    await chown(at('etc'), 0, 0);

    await giveTree(at('state'), SOMEBODY);

    const owner = async (...names: string[]): Promise<number> => (await lstat(at(...names))).uid;
    expect(await Promise.all([owner('state'), owner('state', 'embedded', 'embedded.json')])).toEqual([12_345, 12_345]);
    expect(await owner('state', 'other')).toBe(54_321);
    for (const kept of [['etc'], ['etc', 'shadow'], ['state', 'second-name'], ['state', 'link'], ['state', 'pipe']])
      expect(await owner(...kept)).toBe(0);
    await expect(giveTree(at('state', 'folder'), SOMEBODY)).rejects.toThrow('ENOTDIR');
  },
);
