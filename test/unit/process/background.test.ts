import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startBackground, stopProcess } from '../../../src/process/exec/background.js';
import { endJobsBelow } from '../../../src/process/jobs/job-store.js';
import { identify, isAlive } from '../../../src/process/exec/process-identity.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

const shell = (script: string) => ['/bin/sh', '-c', script];
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
const logOf = (directory: string) => join(directory, 'server.log');

describe('startBackground', () => {
  it('F42: leads a session of its own, writes owner-only files and logs both streams', async () => {
    const directory = await tempDir();
    const script = 'echo out; echo err >&2; touch made; exec sleep 600';
    const server = await startBackground(shell(script), { logFile: logOf(directory), cwd: directory });
    await until(() => exists(join(directory, 'made')), 'it was made');
    const session = Number((await readFile(`/proc/${server.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3]);
    expect(session).toBe(server.pid);
    expect((await stat(join(directory, 'made'))).mode & 0o777).toBe(0o600);
    expect((await stat(logOf(directory))).mode & 0o777).toBe(0o600);
    expect(await readFile(logOf(directory), 'utf8')).toBe('out\nerr\n');
    await stopProcess(server);
    expect(await isAlive(server)).toBe(false);
  });

  it('F39: passes on nothing of our environment but what is asked for', async () => {
    const directory = await tempDir();
    process.env['SECRET_OF_OURS'] = 'geheim';
    const server = await startBackground(shell('env; exec sleep 600'), {
      logFile: logOf(directory),
      env: { GIVEN: 'yes' },
    });
    await until(
      async () => (await readFile(logOf(directory), 'utf8')).includes('GIVEN=yes'),
      'it says what it was given',
    );
    delete process.env['SECRET_OF_OURS'];
    expect(await readFile(logOf(directory), 'utf8')).not.toContain('geheim');
    await stopProcess(server);
  });

  it('names a program that is not there', async () => {
    const directory = await tempDir();
    await expect(startBackground(['no-such-program'], { logFile: logOf(directory) })).rejects.toMatchObject({
      code: 'tool-missing',
    });
  });
});

describe('stopProcess', () => {
  it('kills what does not listen to SIGTERM, after the grace time', async () => {
    const directory = await tempDir();
    const script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    const server = await startBackground(shell(script), { logFile: logOf(directory) });
    await until(async () => (await readFile(logOf(directory), 'utf8')).includes('ready'), 'it is ready');
    await stopProcess(server, 50);
    expect(await isAlive(server)).toBe(false);
  });

  it('leaves a process alone that only has the same number', async () => {
    const child = spawn('sleep', ['600']);
    const identity = await identify(child.pid as number);
    if (identity === null) throw new Error('sleep was not started');
    await stopProcess({ ...identity, startTime: identity.startTime - 1 });
    expect(await isAlive(identity)).toBe(true);
    expect(await readlink(`/proc/${identity.pid}/exe`)).toContain('sleep');
    await stopProcess(identity);
  });
});

describe('endJobsBelow', () => {
  it('ends what carries the mark of a job below the directory, and nothing else', async () => {
    const directory = await tempDir();
    const [ours, others] = [join(directory, 'state'), join(directory, 'state2')];
    await mkdir(ours);
    const start = (mark: string) =>
      startBackground(['sleep', '600'], { logFile: logOf(directory), env: { REPRISE_JOB: mark } });
    const [job, other] = [await start(`${ours}/jobs/op/step/1`), await start(`${others}/jobs/op/step/1`)];
    expect(await endJobsBelow(ours)).toBe(1);
    expect([await isAlive(job), await isAlive(other)]).toEqual([false, true]);
    await stopProcess(other);
  });
});
