import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { failOnLeakedProcesses, leakedProcesses } from '../../helpers/leaks.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

test('a child is seen while it runs, and no longer afterwards', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  expect(leakedProcesses('').map(({ pid }) => pid)).toContain(child.pid);

  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(leakedProcesses('').map(({ pid }) => pid)).not.toContain(child.pid);
});

test('a process in a session of its own, nobody else’s child, is found by its mark', async () => {
  const mark = `marked-${process.pid}`;
  const env = { ...process.env, REPRISE_TEST_FILE_ID: mark };
  // The shell leaves at once, so the sleeper is not our child.
  const shell = spawn('sh', ['-c', 'setsid sleep 60 &'], { env, stdio: 'ignore' });
  await once(shell, 'exit');

  // Until the sleeper has become `sleep`, it is a shell still, or between the two.
  let found: ReturnType<typeof leakedProcesses> = [];
  await until(() => (found = leakedProcesses(mark))[0]?.command === 'sleep 60', 'the sleeper is there');
  expect(found).toEqual([{ pid: expect.any(Number), command: 'sleep 60' }]);
  process.kill(found[0]?.pid as number, 'SIGKILL');
});
