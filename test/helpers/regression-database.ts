import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { execa } from 'execa';
import { pathExists } from '../../src/files/paths.js';
import { runQuery } from './postgres.js';
import type { ScratchCluster } from './postgres.js';
import { tempDir } from './temp.js';

const run = promisify(execFile);
const SOURCE = 'postgresql-15';

/**
 * PostgreSQL's regression tests, from Debian's source package: by apt, which checks its signature, into a cache of our own and
 * without a change of the machine's lists.
 */
async function regressionTests(): Promise<string> {
  const cache = join(import.meta.dirname, '../../node_modules/.cache/regression-tests');
  const found = join(cache, 'regress');
  if (await pathExists(found)) return found;
  const work = `${cache}.${process.pid}`;
  await mkdir(join(work, 'lists', 'partial'), { recursive: true });
  await writeFile(
    join(work, 'sources.list'),
    'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n',
  );
  const options = [
    ...['-o', `Dir::Etc::sourcelist=${join(work, 'sources.list')}`, '-o', 'Dir::Etc::sourceparts=-'],
    ...['-o', `Dir::State::lists=${join(work, 'lists')}`, '-o', `Dir::Cache=${work}`],
  ];
  await run('apt-get', [...options, 'update'], { cwd: work, maxBuffer: 1 << 26 });
  await run('apt-get', [...options, 'source', '--download-only', SOURCE], { cwd: work, maxBuffer: 1 << 26 });
  const archive = (await readdir(work)).find((name) => /\.orig\.tar\.bz2$/.test(name)) ?? '';
  await run('tar', ['--extract', '--file', archive, '--strip-components=3', '--wildcards', '*/src/test/regress/*'], {
    cwd: work,
  });
  await mkdir(cache, { recursive: true });
  await rename(join(work, 'regress'), found);
  await rm(work, { recursive: true });
  return found;
}

/**
 * The database that PostgreSQL's own regression tests leave: objects of every kind, by their hundreds. The tests run one after the other
 * by psql, and what fails of them is not asked: functions of their library in C are left out.
 */
export async function makeRegressionDatabase(server: ScratchCluster): Promise<void> {
  const tests = await tempDir('regress');
  await run('cp', ['-r', `${await regressionTests()}/.`, tests]);
  // The server reads its data, and some tests write beside it.
  for (const writable of [tests, join(tests, 'results')]) {
    await mkdir(writable, { recursive: true });
    await chmod(writable, 0o777);
  }
  await run('chmod', ['-R', 'a+rX', tests]);
  await runQuery(server, 'postgres', `CREATE DATABASE regression TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`);
  for (const setting of ["lc_messages = 'C'", "lc_monetary = 'C'", "lc_numeric = 'C'", "bytea_output = 'hex'"])
    await runQuery(server, 'postgres', `ALTER DATABASE regression SET ${setting}`);
  const schedule = await readFile(join(tests, 'parallel_schedule'), 'utf8');
  const names = [...schedule.matchAll(/^test: (.*)$/gm)].flatMap(([, line = '']) => line.trim().split(/\s+/));
  for (const name of names)
    await execa(
      join(server.binDir, 'psql'),
      ['--no-psqlrc', '--quiet', '--file', join(tests, 'sql', `${name}.sql`), 'regression'],
      {
        cwd: tests,
        env: {
          ...{ PGHOST: server.host, PGPORT: String(server.port), PGUSER: server.user },
          ...{ PG_ABS_SRCDIR: tests, PG_ABS_BUILDDIR: tests, PG_LIBDIR: tests, PG_DLSUFFIX: '.so' },
          ...{ PGTZ: 'PST8PDT', PGDATESTYLE: 'Postgres, MDY' },
        },
        stdio: 'ignore',
        reject: false,
        timeout: 300_000,
      },
    );
}
