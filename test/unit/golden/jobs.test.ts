import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { clusterLocks } from '../../../src/activities/cluster-context.js';
import { hostLockPath, jobDirectory, jobKey } from '../../../src/process/jobs/job-paths.js';
import { safeFileName } from '../../../src/files/safe-names.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { writeUploadOrder } from '../../../src/process/jobs/upload-order.js';
import { golden } from '../../helpers/golden.js';
import { JobBench } from '../../helpers/jobs.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { section, shapeOf } from '../../helpers/shape.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

const digest = 'd'.repeat(64);

/** Half-written files, and the name at a lock of an attempt that looks in now and then. */
const PASSING = /\.tmp$|@\d+\.[0-9a-f]{8}$/;

/** Files below the state directory, with what differs from run to run given a name. */
async function filesIn(stateDir: string): Promise<Map<string, string>> {
  const entries = (await readdir(stateDir, { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && !PASSING.test(entry.name),
  );
  const named = entries.map((entry) => join(entry.parentPath, entry.name));
  return new Map(named.map((path) => [path.slice(stateDir.length + 1).replace(/@\d+$/, '@PID'), path]));
}

describe('jobs keep their keys and files', () => {
  let bench: JobBench;
  afterAll(() => bench.letGo());

  it('keys, directories and locks are formed as they have always been', async () => {
    const made = [
      section('keys', [jobKey('OPERATION', 'STEP'), jobKey('OPERATION', 'STEP', digest)]),
      section('directories', [
        jobDirectory('STATE', 'OPERATION', 'STEP'),
        jobDirectory('STATE', 'OPERATION', 'STEP', digest),
        jobDirectory('STATE', 'backup/mairie/dump', 'dump:mairie@1', digest),
      ]),
      section(
        'names that are no path segment',
        ['../x', 'with a blank', ''].map((text) => `${JSON.stringify(text)}: ${safeFileName(text)}`),
      ),
      section('locks of the host', [
        hostLockPath('STATE', 'NAME'),
        ...clusterLocks.backup('CLUSTER', 'POLICY').map(({ name, mode }) => `backup: ${name} ${mode}`),
        ...clusterLocks.recovery('CLUSTER').map(({ name, mode }) => `recovery: ${name} ${mode}`),
      ]),
    ].join('\n');
    expect(made).toBe(await golden(new URL('job-names.golden.txt', import.meta.url), made));
  });

  it('a job leaves the files, with the fields, that an older or newer worker looks for', async () => {
    bench = await JobBench.create();
    const context = { planDigest: digest };
    const locks = [{ name: 'cluster-mairie', mode: 'shared' }] as const;
    const run = bench.run(bench.request({ locks }), context);
    const again = bench.run(bench.request({ step: 'other', locks }), { retry: 1 });
    // Locks have holders only while the tool and its wrapper live.
    const holding = async (): Promise<number> =>
      [...(await filesIn(bench.stateDir)).keys()].filter((name) => name.endsWith('@PID')).length;
    await until(() => bench.starts().length === 2, 'both tools have begun');
    await until(async () => (await holding()) === 3, 'both have named themselves at their locks');
    const running = await filesIn(bench.stateDir);
    const holders = [...running].filter(([name]) => name.startsWith('locks/') && name.endsWith('@PID'));
    const shapes = async (files: readonly (readonly [string, string])[]): Promise<string[]> =>
      Promise.all(
        files.map(async ([name, path]) => section(name, shapeOf([JSON.parse(await readFile(path, 'utf8'))]))),
      );
    const held = await shapes(holders.slice(0, 1));
    await bench.letGo();
    await Promise.all([run, again]);
    await until(async () => (await holding()) === 0, 'both wrappers have ended');

    const ended = await filesIn(bench.stateDir);
    const json = [...ended].filter(([name]) => name.endsWith('.json')).toSorted();
    const made = [
      section('files while a tool runs', [...running.keys()].toSorted()),
      section('files when it has ended', [...ended.keys()].toSorted()),
      section('as status shows it', shapeOf(await readJobs(bench.stateDir, 'op-1'))),
      section('keys', (await readJobs(bench.stateDir, 'op-1')).map(({ key }) => key).toSorted()),
      ...held,
      ...(await shapes(json)),
    ].join('\n');
    expect(made).toBe(await golden(new URL('job-files.golden.txt', import.meta.url), made));
  });

  it('the order of an upload lies where it has always lain, with the fields it has always had', async () => {
    const { stateDir } = await JobBench.create();
    const order = {
      operationId: 'op-1',
      repository: { name: 'local', type: 'directory', options: { path: '/x' } },
      key: 'k',
      argv: ['pg_dump'],
      env: { PGHOST: 'h' },
      variables: { KEY: 'v' },
    };
    const file = await writeUploadOrder(stateDir, 'dump:mairie', order as never);
    const maps = ['env', 'variables', 'repository.options'];
    const made = section(
      file.slice(stateDir.length + 1),
      shapeOf([JSON.parse(await readFile(file, 'utf8'))], { maps }),
    );
    expect(made).toBe(await golden(new URL('job-upload.golden.txt', import.meta.url), made));
  });
});
