import { existsSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { operationsInUse, pruneJobs, readJobs } from '../../../src/process/jobs/supervisor.js';
import { JobBench } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

const dayMs = 86_400_000;

it('jobs are pruned once their operation is finished and old, and not before', async () => {
  const bench = await JobBench.create();
  await bench.letGo();
  await bench.run(bench.request());
  await bench.run(bench.request(), { operationId: 'op/2' });
  const asked: string[] = [];
  const finished = (operationId: string) => asked.push(operationId) > 0;

  expect(await pruneJobs(bench.stateDir, dayMs, finished)).toEqual([]);
  expect(asked).toEqual([]);
  expect(await operationsInUse(bench.stateDir, dayMs)).toEqual(new Set(['op-1', 'op/2']));
  expect(await operationsInUse(bench.stateDir, -1)).toEqual(new Set());
  expect(await pruneJobs(bench.stateDir, -1, (operationId) => operationId !== 'op-1')).toEqual(['op/2']);
  expect(await readJobs(bench.stateDir, 'op/2')).toEqual([]);
  expect(await readJobs(bench.stateDir, 'op-1')).toHaveLength(1);
});

it('a living job is never pruned, nor files that do not say whose they are', async () => {
  const bench = await JobBench.create();
  const run = bench.run(bench.request());
  await until(() => bench.starts().length === 1, 'the tool has begun');
  const foreign = join(bench.stateDir, 'jobs', 'foreign');
  await mkdir(foreign);
  await writeFile(join(foreign, 'file'), '');
  await utimes(foreign, 0, 0);

  expect(await pruneJobs(bench.stateDir, -1, () => true)).toEqual([]);
  expect(await operationsInUse(bench.stateDir, -1)).toEqual(new Set(['op-1']));
  expect(existsSync(foreign)).toBe(true);
  await bench.letGo();
  expect(await run).toMatchObject({ code: 0, starts: 1 });
});

it('no state directory yet: no jobs', async () => {
  const bench = await JobBench.create();
  expect(await readJobs(bench.stateDir, 'op-1')).toEqual([]);
  expect(await pruneJobs(bench.stateDir, 0, () => true)).toEqual([]);
});
