import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, it } from '@jest/globals';
import { restoreBeginningCommand, restoreCommand } from '../../../../src/engines/basebackup/wal/wal-commands.js';
import type { ReadContext } from '../../../../src/engines/engine.js';
import { onCleanup } from '../../../helpers/cleanup.js';
import { tempDir } from '../../../helpers/temp.js';

const SEGMENT = '000000010000000000000007';
const context = { storage: { capabilities: { localPath: false } } } as unknown as ReadContext;

let dataDir: string;
beforeEach(async () => {
  dataDir = await tempDir('waiting');
  for (const name of ['pg_wal', 'reprise_wal']) await mkdir(join(dataDir, name));
  await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n`);
});

/** As a server runs it, in its data directory; resolves with the exit code. */
async function restore(name: string, command = restoreCommand(context)): Promise<number | null> {
  const filled = command.replaceAll('%p', 'pg_wal/RECOVERYXLOG').replaceAll('%f', name).replaceAll('%%', '%');
  const child = spawn('/bin/sh', ['-c', filled], { cwd: dataDir, stdio: 'ignore' });
  onCleanup(async () => void child.kill('SIGKILL'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}
const list = (names: string): Promise<void> => writeFile(join(dataDir, 'reprise_wal', 'listed'), names);
const bring = async (name: string): Promise<void> => {
  await writeFile(join(dataDir, `${name}.coming`), `content of ${name}`);
  await rename(join(dataDir, `${name}.coming`), join(dataDir, 'reprise_wal', name));
};
const restored = (): Promise<string> => readFile(join(dataDir, 'pg_wal', 'RECOVERYXLOG'), 'utf8');
async function asked(): Promise<string> {
  for (;;) {
    const name = await readFile(join(dataDir, 'reprise_wal', 'asked'), 'utf8').catch(() => '');
    if (name !== '') return name;
    await sleep(10);
  }
}

it('F23: a segment that is on its way is waited for, so that it does not look like the end of the log', async () => {
  await list(`${SEGMENT}\n`);
  const restoring = restore(SEGMENT);
  expect(await asked()).toBe(`${SEGMENT}\n`);
  await bring(SEGMENT);
  expect([await restoring, await restored()]).toEqual([0, `content of ${SEGMENT}`]);
});

it('what is not in the archive is missing, and asks for nothing', async () => {
  await list(`00000002.history\n${SEGMENT}.partial\n`);
  expect(await restore(SEGMENT)).toBe(1);
  await expect(readFile(join(dataDir, 'reprise_wal', 'asked'))).rejects.toMatchObject({ code: 'ENOENT' });
  await bring(`${SEGMENT}.partial`);
  expect(await restore(SEGMENT, restoreBeginningCommand(context))).toBe(0);
  expect(await restored()).toBe(`content of ${SEGMENT}.partial`);
});

it('F23: before anybody said what comes, nothing is missing', async () => {
  const restoring = restore(SEGMENT);
  await sleep(200);
  await list('');
  expect(await restoring).toBe(1);
});

it('ends the recovery, not the log, where it can neither wait nor copy', async () => {
  await list(`${SEGMENT}\n`);
  await writeFile(join(dataDir, 'postmaster.pid'), '4194304\n');
  expect(await restore(SEGMENT)).toBe(255);
  await bring(SEGMENT);
  await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n`);
  await rename(join(dataDir, 'pg_wal'), join(dataDir, 'gone'));
  expect(await restore(SEGMENT)).toBe(255);
});
