import { execFile } from 'node:child_process';
import { chmod, chown, link, lstat, mkdir, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { openDirectory } from '../../src/storage/directory/directory-storage.js';
import { openDirectoryForReading } from '../../src/storage/directory/reading.js';
import { onCleanup } from '../helpers/cleanup.js';
import { asRoot } from '../helpers/postgres-user.js';
import { tempDir } from '../helpers/temp.js';
import { describeStorage, keys } from './storage-suite.js';

const run = promisify(execFile);

describeStorage({ kind: 'directory', open: async () => openDirectory({ path: await tempDir('storage') }) });

describe('storage in a directory', () => {
  const repository = async () => {
    const root = await tempDir('storage');
    return { root, storage: openDirectory({ path: root }) };
  };

  it('F42: files are 0600 and directories 0700, whatever the umask', async () => {
    const { root, storage } = await repository();
    const before = process.umask(0);
    try {
      await storage.createIfAbsent('a/b/record', 'x');
      await storage.write('a/c/object', 'x');
      await storage.prepare('a/incoming');
    } finally {
      process.umask(before);
    }
    for (const directory of ['a', 'a/b', 'a/c', 'a/incoming']) expect(await mode(join(root, directory))).toBe(0o700);
    for (const file of ['a/b/record', 'a/c/object']) expect(await mode(join(root, file))).toBe(0o600);
  });

  it('what root writes belongs to the owner of the repository, or to the owner that was named', async () => {
    if (!asRoot) return expect(process.geteuid?.()).not.toBe(0);
    const { root, storage } = await repository();
    await chown(root, 12_345, 12_346);
    await mkdir(join(root, 'killed')); // made by root, not given away: a killed attempt
    await storage.write('killed/x', 'x');
    await storage.createIfAbsent('a/b/c', 'x');
    await storage.prepare('d/e', { uid: 12_347, gid: 12_348 });
    await openDirectory({ path: root, owner: { uid: 12_349, gid: 12_350 } }).write('f/g', 'x');
    const owners = async (...names: string[]) =>
      Promise.all(names.map(async (name) => (await stat(join(root, name))).uid));
    expect(await owners('killed', 'killed/x', 'a', 'a/b', 'a/b/c')).toEqual([12_345, 12_345, 12_345, 12_345, 12_345]);
    expect(await owners('d', 'd/e', 'f', 'f/g')).toEqual([12_347, 12_347, 12_349, 12_349]);
  });

  it('F37: a symbolic link is neither followed nor listed, in the middle or at the end of a path', async () => {
    const { root, storage } = await repository();
    const outside = await tempDir('outside');
    await writeFile(join(outside, 'secret'), 'secret');
    await storage.write('real/x', 'x');
    await symlink(outside, join(root, 'away'));
    await symlink(join(outside, 'secret'), join(root, 'real', 'link'));
    for (const key of ['away/secret', 'real/link']) {
      const refused = { code: 'path-refused' };
      await expect(storage.read(key)).rejects.toMatchObject(refused);
      await expect(storage.open(key)).rejects.toMatchObject(refused);
      await expect(storage.stat(key)).rejects.toMatchObject(refused);
      await expect(storage.write(key, 'overwritten')).rejects.toMatchObject(refused);
      await expect(storage.createIfAbsent(key, 'overwritten')).rejects.toMatchObject(refused);
      await expect(storage.remove(key)).rejects.toMatchObject(refused);
      await expect(storage.publish(key, 'stolen')).rejects.toMatchObject(refused);
      expect(() => storage.localPath(key)).toThrow(expect.objectContaining(refused));
    }
    await expect(storage.prepare('away/new')).rejects.toMatchObject({ code: 'path-refused' });
    await expect(keys(storage.list('away'))).rejects.toMatchObject({ code: 'path-refused' });
    expect(await keys(storage.list(''))).toEqual(['real/x']);
    expect(await readdir(outside)).toEqual(['secret']);
  });

  it('F37: a file with a second name elsewhere is neither read nor listed', async () => {
    const { root, storage } = await repository();
    const outside = await tempDir('outside');
    await writeFile(join(outside, 'secret'), 'secret');
    await link(join(outside, 'secret'), join(root, 'planted'));
    await expect(storage.read('planted')).rejects.toMatchObject({ code: 'path-refused' });
    expect(await keys(storage.list(''))).toEqual([]);
  });

  it('F1: what a writer killed between its two names left is a whole object, and is swept later', async () => {
    const { root, storage } = await repository();
    await storage.write('records/1', 'whole');
    const left = join(root, 'records', '.reprise-tmp-0123');
    await link(join(root, 'records', '1'), left);
    expect((await storage.read('records/1')).toString()).toBe('whole');
    expect(await keys(storage.list(''))).toEqual(['records/1']);
    await utimes(left, 0, 0);
    await openDirectory({ path: root }).createIfAbsent('records/2', 'x');
    expect((await readdir(join(root, 'records'))).sort()).toEqual(['1', '2']);
  });

  it('F1: a publication killed between its two names is finished by the next attempt', async () => {
    const { root, storage } = await repository();
    await storage.write('in/part', 'whole');
    await storage.prepare('out');
    await link(join(root, 'in', 'part'), join(root, 'out', 'done'));
    await storage.publish('in/part', 'out/done');
    expect(await keys(storage.list(''))).toEqual(['out/done']);
    expect((await lstat(join(root, 'out', 'done'))).nlink).toBe(1);
  });

  it('publishes a directory of a tool, never over another', async () => {
    const { root, storage } = await repository();
    await storage.write('in/base/file', 'x');
    await storage.publish('in/base', 'out/base');
    await storage.write('in/base/file', 'y');
    await expect(storage.publish('in/base', 'out/base')).rejects.toMatchObject({ code: 'conflict' });
    expect((await storage.read('out/base/file')).toString()).toBe('x');
    await expect(storage.remove('out/base')).rejects.toMatchObject({ code: 'path-refused' });
    expect(await readdir(join(root, 'out'))).toEqual(['base']);
  });

  it('a named pipe does not hold a reader for ever', async () => {
    const { root, storage } = await repository();
    await run('mkfifo', [join(root, 'pipe')]);
    await expect(storage.read('pipe')).rejects.toMatchObject({ code: 'path-refused' });
    expect(await keys(storage.list(''))).toEqual([]);
  });

  it('B1, F42: a missing root is made, owner-only, with the directories above it', async () => {
    const root = join(await tempDir('storage'), 'backups', 'postgres');
    const storage = openDirectory({ path: root, ...(asRoot ? { owner: { uid: 65534, gid: 65534 } } : {}) });
    expect(await keys(storage.list(''))).toEqual([]);
    for (const path of [root, join(root, '..')]) {
      const made = await lstat(path);
      expect(made.mode & 0o777).toBe(0o700);
      if (asRoot) expect(made.uid).toBe(65534);
    }
  });

  it('a reader says that the root is missing, and does not make it', async () => {
    const root = join(await tempDir('storage'), 'not-mounted');
    const storage = openDirectoryForReading({ path: root });
    const missing = { code: 'storage-unreachable', hint: expect.stringContaining(root) };
    await expect(storage.read('a')).rejects.toMatchObject(missing);
    await expect(keys(storage.list(''))).rejects.toMatchObject(missing);
    await expect(storage.freeBytes()).rejects.toMatchObject(missing);
    await expect(lstat(root)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F5: a full file system is storage-full, leaves nothing partial and keeps what was there', async () => {
    // Only root can mount; without that right the test cannot be made.
    if (!asRoot) return expect(process.geteuid?.()).not.toBe(0);
    const root = await tempDir('full');
    await run('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', root]);
    onCleanup(() => run('umount', [root]));
    const storage = openDirectory({ path: root });
    await storage.write('a/good', 'good');
    const tooMuch = Buffer.alloc(1 << 20);
    await expect(storage.write('a/good', tooMuch)).rejects.toMatchObject({
      code: 'storage-full',
      hint: expect.any(String),
    });
    await expect(storage.createIfAbsent('a/new', tooMuch)).rejects.toMatchObject({ code: 'storage-full' });
    expect(await readdir(join(root, 'a'))).toEqual(['good']);
    expect((await storage.read('a/good')).toString()).toBe('good');
  });

  it('a directory without rights is storage-unreachable', async () => {
    // Root may read everything: a process that gives its rights up (after loading, its sources may be root's) may not.
    const root = await tempDir('closed');
    await chmod(root, 0o000);
    const source = new URL('../../src/storage/directory/directory-storage.ts', import.meta.url);
    const script = `
      const { openDirectory } = await import(${JSON.stringify(source.href)});
      if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
      await openDirectory({ path: ${JSON.stringify(root)} }).write('a', 'x')
        .catch(({ code, hint }) => console.log(JSON.stringify({ code, hint })));`;
    const loader = new URL('../helpers/typescript.mjs', import.meta.url).href;
    const { stdout } = await run(process.execPath, ['--import', loader, '--input-type=module', '-e', script]);
    expect(JSON.parse(stdout)).toEqual({ code: 'storage-unreachable', hint: expect.stringContaining('0700') });
  });

  it('a dry run gets a handle that has nothing to write with', async () => {
    const { root } = await repository();
    const reading = openDirectoryForReading({ path: root });
    expect(Object.keys(reading).sort()).toEqual([
      'capabilities',
      'entries',
      'freeBytes',
      'kind',
      'list',
      'localPath',
      'open',
      'read',
      'stat',
    ]);
  });
});

async function mode(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}
