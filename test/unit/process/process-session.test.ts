import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { identify } from '../../../src/process/exec/process-identity.js';
import { endSession, JOB_MARK } from '../../../src/process/exec/process-session.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { lives } from '../../helpers/jobs.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

/** A session whose leader has ended and was collected, so that only its number is left, in its child. */
async function orphanedSession(mark: string) {
  const env = { ...process.env, [JOB_MARK]: mark };
  const leader = spawn('sh', ['-c', 'sleep 600 >/dev/null & echo $!; read wait'], {
    detached: true,
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const [output] = (await once(leader.stdout, 'data')) as [Buffer];
  const identity = await identify(leader.pid as number);
  leader.stdin.end();
  await once(leader, 'exit');
  if (identity === null) throw new Error('the leader ended too early');
  const child = Number(output);
  onCleanup(async () => {
    if (await lives(child)) process.kill(child, 'SIGKILL');
  });
  return { identity, child };
}

describe('a session without its leader', () => {
  it('F1: what carries the job’s mark is ended', async () => {
    const { identity, child } = await orphanedSession('/jobs/op/dump/1');
    expect(await identify(identity.pid)).toBeNull();
    await endSession(identity, '/jobs/op/dump/1', 1_000);
    expect(await lives(child)).toBe(false);
  });

  it('F2: what belongs to another job, or another boot, is left alone', async () => {
    const { identity, child } = await orphanedSession('/jobs/op/other/1');
    await endSession(identity, '/jobs/op/dump/1', 0);
    await endSession({ ...identity, bootId: 'the boot before' }, '/jobs/op/other/1', 0);
    expect(await lives(child)).toBe(true);
  });

  it('a number that was given to another process is nobody’s session', async () => {
    const child = spawn('sleep', ['600'], { detached: true });
    await once(child, 'spawn');
    const identity = await identify(child.pid as number);
    if (identity === null) throw new Error('it ended too early');
    await endSession({ ...identity, startTime: identity.startTime - 1 }, '', 0);
    expect(await lives(identity.pid)).toBe(true);
    await endSession(identity, '', 1_000);
    expect(await lives(identity.pid)).toBe(false);
  });
});
