import { existsSync } from 'node:fs';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { forgetUploadOrders, writeUploadOrder } from '../../../src/process/jobs/upload-order.js';
import { JobBench } from '../../helpers/jobs.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';

failOnLeakedProcesses();

const orderOf = (operationId: string) => ({
  operationId,
  repository: { name: 'offsite', type: 's3', options: {} },
  key: 'a',
  argv: ['true'],
  env: {},
  stateDir: '/var/lib/reprise',
  variables: { AWS_SECRET_ACCESS_KEY: 'made up' },
});

it('F39: orders that no attempt came back to remove are forgotten, those of a job that runs and new ones are not', async () => {
  const bench = await JobBench.create();
  const run = bench.run(bench.request());
  await until(() => bench.starts().length === 1, 'the tool has begun');
  const running = await writeUploadOrder(bench.stateDir, 'dump', orderOf('op-1'));
  const lost = await writeUploadOrder(bench.stateDir, 'dump', orderOf('op-2'));
  const fresh = await writeUploadOrder(bench.stateDir, 'dump', orderOf('op-3'));
  const halfWritten = join(bench.stateDir, 'uploads', 'half.json');
  await writeFile(halfWritten, '{"variables":{"AWS_SEC');
  for (const file of [running, lost, halfWritten]) await utimes(file, 0, 0);

  await forgetUploadOrders(bench.stateDir);
  expect([running, lost, fresh, halfWritten].map((file) => existsSync(file))).toEqual([true, false, true, false]);
  await bench.letGo();
  await run;
  await forgetUploadOrders(bench.stateDir);
  expect([running, fresh].map((file) => existsSync(file))).toEqual([false, true]);
});

it('no order yet: nothing to forget', async () => {
  const bench = await JobBench.create();
  await expect(forgetUploadOrders(bench.stateDir)).resolves.toBeUndefined();
});
