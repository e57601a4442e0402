import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { walgEngine as engine } from '../../../src/engines/walg/walg-engine.js';
import { findPostgresBin } from '../../../src/process/exec/find-programs.js';
import { rearmArchiving } from '../../../src/postgres/wal/archiving.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup, toolOf } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/recovered.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';
import { archiveSegment } from '../../helpers/wal-segment.js';
import { startWalgCluster } from '../../helpers/walg.js';
import type { WalgCluster } from '../../helpers/walg.js';

failOnLeakedProcesses();

const SECRET = `s3cr3t-${Math.random().toString(36).slice(2)}`;

let source: WalgCluster;
let ground: Ground;
let operations = 0;

const newContext = (name = `walg ${operations++}`) => ground.context(name);
async function backUp(type: 'full' | 'incr' | 'auto' = 'full'): Promise<Backup> {
  const [made] = await engine.backup(await newContext(), { type, startedAt: new Date().toISOString() });
  if (made === undefined) throw new Error('no backup was made');
  return asBackup(made);
}
const labels = async (): Promise<string[]> => (await engine.list(await newContext())).map(({ label }) => label);
const isPermanent = async (label: string): Promise<boolean> =>
  (
    JSON.parse(await source.walg('backup-list', '--json', '--detail')) as {
      backup_name: string;
      is_permanent: boolean;
    }[]
  ).some((one) => one.backup_name === label && one.is_permanent);

/** An LZ4 frame up to the end of its first block (LZ4 frame format description). */
function firstBlockOf(frame: Buffer): Buffer {
  const flags = frame.readUInt8(4);
  const header = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4);
  const size = frame.readUInt32LE(header) & 0x7fffffff;
  return frame.subarray(0, header + 4 + size + ((flags & 0x10) === 0 ? 0 : 4));
}

beforeAll(async () => {
  source = await startWalgCluster({
    version: 15,
    env: ['export WALG_FILE_PREFIX="@PREFIX@"', 'export WALG_DELTA_MAX_STEPS="6"', `AWS_SECRET_ACCESS_KEY=${SECRET}`],
  });
  ground = await makeGround(source.cluster, 'walg', source.options, { databases: ['postgres'] });
  await runQuery(
    source.cluster,
    'postgres',
    'CREATE TABLE rdv (n int); INSERT INTO rdv SELECT generate_series(1, 1000)',
  );
});

describe('preflight', () => {
  it('says what a person should know, and how to mend it', async () => {
    const warnings = await engine.preflightBackup(await newContext());
    expect(warnings).toEqual([
      expect.stringContaining('no page checksums'),
      expect.stringContaining('deletes only what is older'),
    ]);
  });

  it('F17: refuses a server that this WAL-G does not know', async () => {
    await runQuery(source.cluster, 'postgres', 'ALTER FUNCTION pg_start_backup RENAME TO not_now');
    await expect(engine.preflightBackup(await newContext())).rejects.toMatchObject({
      code: 'version-mismatch',
      message: expect.stringContaining('does not know PostgreSQL 15') as unknown,
    });
    await runQuery(source.cluster, 'postgres', 'ALTER FUNCTION not_now RENAME TO pg_start_backup');
  });

  it('F37: refuses tablespaces, which 0.2.19 would restore over the living ones', async () => {
    const place = await tempDir('tablespace');
    await giveToPostgres(place);
    await runQuery(source.cluster, 'postgres', `CREATE TABLESPACE cold LOCATION '${place}'`);
    await expect(engine.preflightBackup(await newContext())).rejects.toMatchObject({
      code: 'capability-missing',
      message: expect.stringContaining('"cold"') as unknown,
    });
    await runQuery(source.cluster, 'postgres', 'DROP TABLESPACE cold');
  });

  it('F39: refuses a file with secrets that others may read, and does not show them', async () => {
    await chmod(source.options.envFile, 0o644);
    await expect(engine.preflightBackup(await newContext())).rejects.toMatchObject({
      code: 'config-invalid',
      hint: `run: chmod 600 ${source.options.envFile}`,
      message: expect.not.stringContaining(SECRET) as unknown,
    });
    await chmod(source.options.envFile, 0o600);
  });
});

describe('backups', () => {
  it('a delta rests on its base, and is restored with it; rows are of its end', async () => {
    const full = await backUp('full');
    await runQuery(source.cluster, 'postgres', 'INSERT INTO rdv SELECT generate_series(1001, 1500)');
    const delta = await backUp('incr');
    expect(delta).toMatchObject({ type: 'incr', dependsOn: [full.label] });
    expect(await engine.verify(await newContext(), delta)).toMatchObject({ ok: true });
    const context = await newContext();
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'backup', id: delta.id },
      candidates: [delta, full],
      oldDataDir: null,
      databases: [],
    });
    const recovered = await recoverBeside(context, outline, { engine });
    expect((await runQuery(recovered, 'postgres', 'SELECT count(*)::int AS rows FROM rdv')).rows).toEqual([
      { rows: 1500 },
    ]);
    await recovered.remove();
  });

  it('F7: one whose WAL is not archived does not count, and the next attempt finds it instead of pushing another', async () => {
    const before = await labels();
    // The server waits for the archiver; what lies to it that all is well is a script that keeps nothing.
    await runQuery(source.cluster, 'postgres', "ALTER SYSTEM SET archive_command = '/bin/true # wal-push'");
    await runQuery(source.cluster, 'postgres', 'SELECT pg_reload_conf()');
    const impatient = { ...ground.policy, options: { ...source.options, archiveTimeoutSeconds: 1 } };
    const request = { type: 'full', startedAt: new Date().toISOString() } as const;
    await expect(engine.backup(await ground.context('lost wal', { policy: impatient }), request)).rejects.toMatchObject(
      { code: 'wal-not-archived' },
    );
    await expect(engine.backup(await ground.context('lost wal', { policy: impatient }), request)).rejects.toMatchObject(
      { code: 'wal-not-archived' },
    );
    expect((await labels()).filter((label) => !before.includes(label))).toHaveLength(1);
    await runQuery(source.cluster, 'postgres', 'ALTER SYSTEM RESET archive_command');
    await runQuery(source.cluster, 'postgres', 'SELECT pg_reload_conf()');
  });

  it('F17: another cluster is not backed up into the same prefix', async () => {
    const sentinels = (await readdir(join(source.prefix, 'basebackups_005'))).length;
    const other = await startWalgCluster({ version: 15, unrelated: true, env: [`WALG_FILE_PREFIX=${source.prefix}`] });
    const stranger = await makeGround(other.cluster, 'walg', other.options, { databases: ['postgres'] });
    await expect(engine.preflightBackup(await stranger.context('stranger'))).rejects.toMatchObject({
      code: 'identity-mismatch',
    });
    await expect(
      engine.backup(await stranger.context('stranger'), { type: 'full', startedAt: new Date().toISOString() }),
    ).rejects.toMatchObject({ code: 'identity-mismatch' });
    expect((await readdir(join(source.prefix, 'basebackups_005'))).length).toBe(sentinels);
    await other.cluster.stop();
  });

  it('F39: no secret is in a record of a job, its output or a command line', async () => {
    const files = await readdir(ground.stateDir, { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'utf8')),
    );
    expect(contents.length).toBeGreaterThan(5);
    expect(contents.filter((content) => content.includes(SECRET))).toEqual([]);
    await writeFile(source.holdFile, '');
    const pushed = newContext('canary').then((context) =>
      engine.backup(context, { type: 'full', startedAt: new Date().toISOString() }),
    );
    await toolOf(ground.stateDir, 'canary');
    const { stdout } = await promisify(execFile)('ps', ['-eo', 'args']);
    expect(stdout).toContain('backup-push');
    expect(stdout).not.toContain(SECRET);
    await rm(source.holdFile);
    await pushed;
  });
});

describe('holds', () => {
  it('mark what is held and what it rests on permanent, so that nobody else deletes it, and take only their own marks back', async () => {
    const full = await backUp('full');
    const delta = await backUp('incr');
    const byHand = await backUp('full');
    await source.walg('backup-mark', byHand.label);
    const holds = engine.holds;
    await holds?.hold(await newContext(), delta.label);
    await holds?.hold(await newContext(), delta.label);
    expect([await isPermanent(full.label), await isPermanent(delta.label)]).toEqual([true, true]);
    await holds?.release(await newContext(), delta.label, [full.label]);
    expect([await isPermanent(full.label), await isPermanent(delta.label)]).toEqual([true, false]);
    await holds?.release(await newContext(), full.label, []);
    await holds?.release(await newContext(), byHand.label, []);
    expect([await isPermanent(full.label), await isPermanent(byHand.label)]).toEqual([false, true]);

    // B3: what somebody else marked is never removed, and said.
    const last = await backUp('full');
    const older = (await labels()).filter((label) => label !== last.label);
    await expect(engine.planRemoval(await newContext(), older)).rejects.toMatchObject({
      code: 'rotation-refused',
      message: expect.stringContaining(byHand.label) as unknown,
    });

    // A hold that has run out left its mark: removal takes it back. What is held stays, and what is older goes.
    await holds?.hold(await newContext(), delta.label);
    const going = older.filter((label) => label !== byHand.label);
    const plan = await engine.planRemoval(await newContext(), going);
    expect(plan.alsoRemoves.at(-1)).toContain('held backups');
    const waiting = () => Promise.resolve({ labels: new Set<string>(), walFrom: '000000010000000000000001' });
    await expect(engine.planRemoval(await newContext(), going, waiting)).rejects.toMatchObject({
      code: 'rotation-refused',
      message: expect.stringContaining('a running recovery needs WAL') as unknown,
    });
    let asked = 0;
    const heldMeanwhile = () => Promise.resolve({ labels: new Set(asked++ === 0 ? [] : [full.label]), walFrom: null });
    await expect(engine.remove(await newContext(), plan.labels, heldMeanwhile)).rejects.toMatchObject({
      code: 'rotation-refused',
      message: expect.stringContaining(`${full.label} is held`) as unknown,
    });
    expect(await labels()).toEqual(expect.arrayContaining([...plan.labels]));
    await engine.remove(await newContext(), plan.labels);
    expect((await labels()).sort()).toEqual([byHand.label, last.label].sort());
  });

  it('P2: what is newer than a backup that stays is refused, with what to do', async () => {
    const older = await backUp('full');
    const newer = await backUp('full');
    await backUp('full');
    await expect(engine.planRemoval(await newContext(), [newer.label])).rejects.toMatchObject({
      code: 'rotation-refused',
      hint: expect.stringContaining('reprise backup hold') as unknown,
    });
    await expect(engine.remove(await newContext(), [newer.label])).rejects.toMatchObject({ code: 'rotation-refused' });
    expect(await labels()).toEqual(expect.arrayContaining([older.label, newer.label]));
  });
});

describe('restore', () => {
  it('F15, F24: a wal-push cut off at the end of a block, of which WAL-G unpacks the beginning, ends the log before it', async () => {
    const backup = await backUp('full');
    await runQuery(source.cluster, 'postgres', 'CREATE TABLE cut (n int); INSERT INTO cut VALUES (1)');
    await archiveSegment(source.cluster);
    await runQuery(source.cluster, 'postgres', 'INSERT INTO cut VALUES (2)');
    const last = await archiveSegment(source.cluster);
    const file = join(source.prefix, 'wal_005', `${last}.lz4`);
    const content = await readFile(file);
    const first = firstBlockOf(content);
    expect(first.length).toBeLessThan(content.length);
    await writeFile(file, first);
    const context = await newContext();
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: [],
    });
    expect(outline.warnings).toContainEqual(expect.stringContaining(`${last}, was not written completely`));
    const recovered = await recoverBeside(context, outline, { engine });
    await writeFile(file, content);
    expect((await runQuery(recovered, 'postgres', 'SELECT n FROM cut')).rows).toEqual([{ n: 1 }]);
    await recovered.remove();
  });

  it('K2, B5: after a promotion the new timeline is archived and followed', async () => {
    const backup = await backUp('full');
    const context = await newContext();
    const outline = await engine.outlineRecovery(context, {
      target: { kind: 'end-of-backup' },
      candidates: [backup],
      oldDataDir: null,
      databases: [],
    });
    const recovered = await recoverBeside(context, outline, { engine, clone: false });
    await recovered.promote();
    const connection = { ...context.cluster.connection, host: '127.0.0.1', port: recovered.port };
    const there = await newContext();
    await rearmArchiving(connection, engine.physical?.archiveCommand(there) ?? '');
    await engine.physical?.rearm({ ...there, cluster: { ...there.cluster, connection } });
    await recovered.remove();
    const after = await engine.outlineRecovery(await newContext(), {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: [],
    });
    expect(after).toMatchObject({ timeline: 2 });
  });
});

describe('PostgreSQL 14, which WAL-G 0.2.19 was made for', () => {
  it('B1, K2: is backed up, verified, and recovered to the end of the backup', async () => {
    const fourteen = await startWalgCluster({ version: 14 });
    const own = await makeGround(fourteen.cluster, 'walg', fourteen.options, { databases: ['postgres'] });
    const pgBin = await withControldata(fourteen.cluster.binDir);
    await runQuery(fourteen.cluster, 'postgres', 'CREATE TABLE rdv AS SELECT generate_series(1, 700) AS n');
    expect(await engine.preflightBackup(await own.context('fourteen'))).not.toEqual([]);
    const [made] = await engine.backup(await own.context('fourteen'), {
      type: 'full',
      startedAt: new Date().toISOString(),
    });
    if (made === undefined) throw new Error('no backup was made');
    expect(made.server?.versionNum).toBeGreaterThanOrEqual(140_000);
    expect(await engine.verify(await own.context('verify fourteen', { pgBin }), asBackup(made))).toMatchObject({
      ok: true,
    });
    const context = await own.context('recover fourteen', { pgBin });
    const recovered = await recoverBeside(
      context,
      { backups: [asBackup(made)], target: { kind: 'end-of-backup' }, timeline: 1, walEnd: null },
      { engine },
    );
    expect((await runQuery(recovered, 'postgres', 'SELECT count(*)::int AS rows FROM rdv')).rows).toEqual([
      { rows: 700 },
    ]);
    await recovered.remove();
  });

  /** What the tests have of 14 lacks pg_controldata; that of 13 to 17 reads one and the same form of pg_control. */
  async function withControldata(binDir: string): Promise<string> {
    const directory = await tempDir('bin14');
    await chmod(directory, 0o755);
    for (const name of await readdir(binDir)) await symlink(join(binDir, name), join(directory, name));
    await symlink(join(await findPostgresBin(15), 'pg_controldata'), join(directory, 'pg_controldata'));
    return directory;
  }
});
