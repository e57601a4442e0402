import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { failOnLeakedProcesses, leakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

test('a child is seen while it runs, and no longer afterwards', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  expect((await leakedProcesses('')).map(({ pid }) => pid)).toContain(child.pid);

  child.kill('SIGKILL');
  await once(child, 'exit');
  expect((await leakedProcesses('')).map(({ pid }) => pid)).not.toContain(child.pid);
});

test('a process in a session of its own, nobody else’s child, is found by its mark', async () => {
  const mark = `marked-${process.pid}`;
  const env = { ...process.env, REPRISE_TEST_FILE_ID: mark };
  // The shell leaves at once, so the sleeper is not our child.
  const shell = spawn('sh', ['-c', 'setsid sleep 60 &'], { env, stdio: 'ignore' });
  await once(shell, 'exit');

  // Until the sleeper has become `sleep`, it is a shell still, or between the two.
  let found = await leakedProcesses(mark);
  for (let tries = 0; tries < 100 && found[0]?.command !== 'sleep 60'; tries++) {
    await sleep(20);
    found = await leakedProcesses(mark);
  }
  expect(found).toEqual([{ pid: expect.any(Number), command: 'sleep 60' }]);
  process.kill(found[0]?.pid as number, 'SIGKILL');
});
