import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { jobUser } from '../../../src/process/exec/users.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { JobBench, lives } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { asRoot } from '../../helpers/postgres-user.js';

failOnLeakedProcesses();

describe('cancellation', () => {
  it.each(['children', 'stubborn'])(
    'ends the tool and its grandchildren (%s), then cleans up, then says so',
    async (mode) => {
      const bench = await JobBench.create();
      let livedAtCleanUp: boolean[] | undefined;
      const pids = () => [...bench.starts(), ...bench.lines('children').map(Number)];
      const cleanUp = async () => void (livedAtCleanUp = await Promise.all(pids().map(lives)));
      const run = bench.run(bench.request({ mode, cleanUp }));
      const cancelled = expect(run).rejects.toMatchObject({
        code: 'job-cancelled',
        details: { key: 'op-1/dump', starts: 1 },
      });
      await until(() => bench.starts().length === 1, 'the tool has begun');
      bench.abort.abort();
      await cancelled;
      expect(livedAtCleanUp).toEqual([false, false, false]);
      expect(await bench.json('exit.json')).toMatchObject({ code: mode === 'stubborn' ? 137 : 143 });
    },
  );

  it('of an operation whose tool another, dead worker started: the same', async () => {
    const bench = await JobBench.create();
    const first = bench.worker(bench.request());
    await until(() => bench.starts().length === 1, 'the tool has begun');
    first.child.kill('SIGKILL');
    await first.outcome;
    bench.abort.abort();
    await expect(bench.run(bench.request())).rejects.toMatchObject({ code: 'job-cancelled' });
    expect(bench.cleanUps).toBe(1);
    expect(await lives(bench.starts()[0] as number)).toBe(false);
  });

  it('of one that nobody watches any more: it is left alone, unless it is cancelled too', async () => {
    const bench = await JobBench.create();
    const left = new AbortController();
    const run = bench.run(bench.request({ detachSignal: left.signal }));
    await until(() => bench.starts().length === 1, 'the tool has begun');
    left.abort(new Error('something else came up'));
    await expect(run).rejects.toThrow('something else came up');
    expect(await lives(bench.starts()[0] as number)).toBe(true);
    bench.abort.abort();
    await expect(bench.run(bench.request({ detachSignal: left.signal }))).rejects.toMatchObject({
      code: 'job-cancelled',
    });
    expect(await lives(bench.starts()[0] as number)).toBe(false);
  });

  it('before anything was started: nothing is, and there is nothing to clean', async () => {
    const bench = await JobBench.create();
    bench.abort.abort();
    await expect(bench.run(bench.request())).rejects.toMatchObject({ code: 'job-cancelled' });
    expect(bench.starts()).toEqual([]);
    expect(bench.cleanUps).toBe(0);
  });

  it('of a job that had succeeded: its result, and its output stays', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request());
    bench.abort.abort();
    expect(await bench.run(bench.request())).toMatchObject({ code: 0, starts: 1 });
    expect(bench.cleanUps).toBe(0);
  });

  it('while cleaning up before a restart: nothing is started any more', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await expect(bench.run(bench.request({ exit: 1 }))).rejects.toMatchObject({ code: 'tool-failed' });
    const cleanUp = async () => bench.abort.abort();
    await expect(bench.run(bench.request({ cleanUp }))).rejects.toMatchObject({ code: 'job-cancelled' });
    expect(bench.starts()).toHaveLength(1);
  });

  // It traps SIGTERM, and ends as if it had finished.
  const polite = 'echo $$ >>"$1/starts"; trap "exit 0" TERM; while [ ! -e "$1/go" ]; do sleep 0.02; done';

  it('F1: by a worker that dies in the middle of it: what ended with 0 does not count as a success later', async () => {
    const bench = await JobBench.create();
    const request = bench.request({ argv: ['sh', '-c', polite, 'tool', bench.dir] });
    const worker = bench.worker(request, { crashAt: 'job:after-cancel' });
    await until(
      () => worker.reports.some(({ job }) => job.state === 'running') && bench.starts().length === 1,
      'it runs',
    );
    worker.child.kill('SIGUSR2');
    expect(await worker.outcome).toEqual({ signal: 'SIGKILL' });
    await until(
      async () => (await bench.json('exit.json').catch(() => ({ code: null })))['code'] === 0,
      'it ended with 0',
    );

    await bench.letGo();
    expect(await bench.run(request)).toMatchObject({ starts: 2, attached: false });
    expect(bench.cleanUps).toBe(1);
  });

  it('a tool that still ends with 0 after its output was given up does not count as a success later', async () => {
    const bench = await JobBench.create();
    const argv = ['sh', '-c', polite, 'tool', bench.dir];
    const run = bench.run(bench.request({ argv }));
    const cancelled = expect(run).rejects.toMatchObject({ code: 'job-cancelled' });
    await until(() => bench.starts().length === 1, 'the tool has begun');
    bench.abort.abort();
    await cancelled;
    expect(await bench.json('exit.json')).toMatchObject({ code: 0 });

    await bench.letGo();
    const again = await bench.run(bench.request({ argv }), { signal: new AbortController().signal });
    expect(again).toMatchObject({ starts: 2, attached: false });
  });
});

describe('F1: a worker that shuts down', () => {
  it('throws the reason, leaves the tool alone, and the next attempt attaches', async () => {
    const bench = await JobBench.create();
    const run = bench.run(bench.request(), { leaveOnAbort: () => true });
    const left = expect(run).rejects.toThrow('shutdown');
    await until(() => bench.starts().length === 1, 'the tool has begun');
    bench.abort.abort(new Error('shutdown'));
    await left;
    expect(await lives(bench.starts()[0] as number)).toBe(true);
    expect(bench.cleanUps).toBe(0);

    await bench.letGo();
    const next = await bench.run(bench.request(), { signal: new AbortController().signal });
    expect(next).toMatchObject({ starts: 1, attached: true });
  });

  it('starts nothing when it is already shutting down', async () => {
    const bench = await JobBench.create();
    bench.abort.abort(new Error('shutdown'));
    await expect(bench.run(bench.request(), { leaveOnAbort: () => true })).rejects.toThrow('shutdown');
    expect(bench.starts()).toEqual([]);
  });
});

describe('F9: a tool that hangs', () => {
  it('is reported, then ended with its children, and the next attempt starts it again', async () => {
    const bench = await JobBench.create();
    const run = bench.run(bench.request({ mode: 'children', stallTimeoutMs: 3_000 }));
    await expect(run).rejects.toMatchObject({ code: 'job-stalled', message: 'tool made no progress and was ended' });
    const phases = bench.reports.map(({ progress }) => progress?.phase).filter(Boolean);
    expect(phases).toContainEqual(expect.stringMatching(/^no progress for [12] s$/));
    for (const pid of [...bench.starts(), ...bench.lines('children')]) expect(await lives(Number(pid))).toBe(false);

    await bench.letGo();
    expect(await bench.run(bench.request())).toMatchObject({ starts: 2 });
    expect(bench.cleanUps).toBe(1);
  });

  it('one whose progress moves is left alone, however quiet', async () => {
    const bench = await JobBench.create();
    let done = 0;
    const progress = async () => {
      // More than the time after which it would be ended.
      if (++done === 6) await bench.letGo();
      return { phase: 'copying', done, unit: 'files' as const };
    };
    expect(await bench.run(bench.request({ progress, stallTimeoutMs: 2_000 }))).toMatchObject({ code: 0 });
    expect(bench.reports).toContainEqual(
      expect.objectContaining({ progress: expect.objectContaining({ phase: 'copying' }) }),
    );
  });

  it('a progress that cannot be read is no reason to fail', async () => {
    const bench = await JobBench.create();
    const progress = async () => {
      await bench.letGo();
      throw new Error('no such file yet');
    };
    expect(await bench.run(bench.request({ progress }))).toMatchObject({ code: 0 });
  });
});

describe('F35, F37: hostile step and operation names', () => {
  it.each(['../../../escape', 'a\nb', `it's "quoted" $(touch pwned) ; rm -rf /`, '-rf', '', '.', 'é'.repeat(300)])(
    '%j',
    async (name) => {
      const bench = await JobBench.create();
      await bench.letGo();
      const hostile = { operationId: name, locks: [{ name, mode: 'exclusive' }] } as const;
      const result = await bench.run(bench.request({ step: name, tool: `t'"\\n ${name}` }), hostile);
      expect(result).toMatchObject({ code: 0, key: `${name}/${name}` });
      expect(result.directory.startsWith(join(bench.stateDir, 'jobs'))).toBe(true);
      expect(await readJobs(bench.stateDir, name)).toMatchObject([
        { key: `${name}/${name}`, tool: `t'"\\n ${name}`, starts: 1 },
      ]);
      // Found again by the very same name.
      expect(await bench.run(bench.request({ step: name }), hostile)).toMatchObject({ attached: true, starts: 1 });
    },
  );

  it('an argv of quotes, newlines and dashes reaches the tool unchanged', async () => {
    const bench = await JobBench.create();
    const hostile = [`a'b"c`, 'new\nline', '-x', '', '$HOME `id` \\', '*'];
    const { stdout } = await bench.run(bench.request({ argv: ['printf', '%s\\0', ...hostile] }));
    expect((await readFile(stdout, 'utf8')).split('\0').slice(0, -1)).toEqual(hostile);
  });
});

(asRoot ? describe : describe.skip)('as root', () => {
  it('F42: the tool runs as the job’s user, owns its output, and can be cancelled', async () => {
    const bench = await JobBench.create();
    const user = await jobUser();
    const argv = [
      'sh',
      '-c',
      'echo $$ >>"$1/starts"; id -un; id -Gn >>/dev/stdout; while [ ! -e "$1/go" ]; do sleep 0.02; done',
    ];
    const run = bench.run(bench.request({ argv: [...argv, 'tool', bench.dir] }), { user });
    const cancelled = expect(run).rejects.toMatchObject({ code: 'job-cancelled' });
    const output = () => readFile(bench.file('stdout'), 'utf8').catch(() => '');
    await until(async () => (await output()).split('\n').length > 2, 'it has said who it is');
    const [name, groups] = (await output()).split('\n');
    expect(name).toBe('postgres');
    expect(groups?.split(' ')).not.toContain('root');
    expect(await stat(bench.file('stdout'))).toMatchObject({ uid: user?.uid, mode: 0o100600 });
    bench.abort.abort();
    await cancelled;
    expect(await lives(bench.starts()[0] as number)).toBe(false);
  });
});

describe('reports', () => {
  it('go on while an exit is classified and a failure cleaned up, and one that throws does not end the watch', async () => {
    const bench = await JobBench.create();
    let reports = 0;
    const slow = async () => {
      const before = reports;
      await until(() => reports >= before + 2, 'two reports came meanwhile');
    };
    const report = () => {
      reports++;
      throw new Error('nobody listens');
    };
    await bench.letGo();
    const classifyExit = async () => slow().then(() => 'retry' as const);
    await expect(bench.run(bench.request({ classifyExit }), { report })).rejects.toMatchObject({ code: 'tool-failed' });
    expect(await bench.run(bench.request({ cleanUp: slow }), { report })).toMatchObject({ starts: 2 });
  });
});
