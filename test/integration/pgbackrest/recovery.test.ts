import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup.js';
import type { RecoveryTarget } from '../../../src/domain/target.js';
import { nextSegment } from '../../../src/domain/wal.js';
import type { EngineContext, RecoveryOutline } from '../../../src/engines/engine.js';
import { pgbackrestEngine as engine } from '../../../src/engines/pgbackrest/pgbackrest-engine.js';
import { rearmArchiving } from '../../../src/postgres/recovery.js';
import { salvageWal } from '../../../src/postgres/salvage.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside, STANZA, startBackrestCluster } from '../../helpers/pgbackrest.js';
import type { BackrestCluster } from '../../helpers/pgbackrest.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import type { ServerAddress } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

/** A point in the source's life: how to name it, and what the tables held then. */
interface Point {
  readonly time: string;
  readonly lsn: string;
  readonly xid: string;
  readonly content: string;
}

let source: BackrestCluster;
let ground: Ground;
let backup: Backup;
const points: Record<string, Point> = {};
let operations = 0;

const oneRow = async (server: ServerAddress, sql: string): Promise<Record<string, string>> => (await runQuery(server, 'postgres', sql)).rows[0] as Record<string, string>;
const contentOf = async (server: ServerAddress): Promise<string> =>
  (await oneRow(server, `SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY n)) AS content FROM rdv t`))['content'] ?? '';
const newContext = (): Promise<EngineContext> => ground.context(`recovery ${operations++}`);
const archiveNow = async (): Promise<string> => {
  const { name } = await oneRow(source.cluster, 'SELECT pg_walfile_name(pg_switch_wal()) AS name');
  for (;;) {
    const { archived } = await oneRow(source.cluster, `SELECT coalesce(last_archived_wal, '') AS archived FROM pg_stat_archiver`);
    if ((archived ?? '') >= (name ?? '')) return name ?? '';
  }
};

/** Commits one row, and notes the point just after it. */
async function commit(name: string): Promise<void> {
  const { xid } = await oneRow(source.cluster, `INSERT INTO rdv (what) VALUES ('${name}') RETURNING pg_current_xact_id()::text AS xid`);
  const facts = await oneRow(
    source.cluster,
    `SELECT pg_create_restore_point('after ${name}'), pg_current_wal_insert_lsn()::text AS lsn,
            to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time`,
  );
  points[name] = { xid: xid ?? '', time: facts['time'] ?? '', lsn: facts['lsn'] ?? '', content: await contentOf(source.cluster) };
}

async function outline(target: RecoveryTarget, oldDataDir: string | null = null, context?: EngineContext): Promise<RecoveryOutline> {
  return engine.outlineRecovery(context ?? (await newContext()), { target, candidates: [backup], oldDataDir, databases: [] });
}

async function recoveredContent(target: RecoveryTarget, oldDataDir: string | null = null, salvageDir: string | null = null): Promise<string> {
  const context = await newContext();
  const recovered = await recoverBeside(context, await outline(target, oldDataDir, context), { salvageDir });
  const content = await contentOf(recovered);
  await recovered.remove();
  return content;
}

const point = (name: string): Point => points[name] as Point;

beforeAll(async () => {
  source = await startBackrestCluster();
  ground = await makeGround(source.cluster, 'pgbackrest', source.options, { databases: ['postgres'] });
  await runQuery(source.cluster, 'postgres', 'CREATE TABLE rdv (n bigint GENERATED ALWAYS AS IDENTITY, what text); INSERT INTO rdv (what) SELECT n::text FROM generate_series(1, 1000) n');
  const context = await newContext();
  await engine.preflightBackup(context);
  const [made] = await engine.backup(context, { type: 'auto', startedAt: new Date().toISOString() });
  if (made === undefined) throw new Error('no backup was made');
  backup = asBackup(made);
  // pgBackRest knows the backup's end to the second only.
  await runQuery(source.cluster, 'postgres', 'SELECT pg_sleep(1.1)');
  for (const name of ['first', 'second', 'third']) {
    await commit(name);
    await archiveNow();
  }
  await commit('unarchived');
}, 300_000);

describe('K2, S4: a real recovery has the content of that instant (to each kind of target: the contract suite)', () => {
  it('backup:ID, to its own end', async () => {
    const content = await recoveredContent({ kind: 'backup', id: backup.id });
    expect(content).toMatch(/^1000 /);
  });

  it('latest, as far as the archive goes', async () => {
    expect(await recoveredContent({ kind: 'latest' })).toBe(point('third').content);
  });
});

describe('S3: refused before anything is changed', () => {
  const aside: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (let undo = aside.pop(); undo !== undefined; undo = aside.pop()) await undo();
  });
  const archived = async (segment: string): Promise<string> => {
    const directory = join(source.repository, 'archive', STANZA, '15-1', segment.slice(0, 16));
    const names = await readdir(directory);
    return join(directory, names.find((name) => name.startsWith(`${segment}-`)) ?? 'no such segment');
  };

  it('F24: a target before the end of the earliest backup, which is named', async () => {
    const refused = { code: 'target-before-backup', message: expect.stringContaining(backup.label) as unknown };
    await expect(outline({ kind: 'time', time: backup.startedAt })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'lsn', lsn: '0/100' })).rejects.toMatchObject(refused);
  });

  it('F25: a target after the last WAL; the latest instant that can be reached is named', async () => {
    const refused = { code: 'target-after-wal', hint: expect.stringContaining('the latest instant that can be reached is 20') as unknown };
    await expect(outline({ kind: 'time', time: point('unarchived').time })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'lsn', lsn: 'FF/0' })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'xid', xid: '99999' })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'name', name: 'never' })).rejects.toMatchObject(refused);
    const { reachableTo, reachableFrom } = await outline({ kind: 'latest' });
    expect(Date.parse(reachableTo ?? '')).toBeLessThanOrEqual(Date.parse(point('third').time));
    expect(Date.parse(reachableTo ?? '')).toBeGreaterThan(Date.parse(point('second').time));
    expect(Date.parse(reachableFrom ?? '')).toBeGreaterThan(Date.parse(backup.finishedAt ?? ''));
    // With the old pg_wal the same instant can be reached.
    await expect(outline({ kind: 'lsn', lsn: point('unarchived').lsn }, source.cluster.dataDir)).resolves.toMatchObject({ salvageableSegments: 1 });
  });

  it('F23: a WAL segment missing in the middle, which is named; before it all is well', async () => {
    const gap = nextSegment(nextSegment(backup.wal?.stop ?? ''));
    const path = await archived(gap);
    await rename(path, `${source.config}.aside`);
    aside.push(() => rename(`${source.config}.aside`, path));
    const refused = { code: 'wal-gap', message: expect.stringContaining(gap) as unknown };
    await expect(outline({ kind: 'latest' })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'time', time: point('third').time })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'lsn', lsn: point('first').lsn })).resolves.toMatchObject({ timeline: 1 });
    await expect(outline({ kind: 'end-of-backup' })).resolves.toMatchObject({ timeline: 1 });
  });

  it('F23: a backup whose own WAL is missing', async () => {
    const path = await archived(backup.wal?.stop ?? '');
    await rename(path, `${source.config}.aside`);
    aside.push(() => rename(`${source.config}.aside`, path));
    await expect(outline({ kind: 'end-of-backup' })).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(backup.wal?.stop ?? '') as unknown });
    await expect(engine.verify(await newContext(), backup)).resolves.toMatchObject({ ok: false, detail: expect.stringContaining(backup.wal?.stop ?? '') as unknown });
  });

  it('F15: a flipped bit in the last archived WAL', async () => {
    const path = await archived(nextSegment(backup.wal?.stop ?? ''));
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    // Near its beginning: in the packed zeros of its end a flip may change nothing.
    flipped.writeUInt8(flipped.readUInt8(500) ^ 1, 500);
    await writeFile(path, flipped);
    await expect(outline({ kind: 'xid', xid: point('first').xid })).rejects.toMatchObject({ code: 'backup-corrupt' });
  });

  it('F17: other programs than the backup, and another cluster than the one to be replaced', async () => {
    const context = await newContext();
    const pgBin = await tempDir('programs');
    await writeFile(join(pgBin, 'postgres'), '#!/bin/sh\necho "postgres (PostgreSQL) 14.23"\n', { mode: 0o755 });
    await giveToPostgres(join(pgBin, 'postgres'));
    const older = { ...context, pgBin };
    await expect(engine.outlineRecovery(older, { target: { kind: 'latest' }, candidates: [backup], oldDataDir: null, databases: [] })).rejects.toMatchObject({ code: 'version-mismatch' });
    const stranger = { ...backup, server: { versionNum: 150000, systemIdentifier: '7000000000000000001' } };
    await expect(engine.outlineRecovery(context, { target: { kind: 'latest' }, candidates: [stranger], oldDataDir: null, databases: [] })).rejects.toMatchObject({ code: 'identity-mismatch' });
  });

  it('F13: a backup that the repository does not have any more is not offered', async () => {
    const gone = { ...backup, label: '20200101-000000F', id: 'mairie:pgbackrest:20200101-000000F' };
    const context = await newContext();
    await expect(engine.outlineRecovery(context, { target: { kind: 'latest' }, candidates: [gone], oldDataDir: null, databases: [] })).rejects.toMatchObject({ code: 'no-usable-backup' });
    const outlined = await engine.outlineRecovery(context, { target: { kind: 'latest' }, candidates: [gone, backup], oldDataDir: null, databases: [] });
    expect(outlined.backups).toEqual([backup]);
    expect(outlined.warnings.join()).toContain(gone.label);
  });
});

describe('after the instance was lost', () => {
  it('S4: with its unarchived WAL not a row is lost; pg_control is gone, and is not needed', async () => {
    await source.cluster.kill();
    for (const name of ['base', 'global']) await rm(join(source.cluster.dataDir, name), { recursive: true });
    const { dataDir } = source.cluster;
    const context = await newContext();
    const salvageDir = join(await tempDir('salvage'), 'wal');
    const salvaged = await salvageWal({ oldDataDir: dataDir, toDir: salvageDir, archivedUpTo: null, pgBin: context.pgBin, user: context.user });
    const plan = await outline({ kind: 'latest' }, dataDir, context);
    expect(plan).toMatchObject({ walEnd: salvaged.endLsn, reachableTo: salvaged.lastCommitAt, salvageableSegments: 1 });
    expect(await recoveredContent({ kind: 'latest' }, dataDir, salvageDir)).toBe(point('unarchived').content);
  });

  it('K2: after a promotion the new timeline is archived and followed, what the old one wrote after is named', async () => {
    const context = await newContext();
    const recovered = await recoverBeside(context, await outline({ kind: 'lsn', lsn: point('first').lsn }, null, context), { clone: false });
    await recovered.promote();
    const config = join(await tempDir('config'), "it's 100% new.conf");
    const text = (await readFile(source.config, 'utf8')).replace(/pg1-path=.*/, `pg1-path=${recovered.dataDir}`).replace(/pg1-port=.*/, `pg1-port=${recovered.port}`);
    await writeFile(config, text.replace(/pg1-socket-path=.*/, `pg1-socket-path=${recovered.socketDir}`), { mode: 0o600 });
    await giveToPostgres(config);
    const connection = { ...context.cluster.connection, host: recovered.host, port: recovered.port };
    const policy = { ...context.policy, options: { ...source.options, config } };
    const after = { ...context, policy, cluster: { ...context.cluster, connection, dataDir: recovered.dataDir } };
    await runQuery(recovered, 'postgres', `INSERT INTO rdv (what) VALUES ('on the new timeline')`);
    const content = await contentOf(recovered);
    await rearmArchiving(connection, engine.physical?.archiveCommand(after) ?? null);
    await engine.physical?.rearm(after);
    await recovered.remove();

    const next = { ...(await newContext()), policy };
    const plan = await outline({ kind: 'latest' }, null, next);
    expect(plan.timeline).toBe(2);
    expect(plan.warnings.join()).toMatch(/what timeline 1 holds after .* is not recovered/);
    const again = await recoverBeside(next, plan);
    expect(await contentOf(again)).toBe(content);
    await again.remove();
  });
});
