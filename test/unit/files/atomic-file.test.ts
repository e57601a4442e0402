import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { promisify } from 'node:util';
import {
  copyFileAtomic,
  createFileAtomic,
  openForAppending,
  removeFileDurably,
  streamToFile,
  writeFileAtomic,
  writeTemporary,
} from '../../../src/files/atomic-file.js';
import { giveTo } from '../../../src/files/directories.js';

const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? it : it.skip;
const SOMEBODY = { uid: 12_345, gid: 12_345 };

let dir: string;
let victim: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reprise-files-'));
  await mkdir(join(dir, 'safe'), { mode: 0o700 });
  await mkdir(join(dir, 'place'), { mode: 0o700 });
  victim = join(dir, 'safe', 'victim');
  await writeFile(victim, 'precious', { mode: 0o644 });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const at = (name: string) => join(dir, 'place', name);
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

async function victimIsUntouched(): Promise<void> {
  expect(await readFile(victim, 'utf8')).toBe('precious');
  const { mode, uid } = await stat(victim);
  expect({ mode: mode & 0o777, uid }).toEqual({ mode: 0o644, uid: process.getuid?.() });
}

describe('the atomic writer', () => {
  it('writes a whole file with mode 0600, whatever the umask, and leaves nothing else', async () => {
    const before = process.umask(0o777);
    try {
      await writeFileAtomic(at('a'), 'one');
    } finally {
      process.umask(before);
    }
    expect(await modeOf(at('a'))).toBe(0o600);
    await chmod(at('a'), 0o666);
    await writeFileAtomic(at('a'), 'two');
    expect(await readFile(at('a'), 'utf8')).toBe('two');
    expect(await modeOf(at('a'))).toBe(0o600);
    expect(await readdir(join(dir, 'place'))).toEqual(['a']);
  });

  it('creates only where nothing is', async () => {
    expect(await createFileAtomic(at('a'), 'one')).toBe(true);
    expect(await createFileAtomic(at('a'), 'two')).toBe(false);
    expect(await readFile(at('a'), 'utf8')).toBe('one');
    expect((await stat(at('a'))).nlink).toBe(1);
    expect(await readdir(join(dir, 'place'))).toEqual(['a']);
  });

  it('of many creators at once, one wins', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, (_, index) => createFileAtomic(at('a'), String(index))));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await readFile(at('a'), 'utf8')).toBe(String(made.indexOf(true)));
  });

  it('leaves nothing behind where it fails', async () => {
    await mkdir(at('a'));
    await expect(writeFileAtomic(at('a'), 'one')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(join(dir, 'place'))).toEqual(['a']);
  });

  it('removes a file that is there or not', async () => {
    await writeFileAtomic(at('a'), 'one');
    await removeFileDurably(at('a'));
    await removeFileDurably(at('a'));
    expect(await readdir(join(dir, 'place'))).toEqual([]);
  });

  it('a copy is whole, and takes away what killed attempts left of it alone', async () => {
    await writeFile(at(`b.${'0'.repeat(12)}.tmp`), 'half');
    await writeFile(at(`c.${'0'.repeat(12)}.tmp`), 'half');
    const content = Buffer.alloc(300_000, 'x');
    await writeFile(at('a'), content);
    await copyFileAtomic(at('a'), at('b'));
    expect((await readFile(at('b'))).equals(content)).toBe(true);
    expect((await readdir(join(dir, 'place'))).sort()).toEqual(['a', 'b', `c.${'0'.repeat(12)}.tmp`]);
  });
});

describe('planted links', () => {
  it('at the final name are replaced, never followed', async () => {
    await symlink(victim, at('a'));
    await writeFileAtomic(at('a'), 'mine', SOMEBODY);
    expect((await lstat(at('a'))).isFile()).toBe(true);
    await symlink(victim, at('b'));
    await copyFileAtomic(at('a'), at('b'), SOMEBODY);
    expect((await lstat(at('b'))).isFile()).toBe(true);
    await link(victim, at('c'));
    await writeFileAtomic(at('c'), 'mine', SOMEBODY);
    await victimIsUntouched();
  });

  it('at the final name are no free place for a creator, also where they lead to nothing', async () => {
    await symlink(victim, at('a'));
    await symlink(join(dir, 'safe', 'new'), at('b'));
    expect(await createFileAtomic(at('a'), 'mine')).toBe(false);
    expect(await createFileAtomic(at('b'), 'mine')).toBe(false);
    expect(await readdir(join(dir, 'safe'))).toEqual(['victim']);
    await victimIsUntouched();
  });

  it('at the temporary name are refused', async () => {
    const fill = (file: { writeFile(text: string): Promise<void> }) => file.writeFile('mine');
    await symlink(victim, at('t'));
    await expect(writeTemporary(at('t'), fill, SOMEBODY)).rejects.toMatchObject({ code: 'EEXIST' });
    await symlink(join(dir, 'safe', 'new'), at('u'));
    await expect(writeTemporary(at('u'), fill, SOMEBODY)).rejects.toMatchObject({ code: 'EEXIST' });
    // The one who planted it keeps it: only what was created here is removed.
    expect(await readlink(at('t'))).toBe(victim);
    expect(await readdir(join(dir, 'safe'))).toEqual(['victim']);
    await victimIsUntouched();
  });

  it('at the name that the writer used to give its temporary files do nothing', async () => {
    await symlink(victim, at('a.reprise-tmp'));
    await writeFileAtomic(at('a'), 'mine', SOMEBODY);
    await victimIsUntouched();
  });

  it('are not read in place of what is copied, and a named pipe blocks nobody', async () => {
    await symlink(victim, at('a'));
    await expect(copyFileAtomic(at('a'), at('b'))).rejects.toMatchObject({ code: 'path-refused' });
    await promisify(execFile)('mkfifo', [at('pipe')]);
    await expect(copyFileAtomic(at('pipe'), at('b'))).rejects.toMatchObject({ code: 'path-refused' });
    expect((await readdir(join(dir, 'place'))).sort()).toEqual(['a', 'pipe']);
  });

  it('receive no stream, no line of a log and no owner', async () => {
    await symlink(victim, at('a'));
    const stream = streamToFile(at('a'));
    stream.end('mine');
    await expect(finished(stream)).rejects.toMatchObject({ code: 'ELOOP' });
    await giveTo(at('a'), SOMEBODY);
    await expect(openForAppending(at('a'), SOMEBODY)).rejects.toMatchObject({ code: 'ELOOP' });
    await victimIsUntouched();
    for (const text of ['one', 'two']) {
      const log = await openForAppending(at('log'));
      await log.writeFile(text);
      await log.close();
    }
    expect([await readFile(at('log'), 'utf8'), await modeOf(at('log'))]).toEqual(['onetwo', 0o600]);
    const whole = streamToFile(at('b'));
    whole.end('mine');
    await finished(whole);
    expect([await readFile(at('b'), 'utf8'), await modeOf(at('b'))]).toEqual(['mine', 0o600]);
  });
});

describe('directories of others', () => {
  it('one that every user may write is refused, unless it is sticky', async () => {
    await chmod(join(dir, 'place'), 0o777);
    const refused = { code: 'path-refused', message: expect.stringContaining('every user may write') };
    await expect(writeFileAtomic(at('a'), 'one')).rejects.toMatchObject(refused);
    await expect(createFileAtomic(at('a'), 'one')).rejects.toMatchObject(refused);
    await expect(copyFileAtomic(victim, at('a'))).rejects.toMatchObject(refused);
    expect(await readdir(join(dir, 'place'))).toEqual([]);
    await chmod(join(dir, 'place'), 0o1777);
    await writeFileAtomic(at('a'), 'one');
    expect(await readFile(at('a'), 'utf8')).toBe('one');
  });

  asRoot("root writes in another user's directory, for that user", async () => {
    await chown(join(dir, 'place'), SOMEBODY.uid, SOMEBODY.gid);
    await writeFileAtomic(at('a'), 'one', SOMEBODY);
    const { uid, gid, mode } = await stat(at('a'));
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ ...SOMEBODY, mode: 0o600 });
  });

  asRoot("root does not follow a user's link to a directory that is not that user's", async () => {
    await chown(join(dir, 'place'), SOMEBODY.uid, SOMEBODY.gid);
    await symlink(join(dir, 'safe'), at('conf.d'));
    await lchown(at('conf.d'), SOMEBODY.uid, SOMEBODY.gid);
    const refused = { code: 'path-refused', message: expect.stringContaining('symbolic link') };
    await expect(writeFileAtomic(join(at('conf.d'), 'victim'), 'mine', SOMEBODY)).rejects.toMatchObject(refused);
    await expect(createFileAtomic(join(at('conf.d'), 'new'), 'mine', SOMEBODY)).rejects.toMatchObject(refused);
    expect(await readdir(join(dir, 'safe'))).toEqual(['victim']);
    await victimIsUntouched();
  });

  asRoot("root follows a link of its own, and a user's link to a directory of that user", async () => {
    await symlink('../safe', at('link'));
    await writeFileAtomic(join(at('link'), 'a'), 'one');
    expect(await readFile(join(dir, 'safe', 'a'), 'utf8')).toBe('one');
    await mkdir(join(dir, 'wal'), { mode: 0o700 });
    await chown(join(dir, 'wal'), SOMEBODY.uid, SOMEBODY.gid);
    await symlink(join(dir, 'wal'), at('pg_wal'));
    await lchown(at('pg_wal'), SOMEBODY.uid, SOMEBODY.gid);
    await writeFileAtomic(join(at('pg_wal'), 'a'), 'one', SOMEBODY);
    expect(await readdir(join(dir, 'wal'))).toEqual(['a']);
  });

  it('a file that is being written is open to nobody else', async () => {
    let seen: number | undefined;
    await writeTemporary(
      at('t'),
      async (file) => {
        seen = (await file.stat()).mode & 0o777;
        await file.writeFile('x');
      },
      null,
    );
    expect(seen).toBe(0o600);
    const file = await open(at('t'));
    await file.close();
  });
});
