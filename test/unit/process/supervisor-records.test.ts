import { mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { execa } from 'execa';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { JobBench, lives } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

describe('records', () => {
  it('half-written: treated as absent, so what never started is started', async () => {
    const bench = await JobBench.create();
    const first = bench.worker(bench.request(), { crashAt: 'job:after-record' });
    await first.outcome;
    const whole = await readFile(bench.file('record.json'), 'utf8');
    await writeFile(bench.file('record.json'), whole.slice(0, whole.length / 2));
    await bench.letGo();
    expect(await bench.run(bench.request())).toMatchObject({ starts: 1, code: 0 });
  });

  it('F2: a half-written pid record means started: the clean-up runs, not a blind second start', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request());
    await rm(bench.file('verdict.json'));
    await rm(bench.file('exit.json'));
    await writeFile(bench.file('pid.json'), '{"pid":12');
    expect(await bench.run(bench.request())).toMatchObject({ starts: 2 });
    expect(bench.cleanUps).toBe(1);
  });

  it('F5: an exit record that cannot be written yet is waited for, the work is not done anew', async () => {
    const bench = await JobBench.create();
    const run = bench.run(bench.request());
    await until(() => bench.starts().length === 1, 'the tool has begun');
    // In the way of the record, as a full disk would be.
    await mkdir(bench.file('exit.json.tmp'));
    await bench.letGo();
    await until(async () => !(await lives(bench.starts()[0] as number)), 'the tool has ended');
    await until(async () => (await readFile(bench.file('stderr'), 'utf8')) !== '', 'the wrapper has tried');
    expect(await readJobs(bench.stateDir, 'op-1')).toMatchObject([{ state: 'running' }]);
    await rmdir(bench.file('exit.json.tmp'));
    expect(await run).toMatchObject({ code: 0, starts: 1 });
    expect(bench.starts()).toHaveLength(1);
  });

  it('a wrapper that comes late starts nothing', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    await bench.run(bench.request());
    const argv = [
      bench.file('wrapper.sh'),
      'supervise',
      bench.file('').replace(/\/$/, ''),
      '"key":"k","tool":"t"',
      '',
      '0',
    ];
    const late = () => execa('sh', [...argv, ...bench.request().argv], { reject: false });
    expect((await late()).exitCode).toBe(77);
    await rm(bench.file('exit.json'));
    expect((await late()).exitCode).toBe(77);
    expect(bench.starts()).toHaveLength(1);
  });

  it('F39, F42: owner-only, without a secret, and the tool’s files are 0600 too', async () => {
    const bench = await JobBench.create();
    await bench.letGo();
    const argv = [...bench.request().argv, 'host=db password=canary-secret'];
    await bench.run(bench.request({ argv, env: { PGPASSFILE: '/canary-path' } }));
    const modes = await Promise.all(
      [
        '',
        'record.json',
        'pid.json',
        'exit.json',
        'verdict.json',
        'stdout',
        'stderr',
        'wrapper.sh',
        '../lock',
        '../attempts',
      ].map(async (name) => [name, ((await stat(bench.file(name))).mode & 0o777).toString(8)]),
    );
    expect(modes.filter(([name, mode]) => mode !== (name === '' ? '700' : '600'))).toEqual([]);
    expect(((await stat(bench.stateDir)).mode & 0o777).toString(8)).toBe('700');
    expect(((await stat(`${bench.dir}/output`)).mode & 0o777).toString(8)).toBe('600');
    for (const name of ['record.json', 'pid.json', 'exit.json', 'wrapper.sh']) {
      expect(await readFile(bench.file(name), 'utf8')).not.toContain('canary');
    }
  });
});
