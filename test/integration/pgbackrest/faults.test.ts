import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup, BackupType } from '../../../src/domain/backup/backup.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { missingStanza } from '../../../src/engines/pgbackrest/config-file.js';
import { pgbackrestEngine as engine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup } from '../../contract/engine-suite.js';
import { until } from '../../helpers/until.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { STANZA, startBackrestCluster } from '../../helpers/pgbackrest.js';
import type { BackrestCluster } from '../../helpers/pgbackrest.js';
import { startPgbouncer } from '../../helpers/pooler.js';
import { asRoot, giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';

failOnLeakedProcesses();

let source: BackrestCluster;
let ground: Ground;
let operations = 0;

const newContext = (): Promise<EngineContext> => ground.context(`operation ${operations++}`);
/** The same with a short patience. */
async function impatient(): Promise<EngineContext> {
  const context = await newContext();
  return { ...context, policy: { ...context.policy, options: { ...source.options, archiveTimeoutSeconds: 1 } } };
}
async function backUp(type: BackupType | 'auto'): Promise<Backup> {
  await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv SELECT 1');
  return onlyBackup(await engine.backup(await newContext(), { type, startedAt: new Date().toISOString() }));
}
const labels = async (): Promise<string[]> => (await engine.list(await newContext())).map(({ label }) => label);

beforeAll(async () => {
  // One full backup is all that pgBackRest itself would keep.
  source = await startBackrestCluster({}, ['repo1-retention-full=1']);
  ground = await makeGround(source.cluster, 'pgbackrest', source.options, { databases: ['postgres'] });
  await runQuery(source.cluster, 'postgres', 'CREATE TABLE rdv AS SELECT 1 AS n');
});

describe('preflight', () => {
  it('accepts a cluster that archives, makes the stanza, and names what works against it (F42)', async () => {
    await chmod(source.repository, 0o755);
    const warnings = await engine.preflightBackup(await newContext());
    await chmod(source.repository, 0o700);
    expect(warnings).toEqual([
      expect.stringMatching(/expires backups by itself: .*repo1-retention-full/),
      expect.stringMatching(/mode 0755/),
    ]);
    expect(await engine.preflightBackup(await newContext())).toHaveLength(1);
  });

  it('F7: refuses while archiving fails, and makes no backup then', async () => {
    await writeFile(source.failFile, '');
    await expect(engine.preflightBackup(await impatient())).rejects.toMatchObject({
      code: 'wal-not-archived',
      hint: expect.stringContaining('archive_command') as unknown,
    });
    await expect(
      engine.backup(await impatient(), { type: 'full', startedAt: new Date().toISOString() }),
    ).rejects.toMatchObject({ code: 'wal-not-archived' });
    expect(await labels()).toEqual([]);
    await rm(source.failFile);
    await expect(engine.preflightBackup(await newContext())).resolves.toHaveLength(1);
  });

  it('F7: refuses a server that does not archive', async () => {
    const other = await startScratchCluster();
    const context = await newContext();
    const cluster = { ...context.cluster, connection: { ...context.cluster.connection, port: other.port } };
    await expect(engine.preflightBackup({ ...context, cluster })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('archive_mode is off') as unknown,
    });
    await other.remove();
  });

  it("F17: refuses a stanza that is another cluster's, and leaves it as it is", async () => {
    const other = await startScratchCluster({ archive: 'true # pgbackrest archive-push', unrelated: true });
    const context = await newContext();
    const before = await source.pgbackrest('info', '--output=json');
    const cluster = { ...context.cluster, connection: { ...context.cluster.connection, port: other.port } };
    await expect(engine.preflightBackup({ ...context, cluster })).rejects.toMatchObject({ code: 'identity-mismatch' });
    await expect(
      engine.backup({ ...context, cluster }, { type: 'full', startedAt: new Date().toISOString() }),
    ).rejects.toMatchObject({ code: 'identity-mismatch' });
    expect(await source.pgbackrest('info', '--output=json')).toBe(before);
    await other.remove();
  });

  it('R3: refuses a stanza whose port leads to PgBouncer, before pgBackRest connects', async () => {
    const { port, socketDir } = await startPgbouncer(source.cluster, { mode: 'transaction', ignored: ['options'] });
    const config = join(source.repository, '..', 'pooled.conf');
    const pooled = (await readFile(source.config, 'utf8'))
      .replace(/^pg1-port=.*$/m, `pg1-port=${port}`)
      .replace(/^pg1-socket-path=.*$/m, `pg1-socket-path=${socketDir}`);
    await writeFile(config, pooled, { mode: 0o600 });
    await giveToPostgres(config);
    const context = await newContext();
    const policy = { ...context.policy, options: { ...source.options, config } };
    const refused = { code: 'pooler-refused', hint: expect.stringContaining(`pg1-port=${source.cluster.port}`) };
    await expect(engine.preflightBackup({ ...context, policy })).rejects.toMatchObject(refused);
    await expect(
      engine.backup({ ...context, policy }, { type: 'full', startedAt: new Date().toISOString() }),
    ).rejects.toMatchObject(refused);
    expect(
      await missingStanza(policy.options, {
        ...{ dataDir: source.cluster.dataDir, port: source.cluster.port, answers: true, socketDir: null },
      }),
    ).toMatchObject({ lines: expect.stringContaining(`pg1-port=${source.cluster.port}`) });
  });

  it('refuses a configuration file that is not there', async () => {
    const context = await newContext();
    const policy = { ...context.policy, options: { ...source.options, config: '/no/such.conf' } };
    await expect(engine.preflightBackup({ ...context, policy })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('/no/such.conf') as unknown,
    });
  });

  it('F29: another pgbackrest at work is a held lock', async () => {
    const path = join(source.repository, '..', 'lock', `${STANZA}-backup.lock`);
    await writeFile(path, '');
    const full = async (): Promise<unknown> =>
      engine.backup(await newContext(), { type: 'full', startedAt: new Date().toISOString() });
    // Ours, as after a pgbackrest that was run as root: no lock is held, and waiting does not help.
    if (asRoot) await expect(full()).rejects.toMatchObject({ code: 'privilege-missing' });
    await rm(path);
    await writeFile(source.holdFile, '');
    const cron = source.pgbackrest('--no-expire-auto', '--start-fast', 'backup');
    await until(async () => (await readFile(path, 'utf8').catch(() => '')) !== '', 'the other pgbackrest works');
    await expect(full()).rejects.toMatchObject({ code: 'lock-held' });
    await rm(source.holdFile);
    await cron;
  });
});

describe('B3, P1: a chain of backups', () => {
  let old: Backup[];
  let full: Backup;
  const archiveFiles = async (): Promise<string[]> =>
    (await readdir(join(source.repository, 'archive', STANZA, '15-1', '0000000100000000')))
      .map((name) => name.slice(0, 24))
      .sort();

  it('P1: auto takes what rests on the full backup there is; nothing expires by itself', async () => {
    // What cron made is a backup like any other; an operation of ours begins a chain of its own.
    const first = await backUp('full');
    const second = await backUp('auto');
    const third = await backUp('diff');
    full = await backUp('full');
    old = [first, second, third];
    expect(old.map(({ type }) => type)).toEqual(['full', 'incr', 'diff']);
    expect(second.dependsOn).toEqual([first.label]);
    expect(await labels()).toEqual(expect.arrayContaining([...old, full].map(({ label }) => label)));
  });

  it('F15: a flip in a full backup damages what rests on it too, though pgbackrest verify exits with 0', async () => {
    const [first, second] = old as [Backup, Backup];
    const path = join(source.repository, 'backup', STANZA, first.label, 'pg_data', 'base', '5', '1255.gz');
    const content = await readFile(path);
    const flipped = Buffer.from(content);
    flipped.writeUInt8(flipped.readUInt8(2000) ^ 1, 2000);
    await writeFile(path, flipped);
    const report = await source.pgbackrest('verify', '--output=text', '--verbose');
    expect(report).toContain('status: error');
    for (const backup of [first, second]) {
      const verdict = await engine.verify(await newContext(), backup);
      expect(verdict).toMatchObject({
        ok: false,
        detail: expect.stringMatching(new RegExp(`${first.label}/pg_data/base/5/1255`)) as unknown,
      });
    }
    await writeFile(path, content);
    expect(await engine.verify(await newContext(), second)).toMatchObject({ ok: true });
    expect(await engine.verify(await newContext(), { ...second, sha256: 'f'.repeat(64) })).toMatchObject({ ok: false });
  });

  it('F30: never strands a backup, never takes the last full one', async () => {
    const [first] = old as [Backup];
    await expect(engine.remove(await newContext(), [first.label])).rejects.toMatchObject({ code: 'rotation-refused' });
    await expect(engine.planRemoval(await newContext(), await labels())).rejects.toMatchObject({
      code: 'rotation-refused',
    });
    expect(await labels()).toEqual(expect.arrayContaining([first.label, full.label]));
  });

  it('B3: what the dry run named goes, newest first, with the WAL that nobody needs any more', async () => {
    const before = await labels();
    const asked = before.filter((label) => label !== full.label && label.length === 16);
    const plan = await engine.planRemoval(await newContext(), asked);
    expect(plan.labels).toEqual(before.filter((label) => label !== full.label).reverse());
    expect(plan.alsoRemoves).toEqual([expect.stringMatching(/^\d+ WAL segments of 15-1, /)]);
    await engine.remove(await newContext(), plan.labels);
    expect(await labels()).toEqual([full.label]);
    expect((await archiveFiles())[0]).toBe(full.wal?.start);
    expect(await engine.verify(await newContext(), full)).toMatchObject({ ok: true });
    // An expire that was cut off leaves files of what is in no list any more.
    const leftover = join(source.repository, 'backup', STANZA, old[0]?.label ?? '');
    await mkdir(leftover);
    await engine.remove(await newContext(), plan.labels);
    await expect(stat(leftover)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

it('F35: refuses a database name that would break the manifest, which pgBackRest itself does not notice', async () => {
  await runQuery(source.cluster, 'postgres', 'CREATE DATABASE "two\nlines"');
  await expect(engine.preflightBackup(await newContext())).rejects.toMatchObject({ code: 'capability-missing' });
  await expect(
    engine.backup(await newContext(), { type: 'full', startedAt: new Date().toISOString() }),
  ).rejects.toMatchObject({ code: 'backup-corrupt' });
  await runQuery(source.cluster, 'postgres', 'DROP DATABASE "two\nlines"');
});
