import { chmod, lstat, mkdir, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import {
  copyOldData,
  emptyOldData,
  makeCopyDirectory,
  readyToOverwrite,
} from '../../../src/postgres/old-data/copy-old-data.js';
import { JobBench } from '../../helpers/jobs.js';

async function oldData() {
  const bench = await JobBench.create();
  const [from, to] = [join(bench.dir, 'old'), join(bench.dir, 'spare', 'old.aside-1')];
  await mkdir(join(from, 'base', '1'), { recursive: true, mode: 0o700 });
  await mkdir(join(from, 'pg_tblspc'));
  await writeFile(join(from, 'PG_VERSION'), '15\n', { mode: 0o600 });
  await writeFile(join(from, 'base', '1', "we'ird name\n"), 'x'.repeat(20_000));
  await chmod(join(from, 'base', '1'), 0o750);
  await symlink('/nowhere/tablespace', join(from, 'pg_tblspc', '16400'));
  await mkdir(join(bench.dir, 'spare'));
  return { bench, from, to, jobs: bench.jobs() };
}

it('S4: old data is copied whole, with modes and links, and only then the directory is emptied, which itself stays', async () => {
  const { jobs, from, to } = await oldData();
  const { ino } = await lstat(from);
  await copyOldData(jobs, from, to);
  expect((await readdir(to, { recursive: true })).toSorted()).toEqual(
    (await readdir(from, { recursive: true })).toSorted(),
  );
  expect((await lstat(join(to, 'base', '1'))).mode & 0o777).toBe(0o750);
  expect((await lstat(join(to, 'pg_tblspc', '16400'))).isSymbolicLink()).toBe(true);
  await emptyOldData(jobs, from, to);
  expect(await readdir(from)).toEqual([]);
  expect((await lstat(from)).ino).toBe(ino);
  expect(await readFile(join(to, 'PG_VERSION'), 'utf8')).toBe('15\n');
});

it('F2: a copy cut off is taken up: what was half written is younger than its source, and is written again', async () => {
  const { jobs, from, to } = await oldData();
  const name = join('base', '1', "we'ird name\n");
  await mkdir(join(to, 'base', '1'), { recursive: true });
  await writeFile(join(to, name), 'x'.repeat(700));
  await writeFile(join(to, 'PG_VERSION'), '15\n');
  await utimes(join(to, 'PG_VERSION'), new Date(), (await lstat(join(from, 'PG_VERSION'))).mtime);
  await copyOldData(jobs, from, to);
  expect(await readFile(join(to, name), 'utf8')).toBe(await readFile(join(from, name), 'utf8'));
});

it('what is in the place of the copy and has no source is left alone, and the copy is not taken for whole', async () => {
  const { jobs, from, to } = await oldData();
  await mkdir(to, { recursive: true });
  await writeFile(join(to, 'somebody-elses'), 'dear');
  await expect(copyOldData(jobs, from, to)).rejects.toMatchObject({
    code: 'tool-failed',
    message: expect.stringContaining('somebody-elses'),
  });
  expect(await readFile(join(to, 'somebody-elses'), 'utf8')).toBe('dear');
});

/** Another cluster, as many files as the one that lost them. */
async function anotherCluster(dir: string): Promise<string> {
  const path = join(dir, 'other', 'data');
  await mkdir(join(path, 'base', '1'), { recursive: true });
  for (let file = 0; file < 51; file += 1) await writeFile(join(path, 'base', '1', String(file)), 'of another cluster');
  await writeFile(join(path, 'PG_VERSION'), '18\n');
  return path;
}
const filesOf = async (path: string): Promise<number> =>
  (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length;

it('U2: a link in the place of the copy is refused: no file of what it leads to is removed or written', async () => {
  const { bench, jobs, from, to } = await oldData();
  const other = await anotherCluster(bench.dir);
  await symlink(other, to);
  const refused = { code: 'path-refused', hint: expect.stringContaining('move it away') };
  await expect(copyOldData(jobs, from, to)).rejects.toMatchObject(refused);
  expect([await filesOf(other), await readFile(join(other, 'PG_VERSION'), 'utf8')]).toEqual([52, '18\n']);
  expect(await readdir(from)).toContain('PG_VERSION');
  await expect(emptyOldData(jobs, from, to)).rejects.toMatchObject({ code: 'conflict' });
});

it('U2: what takes the place of the directory that was made for the copy is never entered', async () => {
  const { bench, jobs, from, to } = await oldData();
  const other = await anotherCluster(bench.dir);
  const inode = (await makeCopyDirectory(to, null)) ?? '';
  await rename(to, `${to}.away`);
  const refused = { code: 'path-refused', message: expect.stringContaining('was replaced') };
  for (const plant of [() => symlink(other, to), () => rename(other, to)]) {
    await plant();
    await expect(copyOldData(bench.jobs(), from, to, { inode })).rejects.toMatchObject(refused);
    await expect(emptyOldData(jobs, from, to, inode)).rejects.toMatchObject({ code: 'conflict' });
    if ((await lstat(to)).isSymbolicLink()) await rm(to);
  }
  expect(await filesOf(to)).toBe(52);
  expect(await readdir(from)).toContain('PG_VERSION');
});

it('U2: old data is not copied to a directory that others may write, nor below one', async () => {
  const { bench, jobs, from, to } = await oldData();
  for (const mode of [0o777, 0o1777]) {
    await chmod(join(bench.dir, 'spare'), mode);
    await expect(copyOldData(jobs, from, to)).rejects.toMatchObject({
      code: 'path-refused',
      message: expect.stringContaining('every user may write'),
    });
  }
  expect(await readdir(join(bench.dir, 'spare'))).toEqual([]);
});

it('nothing is emptied while the copy is not there, as when what it lies on is not mounted', async () => {
  const { jobs, from, to } = await oldData();
  await expect(emptyOldData(jobs, from, to)).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('mount'),
  });
  expect(await readdir(from)).toContain('PG_VERSION');
});

it('a killed server leaves its lock file, over which nothing could be restored', async () => {
  const { from } = await oldData();
  await writeFile(join(from, 'postmaster.pid'), '999999\n');
  await readyToOverwrite(from);
  expect(await readdir(from)).not.toContain('postmaster.pid');
});
