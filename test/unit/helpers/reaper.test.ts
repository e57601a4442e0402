import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { Reaper } from '../../helpers/reaper.js';
import { makeTempDir } from '../../helpers/make-temp-dir.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

test('when the pipe closes without a word, processes are ended and directories removed', async () => {
  const directory = join(await tempDir('reaper'), 'with a space');
  await mkdir(directory);
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');

  const reaper = new Reaper();
  reaper.process(child.pid as number);
  reaper.directory(directory);
  const exited = once(child, 'exit');
  reaper.abandon();

  await exited;
  await until(() => !existsSync(directory), 'the directory is removed');
});

test('what works in a directory or as a job of one goes with it, also what left us for a session of its own', async () => {
  const directory = await makeTempDir('reaper');
  const own = { detached: true, stdio: 'ignore' } as const;
  const children = [
    spawn('tail', ['-F', `${directory}/wal`], own),
    spawn('sleep', ['60'], { ...own, env: { REPRISE_JOB: `${directory}/jobs/op/receive/1` } }),
  ];
  const other = spawn('sleep', ['60'], { env: { PLACE: `${directory}-other/x` } });
  await Promise.all([...children, other].map((child) => once(child, 'spawn')));

  const reaper = new Reaper();
  reaper.directory(directory);
  const exits = children.map((child) => once(child, 'exit'));
  reaper.abandon();
  await Promise.all(exits);
  await until(() => !existsSync(directory), 'the directory is removed');
  expect(other.exitCode ?? other.signalCode).toBeNull();
  other.kill();
  await once(other, 'exit');
});

test('after `done` nothing is touched', async () => {
  const directory = await tempDir('reaper');
  const reaper = new Reaper();
  reaper.directory(directory);
  reaper.done();
  await sleep(300);
  expect(existsSync(directory)).toBe(true);
});
