import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { NativeConnection, Worker } from '@temporalio/worker';
import { parse } from 'yaml';
import type { TemporalSession } from '../../../src/client/connect.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { CONTROL_QUEUE, lightQueue, workflowTypes } from '../../../src/domain/operation/names.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { openNamespace, sharedTemporal } from '../../helpers/site-session.js';
import { installQuietRuntime } from '../../helpers/quiet-runtime.js';
import { tempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
/** What a pipe holds (pipe(7)): more than this is written only as it is read. */
const PIPE_BYTES = 65_536;
const MANY = 1200;
/** `doctor` looks at each of them. */
const SOME = 40;

let folder: string;
let cache: string;
const file = (name: 'many' | 'some' | 'wrong'): string[] => ['--config', join(folder, `${name}.yml`)];

function configOf(count: number): string {
  const clusters = Array.from(
    { length: count },
    (_none, index) => `  cluster-${'x'.repeat(50)}-${index}:
    connection: { host: 127.0.0.1, port: ${index + 1}, user: reprise }
    databases: [mairie]
    backups: { nightly: { engine: logical } }\n`,
  );
  return `version: 1\nhosts: { db1: { state_dir: ./state } }\nclusters:\n${clusters.join('')}`;
}

beforeAll(async () => {
  folder = await tempDir('pipes');
  // Only one of our own is used, and test directories belong to postgres.
  cache = join(folder, 'cache');
  await mkdir(cache, { mode: 0o700 });
  await writeFile(join(folder, 'many.yml'), configOf(MANY));
  await writeFile(join(folder, 'some.yml'), configOf(SOME));
  await writeFile(join(folder, 'wrong.yml'), configOf(MANY).replaceAll('logical', 'logicl'));
});

interface Piped {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line whose end is behind a pipe of a shell; the exit code is the program's. `begun`: something was read. */
async function piped(argv: readonly string[], behind: string, begun?: () => void): Promise<Piped> {
  const script = `"$0" "$@" ${behind}; exit "\${PIPESTATUS[0]}"`;
  const env = {
    ...process.env,
    REPRISE_CONFIG: undefined,
    TEMPORAL_ADDRESS: '127.0.0.1:1',
    XDG_CACHE_HOME: cache,
  } as NodeJS.ProcessEnv;
  const child = spawn('bash', ['-c', script, process.execPath, main, ...argv], { cwd: '/', env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  if (begun) child.stdout.once('data', begun);
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number>((done) => child.once('close', (exit) => done(exit ?? -1)));
  return { code, stdout, stderr };
}

const clustersOf = (document: unknown): number =>
  Object.keys((document as { config: { clusters: object } }).config.clusters).length;
const looksAt = (text: string): number =>
  new Set(
    (JSON.parse(text) as { findings: { check: string }[] }).findings.flatMap(
      ({ check }) => /^cluster\/(cluster-x+-\d+)/.exec(check)?.[1] ?? [],
    ),
  ).size;

describe('R13: what is printed goes through a pipe whole', () => {
  it.each<
    [string, string[], 'many' | 'some' | 'wrong', Parameters<typeof piped>[1], number, (text: string) => unknown]
  >([
    ['JSON', ['config', 'show', '--json'], 'many', '| cat', 0, (text) => clustersOf(JSON.parse(text))],
    ['YAML', ['config', 'show', '-o', 'yaml'], 'many', '| cat', 0, (text) => clustersOf(parse(text))],
    ['text', ['config', 'show'], 'many', '| cat', 0, (text) => text.match(/^ +cluster-x+-\d+:$/gm)?.length],
    ['the result of a command that fails', ['doctor', '--json'], 'some', '| cat', 8, looksAt],
    ['completion', ['complete'], 'many', '| cat', 0, (text) => text.match(/^cluster-/gm)?.length],
    [
      'an error',
      ['config', 'check', '--json'],
      'wrong',
      '2>&1 >/dev/null | cat',
      4,
      (text) => (JSON.parse(text) as { error: { message: string } }).error.message.match(/unknown engine/g)?.length,
    ],
  ])('%s', async (_name, argv, name, behind, exit, count) => {
    const words = argv[0] === 'complete' ? ['complete', '--', ...file(name), 'recover', ''] : [...argv, ...file(name)];
    // A large configuration is read in the background, by a process as this one.
    if (argv[0] === 'complete') await piped(['complete', '--refresh', 'cluster', ...file(name)], '');
    const { code, stdout } = await piped(words, behind);
    expect(stdout.length).toBeGreaterThan(PIPE_BYTES);
    expect([code, count(stdout)]).toEqual([exit, name === 'some' ? SOME : MANY]);
  });

  it('a reader that has enough is no failure, and what the command found is still its exit code', async () => {
    const [shown, failed, refused] = await Promise.all([
      piped(['config', 'show', '--json', ...file('many')], '| head -c 1'),
      piped(['doctor', '--json', ...file('some')], '| head -c 1'),
      piped(['config', 'check', '--json', ...file('wrong')], '2>&1 >/dev/null | head -c 1'),
    ]);
    expect(shown).toEqual({ code: 0, stdout: '{', stderr: '' });
    expect([failed.code, refused.code]).toEqual([8, 4]);
  });
});

describe('R13: lists and streams from a server go through a pipe whole', () => {
  const OPERATIONS = 300;
  const BACKUPS = 200;
  const host = 'db1';
  /** Starts to read when the command has long printed all. */
  const LATE = '| { sleep 2; cat; }';
  let session: TemporalSession;
  let from: string[];

  beforeAll(async () => {
    const address = sharedTemporal();
    const namespace = `pipes-${process.pid}-${Date.now()}`;
    session = await openNamespace(address, namespace);
    onCleanup(() => session.close());
    from = [...file('some'), '--address', address, '--namespace', namespace];
    await answering(address, namespace);
    await Promise.all(
      Array.from({ length: OPERATIONS }, (_none, index) =>
        session.client.workflow.start(workflowTypes.backup, {
          ...{ taskQueue: CONTROL_QUEUE, workflowId: `backup/cluster-${'x'.repeat(50)}-${index}/nightly` },
          args: [],
        }),
      ),
    );
    await until(async () => {
      const { count } = await session.client.workflow.count();
      return count === OPERATIONS;
    }, 'the server lists the operations');
  });

  /** A worker that knows many backups, and runs no workflow. */
  async function answering(address: string, namespace: string): Promise<void> {
    installQuietRuntime();
    const connection = await NativeConnection.connect({ address });
    const backups = Array.from({ length: BACKUPS }, (_none, index) => backupNamed(`${'x'.repeat(100)}-${index}`));
    const activities = { hostsOf: async () => [host], answer: async () => ({ backups }) };
    const workers = await Promise.all(
      [CONTROL_QUEUE, lightQueue(host)].map((taskQueue) =>
        Worker.create({ ...{ connection, namespace, taskQueue, activities }, shutdownForceTime: '1s' }),
      ),
    );
    const running = Promise.all(workers.map((worker) => worker.run()));
    onCleanup(async () => {
      for (const worker of workers) worker.shutdown();
      await running;
      await connection.close();
    });
  }

  const backupNamed = (label: string): Backup => ({
    ...{ id: `mairie:logical:${label}`, cluster: 'mairie', policy: 'nightly', engine: 'logical', label },
    ...{ repository: 'local', type: 'full', startedAt: '2026-11-21T02:15:00Z', finishedAt: '2026-11-21T02:16:00Z' },
    ...{ sizeBytes: 1, proven: null, heldUntil: null, status: 'complete' },
  });

  it.each<[string, string[], number, (text: string) => unknown, unknown]>([
    ['status --json', ['status', '--json'], 0, (text) => worksOf(text), OPERATIONS],
    ['status', ['status'], 0, (text) => text.match(/^backup\/cluster-x+-\d+\/nightly /gm)?.length, OPERATIONS],
    [
      'backup list --json',
      ['backup', 'list', '--json'],
      0,
      (text) => new Set((JSON.parse(text) as { backups: Backup[] }).backups.map(({ id }) => id)).size,
      BACKUPS,
    ],
    [
      'watch --json, a line for each document',
      ['watch', '--json', '--timeout', '1s'],
      124,
      (text) => text.trimEnd().split('\n').map(worksOf),
      [OPERATIONS],
    ],
  ])('to a reader that is late: %s', async (_name, argv, exit, count, whole) => {
    const { code, stdout } = await piped([...argv, ...from], LATE);
    expect([code, count(stdout)]).toEqual([exit, whole]);
    if (argv.length > 1) expect(stdout.length).toBeGreaterThan(PIPE_BYTES);
  });

  const worksOf = (text: string): number => (JSON.parse(text) as { works: unknown[] }).works.length;

  it('to a reader that has enough: no failure and no word, also where more comes later', async () => {
    const [list, table] = await Promise.all(
      [['status', '--json'], ['status']].map((argv) => piped([...argv, ...from], '| head -n 1')),
    );
    expect(list).toEqual({ code: 0, stdout: '{\n', stderr: '' });
    expect(table).toMatchObject({ code: 0, stdout: expect.stringMatching(/^WORKFLOW .*\n$/), stderr: '' });
    let begun = (): void => undefined;
    const isRead = new Promise<void>((resolve) => (begun = resolve));
    const stream = piped(['watch', '--json', ...from], '| head -c 1', begun);
    await isRead;
    await session.client.workflow
      .getHandle(`backup/cluster-${'x'.repeat(50)}-0/nightly`)
      .terminate('a change to be shown');
    expect(await stream).toEqual({ code: 0, stdout: '{', stderr: '' });
  });
});
