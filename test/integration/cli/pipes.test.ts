import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { tempDir } from '../../helpers/temp.js';

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

/** A command line whose end is behind a pipe of a shell; the exit code is the program's. */
async function piped(argv: readonly string[], behind: string): Promise<Piped> {
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
