import { describe, expect, it } from '@jest/globals';
import { JobBench } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

describe('F1, D2: a worker SIGKILLed while it runs a job', () => {
  // Does the tool run (or has it ended) when the worker dies there?
  const points = [
    ['job:before-record', 'not started'],
    ['job:after-record', 'not started'],
    ['job:after-spawn', 'started'],
    ['job:after-pid', 'started'],
    ['job:after-exit', 'ended'],
    ['job:before-return', 'ended'],
  ] as const;

  it.each(points)('at %s (%s): the next attempt finishes it, and the tool was started once', async (point, then) => {
    const bench = await JobBench.create();
    const first = bench.worker(bench.request(), { crashAt: `${point}@dump` });
    if (then === 'ended') await bench.letGo();
    expect(await first.outcome).toEqual({ signal: 'SIGKILL' });
    if (then === 'not started') expect(bench.starts()).toEqual([]);

    const second = bench.worker(bench.request());
    await bench.letGo();
    const { result, error } = await second.outcome;

    expect(error).toBeUndefined();
    expect(result).toMatchObject({ code: 0, starts: 1, key: 'op-1/dump', attached: then !== 'not started' });
    expect(bench.starts()).toHaveLength(1);
    expect(bench.lines('output')).toHaveLength(1);
    expect(bench.lines('cleanups')).toEqual([]);
  });

  it('with the tool under way: the tool does not notice, the next attempt attaches to the same process', async () => {
    const bench = await JobBench.create();
    const first = bench.worker(bench.request());
    await until(() => bench.starts().length === 1, 'the tool has begun');
    first.child.kill('SIGKILL');
    await first.outcome;

    const second = bench.worker(bench.request());
    await until(() => second.reports.some(({ job }) => job.state === 'running'), 'the second worker sees it running');
    expect(second.reports.at(-1)?.job).toMatchObject({ pid: bench.starts()[0], starts: 1, attempts: 2 });
    await bench.letGo();
    expect((await second.outcome).result).toMatchObject({ starts: 1, attached: true });
    expect(bench.starts()).toHaveLength(1);
  });

  it('a crash point with another step’s name does nothing', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const worker = bench.worker(bench.request(), { crashAt: 'job:after-spawn@restore' });
    expect((await worker.outcome).result).toMatchObject({ code: 0, starts: 1 });
  });
});

describe('D2: two attempts at once', () => {
  it('in two workers: one owns, one follows, both get the result, the tool was started once', async () => {
    const bench = await JobBench.create();
    const workers = [bench.worker(bench.request()), bench.worker(bench.request())];
    await until(() => workers.every(({ reports }) => reports.some(({ job }) => job.state === 'running')), 'both watch');
    await bench.letGo();
    const outcomes = await Promise.all(workers.map(({ outcome }) => outcome));
    expect(outcomes.map(({ result }) => result?.code)).toEqual([0, 0]);
    expect(outcomes.map(({ result }) => result?.attached).sort()).toEqual([false, true]);
    expect(bench.starts()).toHaveLength(1);
  });

  it('in one worker, five times: the same', async () => {
    const bench = await JobBench.create();
    const runs = Promise.all([1, 2, 3, 4, 5].map(() => bench.run(bench.request())));
    await bench.letGo();
    const results = await runs;
    expect(results.map(({ attached }) => attached).filter((attached) => !attached)).toHaveLength(1);
    expect(bench.starts()).toHaveLength(1);
  });

  it('F8: a later attempt (Reset, lost completion) finds the work done and does not classify it again', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request());
    const classifyExit = () => Promise.reject(new Error('asked again'));
    expect(await bench.run(bench.request({ classifyExit }))).toMatchObject({ starts: 1, attached: true });
    expect(bench.starts()).toHaveLength(1);
  });

  it('a plan digest makes another job of the same step', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request());
    const planDigest = 'aabbccddeeff00112233';
    expect(await bench.run(bench.request(), { planDigest })).toMatchObject({
      key: 'op-1/dump/aabbccddeeff',
      starts: 1,
    });
    expect(bench.starts()).toHaveLength(2);
  });
});
