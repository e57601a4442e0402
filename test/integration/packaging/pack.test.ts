/** What `npm pack` makes is what people install: it must hold all that is needed, and nothing of this machine. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { openNamespace } from '../../helpers/site-session.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const run = promisify(execFile);
const WORKFLOW = 1;
const root = join(import.meta.dirname, '../../..');

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
let installed: string;
let packed: readonly string[];

/** The installed program in an empty folder, by the name people type. */
async function reprise(...argv: string[]): Promise<Ended> {
  const env = { ...process.env, REPRISE_CONFIG: undefined, TEMPORAL_ADDRESS: '127.0.0.1:1' } as NodeJS.ProcessEnv;
  return run(join(folder, 'node_modules/.bin/reprise'), argv, { cwd: folder, env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

beforeAll(async () => {
  folder = await tempDir('pack');
  // The tests were built already; the build itself would be run by `prepack`.
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: root,
  });
  const [made] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  packed = (made?.files ?? []).map(({ path }) => path).sort();
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  const quiet = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quiet, join(folder, made?.filename ?? '')], { cwd: folder });
  installed = join(folder, 'node_modules/reprise');
});

describe('npm pack', () => {
  it('holds the program, the bundled workflows, units, examples and how to install; no tests, sources or maps', () => {
    const needed = [
      'package.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'bin/reprise',
      'dist/main.js',
      'dist/command-line.bundle.js',
      'dist/worker-line.bundle.js',
      'dist/workflow-bundle.js',
      'docs/install.md',
      'docs/upgrade.md',
      'examples/minimal.yml',
      'deploy/systemd/reprise-worker.service',
    ];
    expect(needed.filter((path) => !packed.includes(path))).toEqual([]);
    const allowed =
      /^(package\.json|README(\.fr)?\.md|LICENSE|CHANGELOG\.md|bin\/reprise|docs\/(install|upgrade)\.md|dist\/.*\.js|examples\/.*\.yml|deploy\/systemd\/.*\.service)$/;
    expect(packed.filter((path) => !allowed.test(path))).toEqual([]);
  });

  it('says nothing of the machine it was made on, not even in the source map inside the bundle', async () => {
    const own = ['src', 'dist', 'node_modules'].map((name) => join(root, name, '/'));
    for (const file of await filesBelow(installed)) {
      const text = await readFile(file, 'utf8');
      const [, map = ''] = /sourceMappingURL=data:[^,]*,(\S+)/.exec(text) ?? [];
      const all = text + Buffer.from(map, 'base64').toString();
      expect([file, own.filter((one) => all.includes(one))]).toEqual([file, []]);
    }
  });
});

describe('installed into an empty folder', () => {
  it('version and help answer', async () => {
    expect(await reprise('version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^reprise \d+\.\d+\.\d+\n$/),
    });
    expect(await reprise('doctor', '--help')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Usage: reprise doctor'),
    });
  });

  it('config check accepts the example that came along, and says what is missing where there is none', async () => {
    expect(await reprise('config', 'check', '--config', join(installed, 'examples/minimal.yml'))).toMatchObject({
      code: 0,
    });
    expect(await reprise('config', 'check')).toMatchObject({ code: 4, stderr: expect.stringContaining('HINT:') });
  });

  it('doctor looks at this machine and gives each finding its fix', async () => {
    const { code, stdout } = await reprise('doctor', '--json', '--config', join(installed, 'examples/minimal.yml'));
    const { findings } = JSON.parse(stdout) as { findings: { check: string; level: string; fix: string | null }[] };
    // The example's password file is nowhere, and no Temporal server listens on port 1.
    expect(code).toBe(8);
    expect(findings.map(({ check }) => check)).toContain('cluster/mairie/passfile');
    expect(findings.filter(({ level, fix }) => level !== 'ok' && fix === null)).toEqual([]);
  });

  it('a worker runs the bundled workflows and stops when told to', async () => {
    const config = join(folder, 'reprise.yml');
    const text = await readFile(join(installed, 'examples/minimal.yml'), 'utf8');
    await writeFile(config, `${text}\nhosts: { local: { state_dir: ./state } }\n`);
    const session = await openNamespace(process.env['REPRISE_TEST_TEMPORAL_ADDRESS'] ?? '', 'packed');
    onCleanup(() => session.close());
    const { address, namespace } = session.settings;
    const argv = ['--config', config, '--address', address, '--namespace', namespace, 'worker'];
    const worker = spawn(join(installed, 'bin/reprise'), argv, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    onCleanup(() => Promise.resolve(worker.kill('SIGKILL')));
    let said = '';
    worker.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const polls = async (): Promise<boolean> => {
      const { pollers } = await session.connection.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: 'reprise' },
        taskQueueType: WORKFLOW,
      });
      return (pollers ?? []).some(({ identity }) => identity?.startsWith(`${worker.pid}@`) === true);
    };
    while (!(await polls())) {
      if (worker.exitCode !== null) throw new Error(said);
      await sleep(100);
    }
    worker.kill('SIGTERM');
    const exit = await once(worker, 'exit');
    // With what it said, for whoever reads why it failed.
    expect({ exit, said }).toEqual({ exit: [0, null], said });
  });
});
