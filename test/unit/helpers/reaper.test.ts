import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { Reaper } from '../../helpers/reaper.js';
import { tempDir } from '../../helpers/temp.js';

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
  for (let tries = 0; tries < 100 && existsSync(directory); tries++) await sleep(50);
  expect(existsSync(directory)).toBe(false);
});

test('after `done` nothing is touched', async () => {
  const directory = await tempDir('reaper');
  const reaper = new Reaper();
  reaper.directory(directory);
  reaper.done();
  await sleep(300);
  expect(existsSync(directory)).toBe(true);
});
