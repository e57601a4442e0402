import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { IDENTITY_FILE } from '../../../src/domain/storage/repository-identity.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import { spoolOf } from '../../../src/engines/basebackup/repository/names.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { asBackup } from '../../contract/engine-suite.js';
import { expectOddDatabasesHarmless } from '../../contract/odd-databases.js';
import { letArchive, startBaseCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { programs18 } from '../../helpers/programs-18.js';
import { tempDir } from '../../helpers/temp.js';
import { bound } from '../../helpers/bound.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

let source: BaseCluster;
const chain: Backup[] = [];
let second = 0;
const nextStart = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
const newContext = (): Promise<EngineContext> => source.context(`incremental ${second}`);
const rows = async (server: { host: string; port: number; user: string; socketDir: string }): Promise<string> =>
  String(
    (
      (await runQuery(server, 'postgres', "SELECT count(*) || ' ' || sum(n) || ' ' || sum(length(pad)) AS c FROM rdv"))
        .rows[0] as { c: string }
    ).c,
  );

async function backUp(type: 'auto' | 'full' | 'incr'): Promise<Backup> {
  const context = await source.context(`backup ${second}`);
  const [made] = await engine.backup(context, { type, startedAt: nextStart() });
  return asBackup(made as never);
}

/** Turns the keeping of WAL summaries on or off, and waits until the server has taken it up. */
async function summarize(on: 'on' | 'off'): Promise<void> {
  await runQuery(source.cluster, 'postgres', `ALTER SYSTEM SET summarize_wal = '${on}'`);
  await runQuery(source.cluster, 'postgres', 'SELECT pg_reload_conf()');
  for (let now = ''; now !== on;)
    now = ((await runQuery(source.cluster, 'postgres', 'SHOW summarize_wal')).rows[0] as { summarize_wal: string })
      .summarize_wal;
}

beforeAll(async () => {
  const started = await startBaseCluster({ version: 18, settings: { summarize_wal: 'on' } }, []);
  const pgBin = await programs18();
  source = { ...started, context: (operationId, changed = {}) => started.context(operationId, { pgBin, ...changed }) };
  source.options['fullEverySeconds'] = 86_400;
  const tablespace = join(await tempDir('space'), 'far');
  await mkdir(tablespace);
  await giveToPostgres(tablespace);
  await runQuery(source.cluster, 'postgres', `CREATE TABLESPACE far LOCATION '${tablespace}'`);
  await runQuery(
    source.cluster,
    'postgres',
    "CREATE TABLE rdv TABLESPACE far AS SELECT n, repeat('x', 500) AS pad FROM generate_series(1, 20000) n",
  );
  await engine.preflightBackup(await newContext());
  for (const n of [1, 2, 3]) {
    chain.push(await backUp('auto'));
    await runQuery(source.cluster, 'postgres', `UPDATE rdv SET n = -n WHERE n = ${n}`);
  }
});

describe('K8: incremental base backups of PostgreSQL 18', () => {
  it('auto takes a full one first, then ones that rest on it and are much smaller', () => {
    expect(chain.map(({ type }) => type)).toEqual(['full', 'incr', 'incr']);
    expect(chain[2]?.dependsOn).toEqual([chain[1]?.label, chain[0]?.label]);
    expect(chain[2]?.sizeBytes).toBeLessThan((chain[0]?.sizeBytes ?? 0) / 2);
  });

  it('W9, W10: an invalid database and unlogged, temporary and foreign tables are harmless on 18 too', async () => {
    const label = await expectOddDatabasesHarmless({ engine, server: source.cluster, context: source.context });
    await engine.remove(await newContext(), [label]);
  });

  it('S4: the last one is restored with those it rests on, its tablespace where it was told to lie', async () => {
    const context = await source.context('restore');
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'end-of-backup' },
      candidates: chain.toReversed(),
      oldDataDir: null,
      databases: [],
    });
    expect(outline.backups).toEqual([chain[2]]);
    const recovered = await recoverBeside(context, outline, { engine });
    expect(await rows(recovered)).toBe('20000 200009994 10000000');
    const { location } = (
      await runQuery(
        recovered,
        'postgres',
        "SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace WHERE spcname = 'far'",
      )
    ).rows[0] as { location: string };
    const tablespaceDir = join(recovered.dataDir, '..', 'tablespaces');
    expect(location.startsWith(tablespaceDir)).toBe(true);
    await recovered.remove();

    // D2: the next attempt of one whose copy was thrown away before its answer came.
    const { dataDir } = recovered;
    const spaces = await readdir(tablespaceDir, { recursive: true });
    for (const path of [dataDir, tablespaceDir]) await rm(path, { recursive: true });
    await engine.physical?.restoreFiles(context, {
      ...(await bound(engine, context, chain[2] as Backup)),
      dataDir,
      tablespaceDir,
    });
    expect(await readdir(dataDir)).toEqual(expect.arrayContaining(['PG_VERSION', 'backup_label', 'tablespace_map']));
    expect((await readdir(tablespaceDir, { recursive: true })).length).toBeGreaterThan(spaces.length / 2);
  });

  it('F15: damage of one it rests on is damage of its own, and names that one', async () => {
    const path = join(source.directory, chain[0]?.label ?? '', 'base.tar.gz');
    const whole = await readFile(path);
    const flipped = Buffer.from(whole);
    flipped.writeUInt8(flipped.readUInt8(9000) ^ 1, 9000);
    await writeFile(path, flipped);
    expect(await engine.verify(await source.context('verify'), chain[2] as Backup)).toMatchObject({
      ok: false,
      detail: expect.stringContaining(chain[0]?.label ?? '') as unknown,
    });
    const dataDir = join(source.ground.stateDir, 'damaged');
    const context = await source.context('damaged');
    const restored = engine.physical?.restoreFiles(context, {
      ...(await bound(engine, context, chain[2] as Backup)),
      dataDir,
      tablespaceDir: `${dataDir}.spaces`,
    });
    await expect(restored).rejects.toMatchObject({ code: 'backup-corrupt', details: { damagedBackup: chain[0]?.id } });
    await writeFile(path, whole);
    expect(await engine.verify(await source.context('verify again'), chain[2] as Backup)).toMatchObject({ ok: true });
  });

  it('F30: what others rest on is not removed alone; together the dependants go first', async () => {
    const context = await source.context('remove');
    const labels = chain.map(({ label }) => label);
    expect((await engine.planRemoval(context, labels.slice(0, 1))).labels).toEqual(labels);
    await expect(engine.remove(context, labels.slice(0, 1))).rejects.toMatchObject({ code: 'rotation-refused' });
    await engine.remove(context, labels);
    expect(await engine.list(context)).toEqual([]);
  });

  it('one that is asked for without a full one, or without WAL summaries, is refused', async () => {
    await expect(backUp('incr')).rejects.toMatchObject({ code: 'no-usable-backup' });
    await summarize('off');
    await expect(backUp('incr')).rejects.toMatchObject({
      code: 'config-invalid',
      hint: expect.stringContaining('summarize_wal') as unknown,
    });
    await summarize('on');
  });
});

describe('what an incremental backup may rest on', () => {
  const spool = async (operationId: string): Promise<string[]> => readdir(spoolOf(await source.context(operationId)));

  it('F1: the kind that the first attempt chose stays, whatever came between it and the next one', async () => {
    const full = await backUp('auto');
    expect(full.type).toBe('full');
    source.options['archiveTimeoutSeconds'] = 1;
    await writeFile(source.failFile, '');
    const request = { type: 'auto', startedAt: nextStart() } as const;
    await expect(engine.backup(await source.context('two attempts'), request)).rejects.toMatchObject({
      code: 'wal-not-archived',
    });
    // By now a full one is due.
    source.options['fullEverySeconds'] = 0;
    source.options['archiveTimeoutSeconds'] = 100;
    await letArchive(source);
    await runQuery(source.cluster, 'postgres', "SELECT pg_create_restore_point('wake'), pg_switch_wal()");
    expect(await engine.backup(await source.context('two attempts'), request)).toMatchObject([
      { type: 'incr', dependsOn: [full.label] },
    ]);
    source.options['fullEverySeconds'] = 86_400;
    source.options['archiveTimeoutSeconds'] = 30;
  });

  it('F16: where the server cannot continue from it, auto takes a full one, and what was asked for by name fails and leaves nothing', async () => {
    await runQuery(source.cluster, 'postgres', "SELECT pg_create_restore_point('x'), pg_switch_wal()");
    await runQuery(source.cluster, 'postgres', 'CHECKPOINT');
    // What is summarized after this is no part of what is missing: else the server could continue.
    await until(async () => {
      const { rows: found } = await runQuery(
        source.cluster,
        'postgres',
        'SELECT max(end_lsn) >= (SELECT redo_lsn FROM pg_control_checkpoint()) AS there FROM pg_available_wal_summaries()',
      );
      return (found[0] as { there: boolean | null }).there === true;
    }, 'WAL is summarized up to the checkpoint');
    const summaries = join(source.cluster.dataDir, 'pg_wal', 'summaries');
    for (const name of await readdir(summaries)) await rm(join(summaries, name), { force: true });
    const asked = source.context('asked for');
    await expect(engine.backup(await asked, { type: 'incr', startedAt: nextStart() })).rejects.toMatchObject({
      code: 'config-invalid',
    });
    await expect(spool('asked for')).rejects.toMatchObject({ code: 'ENOENT' });
    const made = await backUp('auto');
    expect(made.type).toBe('full');
    expect(made.dependsOn).toBeUndefined();
    expect(await backUp('auto')).toMatchObject({ type: 'incr', dependsOn: [made.label] });
  });

  it('F24: after a recovery to before the newest backup, nothing rests on what was left behind', async () => {
    const older = (await engine.list(await newContext())).at(-2)?.label;
    const candidates = (await engine.list(await newContext()))
      .filter(({ label }) => label === older)
      .map((one) => ({ ...one, id: `mairie/basebackup/${one.label}` }) as unknown as Backup);
    const context = await source.context('recovery');
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'end-of-backup' },
      candidates,
      oldDataDir: null,
      databases: [],
    });
    const recovered = await recoverBeside(context, outline, { engine, clone: false });
    await recovered.promote();
    const connection = { ...context.cluster.connection, host: recovered.host, port: recovered.port };
    const on = async (operationId: string): Promise<EngineContext> => ({
      ...(await source.context(operationId)),
      cluster: { ...context.cluster, connection, dataDir: recovered.dataDir },
    });
    await rearmArchiving(connection, engine.physical?.archiveCommand(context) ?? null);
    await engine.physical?.rearm(await on('rearm'));
    const refused = { code: 'no-usable-backup', message: expect.stringContaining('timeline 2') as unknown };
    await expect(
      engine.backup(await on('asked for there'), { type: 'incr', startedAt: nextStart() }),
    ).rejects.toMatchObject(refused);
    const [full] = await engine.backup(await on('after'), { type: 'auto', startedAt: nextStart() });
    expect(full).toMatchObject({ type: 'full', wal: { start: expect.stringMatching(/^00000002/) as unknown } });
    expect(await engine.backup(await on('and the next'), { type: 'auto', startedAt: nextStart() })).toMatchObject([
      { type: 'incr', dependsOn: [full?.label] },
    ]);
    await recovered.remove();
  });
});

it('W1, F47: where the disk of the repository is not mounted, nothing is archived on its mount point', async () => {
  const { repositoryPath } = source.ground;
  const archiver = async (): Promise<{ failed: number; archived: number }> =>
    (
      await runQuery(
        source.cluster,
        'postgres',
        'SELECT failed_count::int AS failed, archived_count::int AS archived FROM pg_stat_archiver',
      )
    ).rows[0] as { failed: number; archived: number };
  const commit = () => runQuery(source.cluster, 'postgres', "SELECT pg_create_restore_point('x'), pg_switch_wal()");
  await writeFile(join(repositoryPath, IDENTITY_FILE), '{}');
  const { connection } = (await newContext()).cluster;
  await rearmArchiving(connection, engine.physical?.archiveCommand(await newContext()) ?? '');
  const { archived } = await archiver();
  await commit();
  await until(async () => (await archiver()).archived > archived, 'it archives with the marker');
  const { failed } = await archiver();

  await rename(repositoryPath, `${repositoryPath}.disk`);
  await mkdir(source.walDirectory, { recursive: true });
  await giveToPostgres(source.walDirectory);
  await commit();
  await until(async () => (await archiver()).failed > failed, 'archiving fails');
  expect(await readdir(source.walDirectory)).toEqual([]);
  await rm(repositoryPath, { recursive: true });
  await rename(`${repositoryPath}.disk`, repositoryPath);
  const before = await archiver();
  await until(async () => (await archiver()).archived > before.archived, 'it archives again');
});
