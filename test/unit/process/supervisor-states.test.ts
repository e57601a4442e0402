import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { JobBench, lives } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

describe('D2: a success that is found', () => {
  it('is started again where what it made was thrown away since, as often as a failure is; one that is watched is not asked', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    let isGone = true;
    const request = bench.request({ resultIsGone: async () => isGone });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 1, attached: false });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 2, attached: false });
    expect(bench.cleanUps).toBe(1);
    isGone = false;
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 2, attached: true });
    isGone = true;
    expect(await bench.run(request)).toMatchObject({ starts: 3 });
    await expect(bench.run(request)).rejects.toMatchObject({ code: 'tool-rejected' });
    expect(bench.starts()).toHaveLength(3);
  });

  it('R7: is believed only while what its result was put into is the same; what prepares a first start is done once', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    let oid = '16384';
    let prepared = 0;
    const request = bench.request({
      resultIn: async () => oid,
      prepare: async () => {
        prepared++;
      },
    });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 1, attached: false });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 1, attached: true });
    oid = '16385';
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 2, attached: false });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts: 2, attached: true });
    expect([prepared, bench.cleanUps]).toEqual([1, 1]);
  });

  it('is neither believed nor begun anew by an attempt that was cancelled', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const request = bench.request({ resultIsGone: async () => true });
    await bench.run(request);
    bench.abort.abort(new Error('cancelled'));
    await expect(bench.run(request)).rejects.toThrow('cancelled');
    expect(bench.starts()).toHaveLength(1);
  });
});

describe('F3: a tool that fails', () => {
  it('while watched: tool-failed with the redacted last line; the next attempt cleans up and starts it again', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await expect(bench.run(bench.request({ exit: 3 }))).rejects.toMatchObject({
      code: 'tool-failed',
      message: 'tool exited with 3: tool: error: cannot reach postgres://u:***@db/x',
      details: { key: 'op-1/dump', code: 3, starts: 1 },
    });
    expect(bench.cleanUps).toBe(0);

    expect(await bench.run(bench.request())).toMatchObject({ code: 0, starts: 2, attached: false });
    expect(bench.cleanUps).toBe(1);
    expect(bench.starts()).toHaveLength(2);
  });

  it('with onGone resume: started again without a clean-up', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await expect(bench.run(bench.request({ exit: 3 }))).rejects.toMatchObject({ code: 'tool-failed' });
    expect(await bench.run(bench.request({ onGone: 'resume' }))).toMatchObject({ starts: 2 });
    expect(bench.cleanUps).toBe(0);
  });

  it('L9: for a reason that passes: it is started as often as that takes, and other failures count as before', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const passing = bench.request({ exit: 3, maxStarts: 2, classifyExit: async () => 'passing' });
    for (let start = 1; start <= 4; start++)
      await expect(bench.run(passing)).rejects.toMatchObject({ code: 'tool-failed', details: { starts: start } });
    const failing = bench.request({ exit: 4, maxStarts: 2 });
    await expect(bench.run(failing)).rejects.toMatchObject({ code: 'tool-failed' });
    await expect(bench.run(failing)).rejects.toMatchObject({ code: 'tool-failed' });
    await expect(bench.run(failing)).rejects.toMatchObject({ code: 'tool-rejected' });
  });

  it('more often than maxStarts: tool-rejected, and it is not started any more', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const request = bench.request({ exit: 4, maxStarts: 2 });
    await expect(bench.run(request)).rejects.toMatchObject({ code: 'tool-failed' });
    await expect(bench.run(request)).rejects.toMatchObject({ code: 'tool-failed' });
    await expect(bench.run(request)).rejects.toMatchObject({
      code: 'tool-rejected',
      message: expect.stringContaining('tool was started 2 times and is not started again: tool exited with 4'),
    });
    expect(bench.starts()).toHaveLength(2);
  });

  it('classified as fail: tool-rejected at once, and the same when found, without a start', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const request = bench.request({ exit: 5, classifyExit: async ({ code }) => (code === 5 ? 'fail' : 'ok') });
    for (const _attempt of [1, 2]) {
      await expect(bench.run(request)).rejects.toMatchObject({ code: 'tool-rejected', details: { code: 5 } });
    }
    expect(bench.starts()).toHaveLength(1);
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([
      { state: 'failed', starts: 1, attempts: 2, pid: null },
    ]);
  });

  it('what had failed for good is started anew, once, where a person has the step tried again', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await expect(bench.run(bench.request({ exit: 5, classifyExit: async () => 'fail' }))).rejects.toMatchObject({
      code: 'tool-rejected',
    });
    for (const attached of [false, true])
      expect(await bench.run(bench.request(), { retry: 1 })).toMatchObject({ code: 0, starts: 1, attached });
    expect(bench.starts()).toHaveLength(2);
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'failed' }, { state: 'succeeded' }]);
  });

  it('exit 0 classified as retry is a failure; exit 1 classified as ok is none', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await expect(bench.run(bench.request({ classifyExit: async () => 'retry' }))).rejects.toMatchObject({
      code: 'tool-failed',
    });
    expect(await bench.run(bench.request({ exit: 1, classifyExit: async () => 'ok' }))).toMatchObject({
      code: 1,
      starts: 2,
    });
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'succeeded' }]);
  });

  it('SIGKILLed: recorded with its signal, then started anew', async () => {
    const bench = await JobBench.create();
    const run = bench.run(bench.request({ mode: 'children' }));
    const failed = expect(run).rejects.toMatchObject({
      code: 'tool-failed',
      details: { code: null, signal: 'SIGKILL' },
    });
    await until(() => bench.starts().length === 1, 'the tool has begun');
    process.kill(bench.starts()[0] as number, 'SIGKILL');
    await failed;
    // Its children are ended before anyone may start it again.
    for (const child of bench.lines('children')) expect(await lives(Number(child))).toBe(false);

    await bench.letGo();
    expect(await bench.run(bench.request())).toMatchObject({ starts: 2 });
  });

  it('that is not on this host: tool-missing, nothing recorded', async () => {
    const bench = await JobBench.create();
    await expect(bench.run(bench.request({ argv: ['no-such-tool'] }))).rejects.toMatchObject({ code: 'tool-missing' });
    await expect(bench.run(bench.request({ argv: ['./tool'] }))).rejects.toMatchObject({ code: 'tool-missing' });
    expect(await readJobs(bench.stateDir, 'op-1')).toEqual([]);
  });
});

describe('a tool that runs for ever and has to keep up with its configuration', () => {
  it('is left alone while its command is the same, and ended and started anew where it is another', async () => {
    const bench = await JobBench.create();
    const request = (port: string) => ({
      ...bench.request({ onGone: 'resume', restartsOnChange: true }),
      env: { ...bench.request().env, PGPORT: port },
    });
    const first = bench.worker(request('5432'));
    await until(() => bench.starts().length === 1, 'the tool has begun');
    first.child.kill('SIGKILL');
    await first.outcome;
    const [old] = bench.starts();

    const second = bench.worker(request('5432'));
    await until(() => second.reports.some(({ job }) => job.state === 'running'), 'the next worker watches it');
    second.child.kill('SIGKILL');
    await second.outcome;
    expect([bench.starts(), await lives(old ?? 0)]).toEqual([[old], true]);

    const run = bench.run(request('5433'));
    await until(() => bench.starts().length === 2, 'the tool was started with the new command');
    expect(await lives(old ?? 0)).toBe(false);
    await bench.letGo();
    expect(await run).toMatchObject({ code: 0, starts: 2, attached: false });
    expect(await bench.json('verdict.json')).toMatchObject({ verdict: 'retry', reason: 'outdated' });
  });
});

describe('F2: gone without an exit record', () => {
  /** A tool under way whose worker is dead. */
  async function abandoned(mode = ''): Promise<{ bench: JobBench; tool: number; wrapper: number }> {
    const bench = await JobBench.create();
    const worker = bench.worker(bench.request({ mode }));
    await until(() => bench.starts().length === 1, 'the tool has begun');
    worker.child.kill('SIGKILL');
    await worker.outcome;
    const record = (await bench.json('pid.json')) as { pid: number; wrapper: { pid: number } };
    return { bench, tool: record.pid, wrapper: record.wrapper.pid };
  }

  async function kill(...pids: number[]): Promise<void> {
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    for (const pid of pids) await until(async () => !(await lives(pid)), `${pid} is gone`);
  }

  it.each([
    ['restart', 1],
    ['resume', 0],
  ] as const)('tool and wrapper killed: %s', async (onGone, cleanUps) => {
    const { bench, tool, wrapper } = await abandoned();
    await kill(wrapper, tool);
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'gone', starts: 1 }]);
    await bench.letGo();
    expect(await bench.run(bench.request({ onGone }))).toMatchObject({ starts: 2, attached: false });
    expect(bench.cleanUps).toBe(cleanUps);
    expect(bench.starts()).toHaveLength(2);
  });

  it.each([
    [true, 1],
    [false, 2],
  ])('D2: the result is there: %s', async (there, starts) => {
    const { bench, tool, wrapper } = await abandoned();
    await kill(wrapper, tool);
    await bench.letGo();
    const request = bench.request({ resultIsThere: async () => there });
    expect(await bench.run(request)).toMatchObject({ code: 0, starts });
    expect(bench.starts()).toHaveLength(starts);
    expect(bench.cleanUps).toBe(starts - 1);
  });

  it('another boot id: a process of the same number and start time is not the tool', async () => {
    const { bench, tool, wrapper } = await abandoned();
    await kill(wrapper, tool);
    // This very process stands in for whoever got the number after the reboot.
    const own = (await readFile('/proc/self/stat', 'utf8')).replace(/^.*\) /, '').split(' ')[19];
    const identity = { pid: process.pid, startTime: Number(own) };
    const record = { ...(await bench.json('pid.json')), ...identity, wrapper: identity };
    await writeFile(bench.file('pid.json'), JSON.stringify(record));
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'running' }]);

    const later = { ...identity, startTime: identity.startTime + 1 };
    await writeFile(bench.file('pid.json'), JSON.stringify({ ...record, ...later, wrapper: later }));
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'gone' }]);
    await writeFile(bench.file('pid.json'), JSON.stringify({ ...record, bootId: 'the boot before' }));
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'gone' }]);
    await bench.letGo();
    expect(await bench.run(bench.request())).toMatchObject({ starts: 2 });
    expect(bench.cleanUps).toBe(1);
  });

  it('the wrapper killed, the tool alive: followed until it ends, then cleaned up and done anew, never beside it', async () => {
    const { bench, tool, wrapper } = await abandoned();
    await kill(wrapper);
    const run = bench.run(bench.request());
    await until(() => bench.reports.some(({ job }) => job.state === 'running'), 'the tool is followed');
    expect(bench.starts()).toEqual([tool]);
    expect(bench.cleanUps).toBe(0);
    await bench.letGo();
    expect(await run).toMatchObject({ starts: 2, attached: false });
    expect(bench.cleanUps).toBe(1);
    expect(bench.starts()).toHaveLength(2);
  });

  it('children that outlived tool and wrapper are ended first', async () => {
    const { bench, tool, wrapper } = await abandoned('children');
    await kill(wrapper, tool);
    const children = bench.lines('children').map(Number);
    expect(await Promise.all(children.map(lives))).toEqual([true, true]);
    await bench.letGo();
    const cleanUp = async () => expect(await Promise.all(children.map(lives))).toEqual([false, false]);
    expect(await bench.run(bench.request({ cleanUp }))).toMatchObject({ starts: 2 });
    expect.assertions(3);
  });

  it('a SIGTERM to the wrapper is passed on, and the ending recorded', async () => {
    const { bench, tool, wrapper } = await abandoned('children');
    process.kill(wrapper, 'SIGTERM');
    await until(async () => !(await lives(wrapper)), 'the wrapper has ended');
    expect(await lives(tool)).toBe(false);
    expect(await bench.json('exit.json')).toMatchObject({ code: 143 });
  });
});
