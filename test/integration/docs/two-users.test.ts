import { execFile } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { onCleanup } from '../../helpers/cleanup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import { asRoot, giveToPostgres } from '../../helpers/postgres-user.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

// Whoever is not root sets up and works as the one user there is.
const me = userInfo().username;
const operator = asRoot ? 'postgres' : me;

/** A login of a user as `su -` makes it: its own home, and nothing of the environment of these tests. */
async function as(user: string, argv: readonly string[], cwd: string): Promise<string> {
  const { stdout: entry } = await run('getent', ['passwd', user]);
  const home = entry.split(':')[5] ?? '/';
  const login = ['env', '-i', `HOME=${home}`, `USER=${user}`, `LOGNAME=${user}`, `PATH=${PATH}`, 'LANG=C.UTF-8'];
  const other = user === me ? [] : ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--'];
  const [program = '', ...rest] = [...other, ...login, ...argv];
  const { stdout } = await run(program, rest, { cwd, maxBuffer: 1e8 });
  return stdout;
}

/** A directory that its owner alone may enter, owned by `postgres`. */
async function directoryOfPostgres(path: string): Promise<string> {
  await mkdir(path, { mode: 0o700 });
  await giveToPostgres(path);
  return path;
}

it("the README's sequence under two users: root sets up, postgres starts, checks, schedules and backs up", async () => {
  const server = await startScratchCluster();
  await runQuery(server, 'postgres', 'CREATE DATABASE mairie');
  const folder = await tempDir('two-users');
  await chmod(folder, 0o755);
  const config = join(folder, 'reprise.yml');
  await writeFile(
    config,
    [
      'version: 1',
      `hosts: { db1: { state_dir: ${await directoryOfPostgres(join(folder, 'state'))} } }`,
      `repositories: { local: { type: directory, path: ${await directoryOfPostgres(join(folder, 'backups'))}, host: db1 } }`,
      'clusters:',
      '  mairie:',
      '    host: db1',
      `    connection: { host: ${server.socketDir}, port: ${server.port}, user: postgres }`,
      `    data_dir: ${server.dataDir}`,
      '    service: { kind: pg_ctl }',
      '    databases: [mairie]',
      '    backups:',
      '      nightly-dump:',
      '        { engine: logical, repository: local, schedule: { cron: "30 1 * * *" }, retention: { days: 14 }, proof: verify }',
      '',
    ].join('\n'),
  );

  await as(me, ['bash', join(root, 'scripts/setup')], root);

  const reprise = (...argv: string[]): Promise<string> =>
    as(operator, [join(root, 'bin/reprise'), '--config', config, ...argv], folder);
  onCleanup(async () => void (await reprise('down')));
  expect(await reprise('config', 'check')).toContain('reprise.yml');
  expect(await reprise('up')).toContain('started');
  const doctor = await reprise('doctor').catch((error: { stdout: string }) => error.stdout);
  expect(doctor).toContain(`runs as ${operator}`);
  await reprise('schedule', 'apply', '--yes');
  await reprise('backup', 'run', 'mairie');
  expect(await reprise('backup', 'list', 'mairie')).toMatch(/mairie:logical:mairie_full_/);
});
