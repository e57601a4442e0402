/**
 * The scripts of the containers, run as the containers would: without Docker, in directories of the test. The worker and
 * the server see the same processes, as `pid: service:postgres` has it.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { approve } from '../../../src/client/decide.js';
import type { TemporalSession } from '../../../src/client/connect.js';
import { startBackup, startRecovery } from '../../../src/client/start.js';
import type { Plan } from '../../../src/domain/plan/plan.js';
import { readPostmaster } from '../../../src/postgres/server/postmaster.js';
import { findPostgresBin } from '../../../src/process/exec/find-programs.js';
import type { BackupOutput, RecoverOutput } from '../../../src/workflows/api.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { until } from '../../helpers/until.js';
import { makeTempDir } from '../../helpers/make-temp-dir.js';
import { freePort } from '../../helpers/ports.js';
import { asPostgres, giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { Reaper } from '../../helpers/reaper.js';
import { killAll, processesOf } from '../../helpers/site-processes.js';
import { SiteWorker } from '../../helpers/site-worker.js';
import { openNamespace } from '../../helpers/site-session.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const deploy = join(import.meta.dirname, '../../../deploy/compose');
let root: string;
let port: number;
let dataDir: string;
let variables: Record<string, string>;
const keepers: ChildProcess[] = [];

/** `reprise-postgres run`, as the container's main process. */
function keeper(): ChildProcess {
  const [program, argv] = asPostgres(join(root, 'reprise-postgres'), ['run']);
  const child = spawn(program, argv, {
    cwd: '/',
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  keepers.push(child);
  return child;
}

const query = (sql: string) =>
  runQuery({ host: join(root, 'run'), port, user: 'postgres', socketDir: join(root, 'run') }, 'postgres', sql);
const answers = (): Promise<void> =>
  until(async () => (await query('SELECT 1')).rows.length === 1, 'the server answers');

beforeAll(async () => {
  root = await makeTempDir('compose');
  const reaper = new Reaper();
  reaper.directory(root);
  onCleanup(async () => {
    await killAll(() => processesOf(root));
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
    reaper.done();
  });
  port = await freePort();
  dataDir = join(root, 'volume/15/main');
  for (const name of ['run', 'volume', 'volume/15', 'backups', 'state']) {
    await mkdir(join(root, name), { mode: 0o700 });
    await giveToPostgres(join(root, name));
  }
  await copyFile(join(deploy, 'reprise-postgres'), join(root, 'reprise-postgres'));
  await chmod(join(root, 'reprise-postgres'), 0o755);
  const conf = await readFile(join(deploy, 'pgbackrest.conf'), 'utf8');
  const pgbackrestConf = join(root, 'pgbackrest.conf');
  await writeFile(
    pgbackrestConf,
    `${here(conf)}pg1-port=${port}\n`.replace('[global]', `[global]\nlock-path=${root}/lock`),
    { mode: 0o600 },
  );
  await giveToPostgres(pgbackrestConf);
  variables = {
    ...{ PGDATA: dataDir, PGHOST: join(root, 'run'), PGPORT: String(port), PGBACKREST_CONFIG: pgbackrestConf },
    PATH: `${await findPostgresBin(15)}:${process.env['PATH'] ?? ''}`,
  };
});

/** A file of the containers with their paths replaced by this test's. */
const here = (content: string): string =>
  content
    .replaceAll('/var/backups/reprise', join(root, 'backups'))
    .replaceAll('/var/lib/postgresql', join(root, 'volume'))
    .replaceAll('/var/lib/reprise', join(root, 'state'))
    .replaceAll('/run/postgresql', join(root, 'run'))
    .replaceAll('/etc/pgbackrest', root);

describe('reprise-postgres', () => {
  let session: TemporalSession;
  let worker: SiteWorker;

  it('makes a cluster that archives, lets nobody in over the network without a password, and holds its volume alone', async () => {
    keeper();
    // Until somebody else than its own user may look at it: the tests and their worker may run as root.
    await until(
      async () => /ready/.test(await readFile(join(dataDir, 'postmaster.pid'), 'utf8')),
      'the server is ready',
    );
    expect(await readFile(join(dataDir, 'pg_hba.conf'), 'utf8')).toMatch(/^local\s+all\s+all\s+peer$/m);
    await writeFile(
      join(dataDir, 'pg_hba.conf'),
      (await readFile(join(dataDir, 'pg_hba.conf'), 'utf8')).replace(/^(local\s+all\s+all\s+)peer$/m, '$1trust'),
    );
    await runAsPostgres(join(variables['PATH']?.split(':')[0] ?? '', 'pg_ctl'), ['reload', '-s', '-D', dataDir]);
    await answers();
    expect((await query('SHOW archive_mode')).rows).toEqual([{ archive_mode: 'on' }]);
    expect(
      (
        await query(
          "SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type = 'host' AND address IS DISTINCT FROM 'all'",
        )
      ).rows,
    ).toEqual([{ auth_method: 'scram-sha-256' }]);
    expect((await query("SELECT auth_method FROM pg_hba_file_rules WHERE address = 'all'")).rows).toEqual([
      { auth_method: 'scram-sha-256' },
    ]);
    const second = keeper();
    expect((await once(second, 'exit'))[0]).toBe(1);
  });

  it('K2: the config of the containers backs up and recovers in place: the server is stopped and started by its container', async () => {
    session = await openNamespace(process.env['REPRISE_TEST_TEMPORAL_ADDRESS'] ?? '', 'compose');
    onCleanup(() => session.close());
    const hook = (what: string): string => {
      // The worker's container has the image's environment; here root's worker becomes the server's user first.
      const [program, argv] = asPostgres('env', [
        ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
        join(root, 'reprise-postgres'),
        what,
      ]);
      return JSON.stringify([program, ...argv]);
    };
    const text = here(await readFile(join(deploy, 'reprise.yml'), 'utf8'))
      .replace('[reprise-postgres, start]', hook('start'))
      .replace('[reprise-postgres, stop]', hook('stop'))
      .replace('port: 5432', `port: ${port}`);
    const configFile = join(root, 'reprise.yml');
    await writeFile(configFile, text);
    worker = SiteWorker.start({ configFile, logFile: join(root, 'worker.log'), session }, {});
    onCleanup(() => worker.kill());
    await worker.polls();

    await query('CREATE TABLE seen AS SELECT generate_series(1, 1000) AS n');
    const backup = await startBackup(session, {
      cluster: 'mairie',
      requester: 'test',
      order: { policy: 'physical', type: 'auto' },
    });
    expect(((await backup.handle.result()) as BackupOutput).backups).toEqual([
      expect.objectContaining({ status: 'complete', proven: expect.objectContaining({ level: 'restored' }) }),
    ]);
    await query('INSERT INTO seen SELECT generate_series(1001, 1500)');

    const before = (await readPostmaster(dataDir))?.pid;
    const recovery = await startRecovery(session, {
      cluster: 'mairie',
      requester: 'test',
      order: { policy: 'physical', target: { kind: 'latest' }, into: 'in-place', pause: false },
    });
    let plan: Plan | null = null;
    await until(async () => (plan = await recovery.handle.query<Plan | null>('plan')) !== null, 'there is a plan');
    await until(
      async () =>
        approve(session, recovery.workflowId, {
          plan: plan?.digest.slice(0, 12) ?? '',
          by: 'dba',
          reason: 'test',
        }).then(() => true),
      'it is approved',
    );
    expect(await recovery.handle.result()).toMatchObject({ state: 'completed' } satisfies Partial<RecoverOutput>);
    expect((await query('SELECT count(*)::int AS n FROM seen')).rows).toEqual([{ n: 1500 }]);

    await worker.stop();
    const after = await readPostmaster(dataDir);
    expect([after?.alive, after?.pid === before]).toEqual([true, false]);
    // Child of the server's container, whose lock on the volume it has; the worker's end is not its end.
    expect((await query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect((await once(keeper(), 'exit'))[0]).toBe(1);
  });

  it('S2: a server that died stays down, until somebody asks for it', async () => {
    const dead = await readPostmaster(dataDir);
    process.kill(dead?.pid ?? 0, 'SIGKILL');
    await until(async () => (await readPostmaster(dataDir))?.alive === false, 'it is dead');
    await sleep(2000);
    expect((await readPostmaster(dataDir))?.alive).toBe(false);
    const [program, argv] = asPostgres(join(root, 'reprise-postgres'), ['start']);
    const start = spawn(program, argv, { cwd: '/', env: { ...process.env, ...variables }, stdio: 'inherit' });
    expect((await once(start, 'exit'))[0]).toBe(0);
    await answers();
  });

  it('SIGTERM stops the server and ends; a new container starts it again', async () => {
    const [running] = keepers.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    running?.kill('SIGTERM');
    expect(await once(running as ChildProcess, 'exit')).toEqual([0, null]);
    expect(await readPostmaster(dataDir)).toBeNull();
    keeper();
    await answers();
    expect((await query('SELECT count(*)::int AS n FROM seen')).rows).toEqual([{ n: 1500 }]);
  });

  it('F2: a container that comes back in the middle of a recovery starts nothing half restored, and never makes a new cluster', async () => {
    const [running] = keepers.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    running?.kill('SIGTERM');
    await once(running as ChildProcess, 'exit');
    await rename(dataDir, `${dataDir}-aside`);
    const again = keeper();
    let said = '';
    again.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until(() => Promise.resolve(said.includes('not started')), 'it says why');
    expect(await readdir(join(root, 'volume/15'))).not.toContain('main');
    again.kill('SIGTERM');
    await once(again, 'exit');
  });
});

describe('reprise-worker', () => {
  it('D2: a worker that dies or is told by SIGHUP is started again, and its jobs go on; SIGTERM ends it', async () => {
    const folder = await tempDir('keeper');
    // Stands for the worker: writes its pid, and leaves a job behind that must not hear of anything.
    await writeFile(
      join(folder, 'reprise'),
      `#!/bin/sh\necho $$ >>${folder}/pids\n[ -e ${folder}/job ] || { setsid sleep 300 & echo $! >${folder}/job; }\nexec sleep 300\n`,
      { mode: 0o755 },
    );
    const child = spawn('/bin/sh', [join(deploy, 'reprise-worker'), '--host', 'db1'], {
      env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'inherit', 'ignore'],
    });
    onCleanup(async () => {
      child.kill('SIGKILL');
      await killAll(() => processesOf(folder));
    });
    const pids = async (): Promise<number[]> =>
      (await readFile(join(folder, 'pids'), 'utf8')).trim().split('\n').map(Number);
    const workers = (count: number): Promise<void> =>
      until(async () => (await pids()).length === count, `there were ${count} workers`);
    const lives = (pid: number): boolean => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    await workers(1);
    process.kill((await pids())[0] ?? 0, 'SIGKILL');
    await workers(2);
    child.kill('SIGHUP');
    await workers(3);
    const job = Number(await readFile(join(folder, 'job'), 'utf8'));
    expect([lives(job), lives((await pids())[1] ?? 0)]).toEqual([true, false]);
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0]).toBe(0);
    expect([lives(job), lives((await pids())[2] ?? 0)]).toEqual([true, false]);
    process.kill(job, 'SIGKILL');
  });
});
