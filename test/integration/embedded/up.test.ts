import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { isAlive } from '../../../src/process/exec/process-identity.js';
import { reprise } from '../../helpers/cli.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { asRoot, giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { runProgram } from '../../../src/process/exec/run-program.js';
import { tempDir } from '../../helpers/temp.js';

const main = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

failOnLeakedProcesses();

interface Up {
  readonly address: string;
  readonly webUi: string;
  readonly temporal: { readonly pid: number; readonly state: string };
  readonly worker: { readonly pid: number; readonly state: string };
  readonly stateDir: string;
}

const yaml = (retention: number): string => `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 1, user: reprise }
    databases: [mairie]
    catalogue: local
    backups:
      nightly: { engine: logical, repository: local, schedule: { cron: "30 1 * * *" }, retention: { days: ${retention} } }
`;

let cwd: string;
const run = async (...argv: string[]) => reprise([...argv, '--json'], { cwd });
const up = async (): Promise<Up> => {
  const { code, stdout, stderr } = await run('up');
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Up;
};

beforeAll(async () => {
  cwd = await tempDir('up');
  await mkdir(join(cwd, 'repo'), { mode: 0o700 });
  await writeFile(join(cwd, 'reprise.yml'), yaml(14));
  onCleanup(() => run('down'));
});

describe('D7: up and down', () => {
  it('starts a server and a worker that answers, owner-only and with 90 days of history; down stops both and keeps all', async () => {
    const first = await up();
    expect(first).toMatchObject({
      address: expect.stringMatching(/^127\.0\.0\.1:/),
      temporal: { state: 'started' },
      worker: { state: 'started' },
    });
    expect((await fetch(first.webUi)).ok).toBe(true);
    expect(await retentionSeconds(first.address)).toBe(90 * 86_400);
    // F42
    for (const name of ['', 'embedded.json', 'temporal.db', 'temporal.log', 'worker.log']) {
      expect([name, (await stat(join(first.stateDir, name))).mode & 0o077]).toEqual([name, 0]);
    }
    // O4: whoever goes on as the user of the jobs is not locked out.
    if (asRoot) {
      for (const name of ['', 'embedded.json', 'temporal.db', 'temporal.log', 'worker.log'])
        expect([name, (await stat(join(first.stateDir, name))).uid]).toEqual([name, (await stat(cwd)).uid]);
      const seen = await runAsPostgres('env', [
        'HOME=/',
        process.execPath,
        main,
        'status',
        '--json',
        '--config',
        join(cwd, 'reprise.yml'),
      ]);
      expect(JSON.parse(seen)).toMatchObject({ schemaVersion: 1 });
    }
    // Found without a word of where it is.
    expect(JSON.parse((await run('backup', 'list')).stdout)).toEqual({ schemaVersion: 1, backups: [], pins: [] });
    expect((await run('schedule', 'apply')).code).toBe(0);
    expect((await run('schedule', 'pause', 'mairie/nightly', '--reason', 'test')).code).toBe(0);

    const again = await up();
    expect(again).toEqual({
      ...first,
      temporal: { ...first.temporal, state: 'running' },
      worker: { ...first.worker, state: 'running' },
    });

    expect(JSON.parse((await run('down')).stdout)).toMatchObject({ temporal: 'stopped', worker: 'stopped' });
    expect((await run('backup', 'list')).code).toBe(5);
    expect(JSON.parse((await run('down')).stdout)).toMatchObject({ temporal: 'not-running', worker: 'not-running' });

    // It comes back where it was: here on ports of this run, since others of this machine may take those of the first time meanwhile.
    const file = join(first.stateDir, 'embedded.json');
    const record = JSON.parse(await readFile(file, 'utf8')) as { port: number; uiPort: number };
    const [address, page] = [`127.0.0.1:${record.port}`, `http://127.0.0.1:${record.uiPort}`];
    expect([first.address, first.webUi]).toEqual([address, page]);
    const [port, uiPort] = (await freePorts(2)) as [number, number];
    await writeFile(file, JSON.stringify({ ...record, port, uiPort }));
    const later = await up();
    expect([later.address, later.webUi]).toEqual([`127.0.0.1:${port}`, `http://127.0.0.1:${uiPort}`]);
    const { schedules } = JSON.parse((await run('schedule', 'list')).stdout) as {
      schedules: { id: string; paused: boolean }[];
    };
    expect(schedules).toMatchObject([{ id: 'reprise/mairie/nightly', paused: true }]);
  });

  it('U6: a web page in a browser of this machine reaches no API of the server, and up says who can reach what', async () => {
    const { temporal, webUi } = await up();
    const argv = (await readFile(`/proc/${temporal.pid}/cmdline`, 'utf8')).split('\0');
    const api = `http://127.0.0.1:${argv[argv.indexOf('--http-port') + 1] ?? ''}`;
    // What needs no leave of the server before: CORS calls it a simple request.
    const page = {
      method: 'POST',
      headers: { 'content-type': 'text/plain', origin: 'http://evil.example' },
      body: '{"workflowType":{"name":"x"},"taskQueue":{"name":"reprise"}}',
    };
    const sent = async (server: string) =>
      (await fetch(`${server}/api/v1/namespaces/default/workflows/from-a-page`, page)).status;
    expect([await sent(api), await sent(webUi)]).toEqual([403, 400]);
    const { stdout } = await reprise(['up'], { cwd });
    expect(stdout).toContain('every user and program of this machine can start operations');
    expect(stdout).toMatch(/reach HTTP API\s+nobody: it answers 403/);
    // One that an older version has started is open until it is started again.
    const file = join((await up()).stateDir, 'embedded.json');
    const { httpApi, ...older } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    expect(httpApi).toBe('closed');
    await writeFile(file, JSON.stringify(older));
    expect((await reprise(['up'], { cwd })).stdout).toContain('close it with reprise down, then reprise up');
    await writeFile(file, JSON.stringify({ ...older, httpApi }));
  });

  it('O16: names as the next step what is not done yet, and no more', async () => {
    const next = async () => /^next: .*$/m.exec((await reprise(['up'], { cwd })).stdout)?.[0] ?? '';
    expect((await run('schedule', 'apply')).code).toBe(0);
    expect(await next()).toBe('next: reprise status; schedules and watches are those of the configuration');
    await writeFile(join(cwd, 'reprise.yml'), yaml(14).replace('30 1 * * *', '30 3 * * *'));
    expect(await next()).toBe('next: reprise schedule apply: schedules or watches differ from the configuration');
    await writeFile(join(cwd, 'reprise.yml'), yaml(14));
    await up();
  });

  it('replaces only what died, and a worker whose config has changed', async () => {
    const before = await up();
    const identity = (
      JSON.parse(await readFile(join(before.stateDir, 'embedded.json'), 'utf8')) as {
        worker: Parameters<typeof isAlive>[0];
      }
    ).worker;
    process.kill(before.worker.pid, 'SIGKILL');
    while (await isAlive(identity));
    const healed = await up();
    expect(healed).toMatchObject({
      temporal: { pid: before.temporal.pid, state: 'running' },
      worker: { state: 'started' },
    });
    expect(healed.worker.pid).not.toBe(before.worker.pid);

    await writeFile(join(cwd, 'reprise.yml'), yaml(30));
    const changed = await up();
    expect(changed).toMatchObject({
      temporal: { pid: before.temporal.pid, state: 'running' },
      worker: { state: 'restarted' },
    });
    expect((await run('down')).code).toBe(0);
  });

  (asRoot ? it : it.skip)(
    'O4: as root it becomes the owner of the data directory, or refuses with what to type',
    async () => {
      const dataDir = join(cwd, 'data');
      await mkdir(dataDir, { mode: 0o700 });
      await giveToPostgres(dataDir);
      await writeFile(join(cwd, 'reprise.yml'), yaml(30).replace('host: db1\n', 'host: db1\n    data_dir: ./data\n'));
      // Root's own, as the test has made it.
      const refused = await run('up');
      expect([refused.code, errorOf(refused.stderr)]).toEqual([
        9,
        {
          code: 'privilege-missing',
          message: expect.stringContaining('may not be written by postgres'),
          hint: expect.stringMatching(
            /chown -R postgres: \S+repo; then: sudo -u postgres reprise up --config \S+reprise\.yml/,
          ),
        },
      ]);
      await giveToPostgres(join(cwd, 'repo'));
      // Files of secrets, too: what cannot be read later fails at night.
      const secret = join(cwd, 'hook.url');
      await writeFile(secret, 'https://hooks.example.org/x', { mode: 0o600 });
      const plain = await readFile(join(cwd, 'reprise.yml'), 'utf8');
      await writeFile(
        join(cwd, 'reprise.yml'),
        `${plain}notifiers: { hook: { type: webhook, url: { file: ${secret} }, secret: { file: ${secret} } } }\n`,
      );
      const unread = await run('up');
      expect([unread.code, errorOf(unread.stderr)]).toEqual([
        9,
        {
          code: 'privilege-missing',
          message: expect.stringContaining(`${secret}, which the configuration names, cannot be read by postgres`),
          hint: expect.stringContaining(`chown postgres: ${secret}; then: sudo -u postgres reprise up`),
        },
      ]);
      await giveToPostgres(secret);
      const { temporal, worker, stateDir } = await up();
      const owner = (await stat(dataDir)).uid;
      for (const path of [`/proc/${temporal.pid}`, `/proc/${worker.pid}`, join(stateDir, 'embedded.json')])
        expect([path, (await stat(path)).uid]).toEqual([path, owner]);
      const { stdout } = await reprise(['down', '--json'], { cwd });
      expect(JSON.parse(stdout)).toMatchObject({ temporal: 'stopped', worker: 'stopped' });
      // Also what root has written at the end.
      const left = (await runProgram(['find', join(stateDir, '..'), '-user', '0'])).stdout;
      expect(left).toBe('');
      await writeFile(join(cwd, 'reprise.yml'), yaml(30));
    },
  );

  it('refuses a config that uses a Temporal server elsewhere', async () => {
    await writeFile(join(cwd, 'reprise.yml'), `${yaml(14)}temporal: { address: "temporal.example.org:7233" }\n`);
    const { code, stderr } = await run('up');
    expect([
      code,
      (JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { error: { code: string } }).error.code,
    ]).toEqual([7, 'conflict']);
    await writeFile(join(cwd, 'reprise.yml'), yaml(14));
  });
});

function errorOf(stderr: string): unknown {
  return (JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { error: unknown }).error;
}

async function retentionSeconds(address: string): Promise<number> {
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection });
    const { config } = await client.workflowService.describeNamespace({ namespace: 'default' });
    return Number(config?.workflowExecutionRetentionTtl?.seconds);
  } finally {
    await connection.close();
  }
}
