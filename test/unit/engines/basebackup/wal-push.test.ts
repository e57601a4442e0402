import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, expect, it } from '@jest/globals';
import { archiveCommand, restoreCommand } from '../../../../src/engines/basebackup/wal/wal-commands.js';
import { openDirectory } from '../../../../src/storage/directory/directory-storage.js';
import type { ReadContext } from '../../../../src/engines/engine.js';
import { tempDir } from '../../../helpers/temp.js';

const SEGMENT = '000000010000000000000007';

let archive: string;
let dataDir: string;
let victim: string;
let context: ReadContext;
beforeEach(async () => {
  const [root, repository] = [await tempDir('push'), await tempDir('push-to')];
  dataDir = join(root, 'data');
  victim = join(root, 'victim');
  await mkdir(join(dataDir, 'pg_wal'), { recursive: true });
  await writeFile(join(dataDir, 'pg_wal', SEGMENT), 'the segment');
  await writeFile(victim, 'precious');
  const storage = openDirectory({ path: repository });
  context = { cluster: { name: 'mairie' }, policy: { name: 'base', options: {} }, storage } as unknown as ReadContext;
  archive = join(repository, 'mairie', 'base', 'wal');
  await storage.prepare('mairie/base/wal');
});

/** As a server runs it, in its data directory; resolves with the exit code. */
async function run(command: string | null, path = `pg_wal/${SEGMENT}`): Promise<number | null> {
  const filled = (command ?? '').replaceAll('%p', path).replaceAll('%f', SEGMENT).replaceAll('%%', '%');
  const child = spawn('/bin/sh', ['-c', filled], { cwd: dataDir, stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}
const push = (): Promise<number | null> => run(archiveCommand(context));

it('F54, U3: links at the names that archive_command used to give its temporary files are not followed: nothing is overwritten', async () => {
  // The number of the shell that will run was in the name, and the kernel counts on.
  const next = Number((await readFile('/proc/sys/kernel/ns_last_pid', 'utf8').catch(() => String(process.pid))).trim());
  for (let pid = next; pid < next + 2_000; pid += 1)
    await symlink(victim, join(archive, `.reprise-tmp-${SEGMENT}.${pid}`));
  expect(await push()).toBe(0);
  expect(await readFile(victim, 'utf8')).toBe('precious');
  const made = await lstat(join(archive, `${SEGMENT}.gz`));
  expect({ file: made.isFile(), mode: made.mode & 0o777, nlink: made.nlink }).toEqual({
    file: true,
    mode: 0o600,
    nlink: 1,
  });
  expect(gunzipSync(await readFile(join(archive, `${SEGMENT}.gz`))).toString()).toBe('the segment');
});

it('U3: a link at the name of a segment is never taken for the segment, whatever it leads to', async () => {
  const target = join(archive, `${SEGMENT}.gz`);
  await writeFile(victim, gzipSync('the segment'));
  for (const planted of [victim, join(dataDir, 'nothing')]) {
    await symlink(planted, target);
    expect(await push()).not.toBe(0);
    expect((await lstat(target)).isSymbolicLink()).toBe(true);
    expect(await run(restoreCommand(context), 'pg_wal/RECOVERYXLOG')).not.toBe(0);
    await rm(target);
  }
  expect(await readdir(archive)).toEqual([]);
  expect(await readdir(dataDir)).toEqual(['pg_wal']);
  expect(await push()).toBe(0);
  expect(await push()).toBe(0);
  expect(await run(restoreCommand(context), 'pg_wal/RECOVERYXLOG')).toBe(0);
  expect(await readFile(join(dataDir, 'pg_wal', 'RECOVERYXLOG'), 'utf8')).toBe('the segment');
});

it('U3: where the temporary file is replaced by a link while it is written, no link is left and nothing counts as archived', async () => {
  const tools = await tempDir('push-tools');
  // gzip, and then somebody who can write in the directory, at the worst instant.
  await writeFile(
    join(tools, 'gzip'),
    `#!/bin/sh\n/bin/gzip "$@"\nfor n in ${archive}/.reprise-tmp-*; do rm -f "$n"; ln -s ${victim} "$n"; done\n`,
  );
  await chmod(join(tools, 'gzip'), 0o755);
  const command = `export PATH=${tools}:$PATH; ${archiveCommand(context) ?? ''}`;
  expect(await run(command)).not.toBe(0);
  expect(await readdir(archive)).toEqual([]);
  expect(await readFile(victim, 'utf8')).toBe('precious');
});

it('U3: a repository in which others may write is refused before tools write there, and says what to type', async () => {
  const { storage } = context as unknown as { storage: { prepare(prefix: string): Promise<void> } };
  for (const path of [archive, join(archive, '..')]) {
    await chmod(path, 0o777);
    await expect(storage.prepare('mairie/base/wal')).rejects.toMatchObject({
      code: 'path-refused',
      message: expect.stringContaining('every user may write'),
      hint: expect.stringContaining('chmod go-w'),
    });
    await chmod(path, 0o700);
  }
  await storage.prepare('mairie/base/wal');
  expect((await stat(archive)).mode & 0o777).toBe(0o700);
});
