import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { pgbackrestEngine as engine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup, toolOf } from '../../contract/engine-suite.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { STANZA, startBackrestCluster } from '../../helpers/pgbackrest.js';
import { recoverBeside } from '../../helpers/recovered.js';
import type { BackrestCluster } from '../../helpers/pgbackrest.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import type { ServerAddress } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

let source: BackrestCluster;
let ground: Ground;
let backup: Backup;
let tablespace: string;

const startedAt = new Date().toISOString();
const files = async (context: EngineContext, dataDir: string): Promise<void> =>
  engine.physical?.restoreFiles(context, {
    ...(await bound(engine, context, backup)),
    dataDir,
    tablespaceDir: `${dataDir}.tablespaces`,
  });
const starts = async (operationId: string, step: string): Promise<number> =>
  (await readJobs(ground.stateDir, operationId))
    .filter(({ key }) => key.includes(`/${step}`))
    .reduce((sum, job) => sum + job.starts, 0);
const output = (operationId: string, step: string, generation: number): Promise<string> =>
  readFile(join(ground.stateDir, 'jobs', operationId, step, String(generation), 'stdout'), 'utf8').catch(() => '');
const contentOf = async (server: ServerAddress): Promise<unknown> =>
  (
    await runQuery(
      server,
      'postgres',
      `SELECT count(*), sum(hashtextextended(t::text, 0)) FROM big t UNION ALL SELECT count(*), sum(hashtextextended(t::text, 0)) FROM elsewhere t`,
    )
  ).rows;

beforeAll(async () => {
  source = await startBackrestCluster({}, ['compress-level=6']);
  ground = await makeGround(source.cluster, 'pgbackrest', source.options, { databases: ['postgres'] });
  tablespace = await tempDir('tablespace');
  await runQuery(source.cluster, 'postgres', `CREATE TABLESPACE "../sp/ace ""x" LOCATION '${tablespace}'`);
  await runQuery(
    source.cluster,
    'postgres',
    `CREATE TABLE big AS SELECT n, md5(n::text) AS what FROM generate_series(1, 150000) n;
     CREATE TABLE elsewhere TABLESPACE "../sp/ace ""x" AS SELECT n, md5(n::text) AS what FROM generate_series(1, 1000) n`,
  );
});

it('F3, D2: pgbackrest killed in mid backup: nothing is listed, and the next attempt resumes with one more start', async () => {
  const context = await ground.context('killed');
  await engine.preflightBackup(context);
  // It waits for its last WAL, however late it is killed. Before it copies, it waits for what was written until now.
  const { rows } = await runQuery(
    source.cluster,
    'postgres',
    "SELECT pg_walfile_name(pg_create_restore_point('before the backup') - 1) AS segment",
  );
  await writeFile(source.holdFile, (rows[0] as { segment: string }).segment);
  const failed = engine.backup(context, { type: 'full', startedAt }).then(
    () => 'made',
    (error: { code?: string }) => error.code,
  );
  await until(async () => (await output('killed', 'backup', 1)).includes('DETAIL: backup file'), 'files are copied');
  process.kill(await toolOf(ground.stateDir, 'killed'), 'SIGKILL');
  expect(await failed).toBe('tool-failed');
  await rm(source.holdFile);
  expect(await engine.list(context)).toEqual([]);

  backup = onlyBackup(await engine.backup(await ground.context('killed'), { type: 'full', startedAt }));
  expect(await starts('killed', 'backup')).toBe(2);
  expect(await output('killed', 'backup', 2)).toContain('resumable backup');
  expect((await engine.list(context)).map(({ label }) => label)).toEqual([backup.label]);
  expect(await engine.verify(await ground.context('verify'), backup)).toMatchObject({ ok: true });
});

it('D2: an attempt that finds its backup finished, and no record of it, makes no other', async () => {
  await rm(join(ground.stateDir, 'jobs', 'killed'), { recursive: true });
  const [found] = await engine.backup(await ground.context('killed'), { type: 'full', startedAt });
  expect(found?.label).toBe(backup.label);
  expect(await starts('killed', 'backup')).toBe(0);
});

it('F2: pgbackrest killed in mid restore: no server starts there, the next attempt goes on where it was', async () => {
  const context = await ground.context('restore');
  const dataDir = join(await tempDir('interrupted'), 'data');
  // A file that never comes: it waits in its middle, however late it is killed.
  const control = join(source.repository, 'backup', STANZA, backup.label, 'pg_data', 'global', 'pg_control.gz');
  await rename(control, `${control}.away`);
  await promisify(execFile)('mkfifo', [control]);
  await giveToPostgres(control);
  const failed = files(context, dataDir).then(
    () => 'restored',
    (error: { code?: string }) => error.code,
  );
  const step = `restore-${backup.label}`;
  await until(async () => (await output('restore', step, 1)).includes('DETAIL: restore file'), 'files are restored');
  process.kill(await toolOf(ground.stateDir, 'restore'), 'SIGKILL');
  expect(await failed).toBe('tool-failed');
  await rename(`${control}.away`, control);
  expect(existsSync(join(dataDir, 'global', 'pg_control'))).toBe(false);

  await files(await ground.context('restore'), dataDir);
  expect(await starts('restore', step)).toBe(2);
  expect(await output('restore', step, 2)).toContain('exists and matches backup');
  expect(existsSync(join(dataDir, 'global', 'pg_control'))).toBe(true);
  expect(await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8')).not.toMatch(/^restore_command/m);
  // Done is done: a further attempt starts nothing.
  await files(await ground.context('restore'), dataDir);
  expect(await starts('restore', step)).toBe(2);
});

it('F2: only an empty directory, or the one this operation began to fill', async () => {
  const root = await tempDir('refused');
  const dataDir = join(root, 'data');
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'theirs'), 'something');
  const refused = { code: 'path-refused' };
  await expect(files(await ground.context('refused'), dataDir)).rejects.toMatchObject(refused);
  expect(await readdir(dataDir)).toEqual(['theirs']);
  await rm(join(dataDir, 'theirs'));
  await giveToPostgres(dataDir);
  await files(await ground.context('refused'), dataDir);
  await expect(files(await ground.context('another operation'), dataDir)).rejects.toMatchObject(refused);
  // Another directory of the same name is not the one we filled.
  await rename(dataDir, `${dataDir}.aside`);
  await mkdir(dataDir);
  await writeFile(join(dataDir, 'theirs'), 'something');
  await expect(files(await ground.context('refused'), dataDir)).rejects.toMatchObject(refused);
  await expect(files(await ground.context('nowhere'), join(root, 'no', 'such'))).rejects.toMatchObject(refused);
});

it('F2: pgbackrest killed before its first file: the directories it had made are no hindrance', async () => {
  const context = await ground.context('early');
  const dataDir = join(await tempDir('early'), 'data');
  const killedEarly = {
    ...context,
    jobs: { run: () => mkdir(join(dataDir, 'base')).then(() => Promise.reject(new Error('killed'))) },
  };
  await expect(files(killedEarly, dataDir)).rejects.toThrow('killed');
  await giveToPostgres(join(dataDir, 'base'));
  await files(context, dataDir);
  expect(existsSync(join(dataDir, 'global', 'pg_control'))).toBe(true);
});

it('F37: tablespaces are remapped below their directory, whatever they are called; the source is left alone', async () => {
  const before = await readdir(tablespace, { recursive: true });
  const context = await ground.context('tablespaces');
  const outline = await engine.outlineRecovery(context, {
    target: { kind: 'end-of-backup' },
    candidates: [backup],
    oldDataDir: null,
    databases: [],
  });
  const recovered = await recoverBeside(context, outline, { engine });
  const [oid] = await readdir(join(recovered.dataDir, 'pg_tblspc'));
  expect(await readlink(join(recovered.dataDir, 'pg_tblspc', oid ?? ''))).toBe(
    join(recovered.dataDir, '..', 'tablespaces', oid ?? ''),
  );
  expect(await contentOf(recovered)).toEqual(await contentOf(source.cluster));
  await recovered.remove();
  expect(await readdir(tablespace, { recursive: true })).toEqual(before);
});
