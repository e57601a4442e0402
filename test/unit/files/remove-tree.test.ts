import { link, lstat, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from '@jest/globals';
import { emptyDirectory, removeTree } from '../../../src/files/remove-tree.js';
import { nameExists } from '../../../src/files/paths.js';
import { tempDir } from '../../helpers/temp.js';

let root: string;
let victim: string;
beforeEach(async () => {
  root = await tempDir('remove');
  victim = join(root, 'victim');
  await mkdir(join(victim, 'base'), { recursive: true });
  await writeFile(join(victim, 'base', 'precious'), 'precious');
});
const at = (...names: string[]): string => join(root, ...names);
const isUntouched = async (): Promise<boolean> =>
  (await readFile(join(victim, 'base', 'precious'), 'utf8')) === 'precious';

async function tree(): Promise<void> {
  for (let folder = 0; folder < 20; folder += 1) {
    await mkdir(at('old', String(folder), 'deep'), { recursive: true });
    for (let file = 0; file < 40; file += 1) await writeFile(at('old', String(folder), 'deep', `${file}`), '');
  }
}

it('U2: a directory is removed whole, and of a link the link only', async () => {
  await tree();
  await symlink(victim, at('old', 'pg_wal'));
  await link(join(victim, 'base', 'precious'), at('old', 'second name'));
  await mkdir(Buffer.from(`${at('old')}/\xff`, 'latin1'));
  await removeTree(at('old'));
  await removeTree(at('old'));
  await symlink(victim, at('link'));
  await removeTree(at('link'));
  expect(await readdir(root)).toEqual(['victim']);
  expect(await isUntouched()).toBe(true);
});

it('U2: what is in the place of the directory that is to be removed is not removed', async () => {
  await tree();
  const { ino } = await lstat(at('old'), { bigint: true });
  await rename(at('old'), at('moved'));
  await mkdir(at('old'));
  await writeFile(at('old', 'of somebody else'), '');
  const refused = { code: 'path-refused', message: expect.stringContaining('not removed') };
  await expect(removeTree(at('old'), { ino })).rejects.toMatchObject(refused);
  await removeTree(at('old'));
  await symlink(victim, at('old'));
  await expect(removeTree(at('old'), { ino })).rejects.toMatchObject(refused);
  expect(await isUntouched()).toBe(true);
  await removeTree(at('moved'), { ino });
  expect(await nameExists(at('moved'))).toBe(false);
});

it('U2: directories that are replaced by links while a removal is under way lead it nowhere else', async () => {
  await tree();
  let going = true;
  const swapping = (async () => {
    for (let round = 0; going; round = (round + 1) % 20) {
      // As an attacker would: away with the directory, and a link in its place.
      await rename(at('old', String(round)), at(`away-${round}`)).catch(() => undefined);
      await symlink(victim, at('old', String(round))).catch(() => undefined);
    }
  })();
  await removeTree(at('old')).catch(() => undefined);
  going = false;
  await swapping;
  expect(await isUntouched()).toBe(true);
});

it('U2: a directory is emptied and stays itself', async () => {
  await tree();
  await symlink(victim, at('old', 'link'));
  const { ino } = await lstat(at('old'));
  await emptyDirectory(at('old'));
  expect(await readdir(at('old'))).toEqual([]);
  expect((await lstat(at('old'))).ino).toBe(ino);
  expect(await isUntouched()).toBe(true);
});
