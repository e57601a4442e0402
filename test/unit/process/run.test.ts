import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { jobUser } from '../../../src/process/exec/users.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { asRoot } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const sh = (script: string, ...args: string[]) => ['sh', '-c', script, 'sh', ...args];

describe('runTool', () => {
  it('returns what was printed; F35: arguments arrive unchanged', async () => {
    const hostile = [`a'b"c`, 'new\nline', '--', '$(id)'];
    expect(await runProgram(['printf', '[%s]', ...hostile])).toEqual({
      ...{ stdout: `[a'b"c][new\nline][--][$(id)]`, stderr: '', exitCode: 0 },
    });
  });

  it('F39: nothing of the worker’s environment but PATH reaches the tool', async () => {
    process.env['REPRISE_CANARY'] = 'canary-secret';
    try {
      const { stdout } = await runProgram(['env'], { env: { PGDATABASE: 'x' } });
      const names = stdout.split('\n').map((line) => line.split('=')[0]);
      expect(stdout).not.toContain('canary');
      expect(names).toEqual(expect.arrayContaining(['PATH', 'HOME', 'LC_ALL', 'TZ', 'PGTZ', 'PGDATABASE']));
      expect(names.filter((name) => name?.startsWith('REPRISE'))).toEqual([]);
    } finally {
      delete process.env['REPRISE_CANARY'];
    }
  });

  it('F39: a failure carries the redacted end of stderr', async () => {
    const run = runProgram(sh('echo "sh: error: password=canary-secret is wrong" >&2; exit 3'));
    await expect(run).rejects.toMatchObject({
      code: 'tool-failed',
      message: 'sh exited with 3: sh: error: password=*** is wrong',
      details: { code: 3, stderrTail: 'sh: error: password=*** is wrong' },
    });
  });

  it('accepts the codes that are answers', async () => {
    expect(await runProgram(sh('exit 3'), { acceptCodes: [0, 3] })).toMatchObject({ exitCode: 3 });
    await expect(runProgram(sh('exit 0'), { acceptCodes: [3] })).rejects.toMatchObject({ code: 'tool-failed' });
  });

  it('says which tool is missing', async () => {
    const missing = { code: 'tool-missing', message: 'no-such-tool was not found on this host' };
    await expect(runProgram(['no-such-tool'])).rejects.toMatchObject(missing);
    await expect(runProgram([])).rejects.toMatchObject({ code: 'tool-missing' });
  });

  it('F9: ends one that takes too long, and one whose caller has given up', async () => {
    await expect(runProgram(['sleep', '600'], { timeoutMs: 50 })).rejects.toMatchObject({
      message: 'sleep did not end within 0.05 s',
    });
    const reason = new Error('given up');
    await expect(runProgram(['sleep', '600'], { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    await expect(runProgram(['sleep', '600'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('F9: what a program leaves behind holds nobody up: a service that it starts, and the child of one that is ended', async () => {
    const pids: number[] = [];
    try {
      const started = await runProgram(sh('sleep 60 & echo $!; exit 0'), { leavesProcesses: true });
      pids.push(Number(started.stdout));
      expect(started).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^\d+$/) });
      const lines: string[] = [];
      const endless = runProgram(sh('sleep 60 & echo $!; sleep 60'), { timeoutMs: 500, onLine: (l) => lines.push(l) });
      await expect(endless).rejects.toMatchObject({ message: 'sh did not end within 0.5 s' });
      pids.push(Number(lines[0]));
      // Neither was waited for.
      for (const pid of pids) expect(process.kill(pid, 0)).toBe(true);
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
    }
  });

  it('F40: bounds what it keeps, and keeps nothing of what it hands on', async () => {
    await expect(runProgram(sh('yes'), { maxBufferBytes: 10_000 })).rejects.toThrow('sh printed more than it may');
    const pieces: Buffer[] = [];
    let bytes = 0;
    const onChunk = (piece: Buffer): void => {
      bytes += piece.length;
      pieces.push(piece);
    };
    await runProgram(sh('head -c 10000000 /dev/zero'), { onChunk });
    expect(bytes).toBe(10_000_000);
    expect(pieces.map(({ length }) => length)).toEqual(pieces.map(() => 0));
    const refused = new Error('refused');
    await expect(
      runProgram(sh('yes'), {
        onChunk: () => {
          throw refused;
        },
      }),
    ).rejects.toBe(refused);
  });

  it('passes input, and closes it where there is none', async () => {
    expect(await runProgram(['cat'], { input: 'hello' })).toMatchObject({ stdout: 'hello' });
    expect(await runProgram(['cat'])).toMatchObject({ stdout: '' });
  });

  it('F42: what the tool makes is owner-only', async () => {
    const dir = await tempDir();
    await runProgram(sh('touch "$1/file"', dir), { user: await jobUser(dir) });
    expect((await stat(join(dir, 'file'))).mode & 0o777).toBe(0o600);
  });
});

(asRoot ? describe : describe.skip)('as root', () => {
  it('the owner of the data directory is who tools run as, with its own groups only', async () => {
    const dir = await tempDir();
    const user = await jobUser(dir);
    expect(user).toMatchObject({ name: 'postgres', uid: (await stat(dir)).uid });
    const { stdout } = await runProgram(sh('id -un; id -Gn; echo "$HOME"'), { user });
    const [name, groups, home] = stdout.split('\n');
    expect([name, home]).toEqual(['postgres', user?.home]);
    expect(groups?.split(' ')).toContain('postgres');
    expect(groups?.split(' ')).not.toContain('root');
  });

  it('where nothing tells, or root owns it, it is postgres', async () => {
    const dir = await tempDir();
    await writeFile(join(dir, 'roots'), '');
    for (const path of [undefined, join(dir, 'absent'), join(dir, 'roots')]) {
      expect(await jobUser(path)).toMatchObject({ name: 'postgres' });
    }
  });

  it('an owner that the user database does not know works by number', async () => {
    const user = { name: '54321', uid: 54321, gid: 54321, home: '/' };
    expect(await runProgram(['id', '-u'], { user })).toMatchObject({ stdout: '54321' });
  });
});
