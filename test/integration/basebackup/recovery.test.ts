import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup.js';
import type { RecoveryTarget } from '../../../src/domain/target.js';
import { nextSegment } from '../../../src/domain/wal.js';
import { basebackupEngine as engine } from '../../../src/engines/basebackup/basebackup-engine.js';
import type { EngineContext, RecoveryOutline } from '../../../src/engines/engine.js';
import { archiveOneSegment, rearmArchiving } from '../../../src/postgres/archiving.js';
import { withClient } from '../../../src/postgres/connect.js';
import { salvageWal } from '../../../src/postgres/salvage.js';
import { asBackup } from '../../contract/engine-suite.js';
import { startBaseCluster } from '../../helpers/basebackup.js';
import type { BaseCluster } from '../../helpers/basebackup.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { recoverBeside } from '../../helpers/pgbackrest.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery } from '../../helpers/postgres.js';
import type { ServerAddress } from '../../helpers/postgres.js';
import { tempDir } from '../../helpers/temp.js';

failOnLeakedProcesses();

interface Point {
  readonly time: string;
  readonly lsn: string;
  readonly xid: string;
  readonly content: string;
}

let source: BaseCluster;
let backup: Backup;
const points: Record<string, Point> = {};
let operations = 0;

const oneRow = async (server: ServerAddress, sql: string): Promise<Record<string, string>> => (await runQuery(server, 'postgres', sql)).rows[0] as Record<string, string>;
const contentOf = async (server: ServerAddress): Promise<string> =>
  (await oneRow(server, `SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY n)) AS content FROM rdv t`))['content'] ?? '';
const newContext = (): Promise<EngineContext> => source.context(`recovery ${operations++}`);
const archived = (name: string): string => join(source.walDirectory, `${name}.gz`);

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
  const recovered = await recoverBeside(context, await outline(target, oldDataDir, context), { salvageDir, engine });
  const content = await contentOf(recovered);
  await recovered.remove();
  return content;
}

const point = (name: string): Point => points[name] as Point;

beforeAll(async () => {
  source = await startBaseCluster({}, []);
  const tablespace = join(await tempDir('space'), 'a space; $(id) é');
  await mkdir(tablespace);
  await giveToPostgres(tablespace);
  await runQuery(source.cluster, 'postgres', `CREATE TABLESPACE "far; away" LOCATION '${tablespace}'`);
  await runQuery(source.cluster, 'postgres', 'CREATE TABLE rdv (n bigint GENERATED ALWAYS AS IDENTITY, what text) TABLESPACE "far; away"; INSERT INTO rdv (what) SELECT n::text FROM generate_series(1, 1000) n');
  const context = await newContext();
  await engine.preflightBackup(context);
  const [made] = await engine.backup(context, { type: 'auto', startedAt: new Date().toISOString() });
  if (made === undefined) throw new Error('no backup was made');
  backup = asBackup(made);
  // The end of a backup counts by the second.
  await runQuery(source.cluster, 'postgres', 'SELECT pg_sleep(1.1)');
  const { connection } = source.ground.cluster;
  for (const name of ['first', 'second', 'third']) {
    await commit(name);
    await withClient(connection, 'postgres', (client) => archiveOneSegment(client));
  }
  await commit('unarchived');
}, 300_000);

describe('K2, K8, S4: a real recovery to each kind of target has the content of that instant, tablespaces included', () => {
  it.each<[string, () => RecoveryTarget]>([
    ['time', () => ({ kind: 'time', time: point('second').time })],
    ['lsn', () => ({ kind: 'lsn', lsn: point('second').lsn })],
    ['xid', () => ({ kind: 'xid', xid: point('second').xid })],
    ['name', () => ({ kind: 'name', name: 'after second' })],
  ])('%s', async (_, target) => {
    expect(await recoveredContent(target())).toBe(point('second').content);
  });

  it('backup:ID, to its own end', async () => {
    expect(await recoveredContent({ kind: 'backup', id: backup.id })).toMatch(/^1000 /);
  });

  it('latest, as far as the archive goes', async () => {
    expect(await recoveredContent({ kind: 'latest' })).toBe(point('third').content);
  });

  it('a tablespace lies where it was told to, and the live one is not touched', async () => {
    const context = await newContext();
    const recovered = await recoverBeside(context, await outline({ kind: 'end-of-backup' }, null, context), { engine });
    const { location } = await oneRow(recovered, `SELECT pg_tablespace_location(oid) AS location FROM pg_tablespace WHERE spcname = 'far; away'`);
    expect(location).toBe(join(recovered.dataDir, '..', 'tablespaces', location?.split('/').at(-1) ?? ''));
    await recovered.remove();
  });
});

describe('S3: refused before anything is changed', () => {
  const aside: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (let undo = aside.pop(); undo !== undefined; undo = aside.pop()) await undo();
  });
  const putAside = async (segment: string): Promise<void> => {
    const kept = join(source.ground.stateDir, 'aside.gz');
    await rename(archived(segment), kept);
    aside.push(() => rename(kept, archived(segment)));
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
    await expect(outline({ kind: 'name', name: 'never' })).rejects.toMatchObject(refused);
    // With the old pg_wal the same instant can be reached.
    await expect(outline({ kind: 'lsn', lsn: point('unarchived').lsn }, source.cluster.dataDir)).resolves.toMatchObject({ salvageableSegments: 1 });
  });

  it('F23: a WAL segment missing in the middle, which is named; before it all is well', async () => {
    const gap = nextSegment(nextSegment(backup.wal?.stop ?? ''));
    await putAside(gap);
    const refused = { code: 'wal-gap', message: expect.stringContaining(gap) as unknown };
    await expect(outline({ kind: 'latest' })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'time', time: point('third').time })).rejects.toMatchObject(refused);
    await expect(outline({ kind: 'lsn', lsn: point('first').lsn })).resolves.toMatchObject({ timeline: 1 });
    await expect(outline({ kind: 'end-of-backup' })).resolves.toMatchObject({ timeline: 1 });
  });

  it('F7, F23: a backup whose own WAL is missing is neither offered nor verified', async () => {
    const stop = backup.wal?.stop ?? '';
    await putAside(stop);
    await expect(outline({ kind: 'end-of-backup' })).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(stop) as unknown });
    await expect(engine.verify(await newContext(), backup)).resolves.toMatchObject({ ok: false, detail: expect.stringContaining(stop) as unknown });
  });

  const damage = async (segment: string, how: 'a flipped bit' | 'no bytes'): Promise<void> => {
    const path = archived(segment);
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    // Of gzip's own checksum: a bit elsewhere may change nothing, since one run of zeros is as good as another.
    const at = content.length - 8;
    flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
    await writeFile(path, how === 'no bytes' ? '' : flipped);
  };

  it.each(['a flipped bit', 'no bytes'] as const)('F15: archived WAL with %s', async (how) => {
    const damaged = nextSegment(backup.wal?.stop ?? '');
    await damage(damaged, how);
    // No damage of the backup: nobody quarantines it for that.
    await expect(outline({ kind: 'xid', xid: point('first').xid })).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(damaged) as unknown });
  });

  it('F15, F23: behind a damaged segment in the middle nothing is found; before it all is well', async () => {
    const damaged = nextSegment(nextSegment(backup.wal?.stop ?? ''));
    await damage(damaged, 'a flipped bit');
    await expect(outline({ kind: 'name', name: 'after third' })).rejects.toMatchObject({ code: 'wal-gap', message: expect.stringContaining(damaged) as unknown });
    expect(await recoveredContent({ kind: 'name', name: 'after first' })).toBe(point('first').content);
  });

  it('F15, F23: of a damaged last segment only what lies in it is lost: what can still be reached is named, and reached', async () => {
    const damaged = nextSegment(nextSegment(nextSegment(backup.wal?.stop ?? '')));
    await damage(damaged, 'a flipped bit');
    const warned = await outline({ kind: 'time', time: point('first').time });
    expect(warned.walEnd).toBeNull();
    expect(warned.warnings).toContainEqual(expect.stringMatching(new RegExp(`archived WAL is damaged, ${damaged}.* the latest instant that can be reached is ${warned.reachableTo ?? ''} \\(lsn:`)));
    for (const target of [{ kind: 'latest' }, { kind: 'time', time: point('third').time }] as const) {
      const refused = { code: 'wal-gap', message: expect.stringContaining(damaged) as unknown, hint: expect.stringContaining(`${warned.reachableTo ?? ''} (lsn:`) as unknown };
      await expect(outline(target)).rejects.toMatchObject(refused);
    }
    expect(await recoveredContent({ kind: 'time', time: warned.reachableTo ?? '' })).toBe(point('second').content);
    // The lost server's own copy of it stands in.
    await expect(outline({ kind: 'latest' }, source.cluster.dataDir)).resolves.toMatchObject({ salvageableSegments: 2, warnings: [] });
  });

  it('F15: damaged WAL that makes the backup consistent is a verdict of verify', async () => {
    const path = archived(backup.wal?.stop ?? '');
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    await writeFile(path, content.subarray(0, 500));
    await expect(engine.verify(await newContext(), backup)).resolves.toMatchObject({ ok: false, detail: expect.stringContaining(backup.wal?.stop ?? '') as unknown });
  });

  it('F15: a damaged archive is told before anything is written to the target', async () => {
    const path = join(source.directory, backup.label, 'base.tar.gz');
    const content = await readFile(path);
    aside.push(() => writeFile(path, content));
    const flipped = Buffer.from(content);
    flipped.writeUInt8(flipped.readUInt8(9000) ^ 1, 9000);
    await writeFile(path, flipped);
    const dataDir = join(await tempDir('target'), 'data');
    const restored = engine.physical?.restoreFiles(await newContext(), { backup, dataDir, tablespaceDir: `${dataDir}.spaces` });
    await expect(restored).rejects.toMatchObject({ code: 'backup-corrupt', details: { damagedBackup: backup.id } });
    await expect(readFile(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('F17: another cluster than the one to be replaced; a folder copied from another cluster', async () => {
    const context = await newContext();
    const stranger = { ...backup, server: { versionNum: 150000, systemIdentifier: '7000000000000000001' } };
    await expect(engine.outlineRecovery(context, { target: { kind: 'latest' }, candidates: [stranger], oldDataDir: null, databases: [] })).rejects.toMatchObject({ code: 'identity-mismatch' });
    const other = { ...context, cluster: { ...context.cluster, name: 'other' } };
    const refused = engine.outlineRecovery(other, { target: { kind: 'latest' }, candidates: [backup], oldDataDir: null, databases: [] });
    await expect(refused).rejects.toMatchObject({ code: 'no-usable-backup' });
  });

  it('F15: a manifest that is not the recorded one is passed over', async () => {
    const path = join(source.directory, backup.label, 'reprise.json');
    const content = await readFile(path, 'utf8');
    aside.push(() => writeFile(path, content));
    await writeFile(path, content.replace(/"sizeBytes": \d+/, '"sizeBytes": 1'));
    await expect(outline({ kind: 'latest' })).rejects.toMatchObject({ code: 'no-usable-backup', hint: expect.stringContaining('manifest') as unknown });
  });
});

describe('after the instance was lost', () => {
  it('S4: with its unarchived WAL not a row is lost', async () => {
    await source.cluster.kill();
    for (const name of ['base', 'global']) await rm(join(source.cluster.dataDir, name), { recursive: true });
    const { dataDir } = source.cluster;
    const context = await newContext();
    const salvageDir = join(await tempDir('salvage'), 'wal');
    await salvageWal({ oldDataDir: dataDir, toDir: salvageDir, archivedUpTo: null, pgBin: context.pgBin, user: context.user });
    expect(await recoveredContent({ kind: 'latest' }, dataDir, salvageDir)).toBe(point('unarchived').content);
  });

  it('K2, B5: after a promotion the new timeline is archived and followed, what the old one wrote after is named', async () => {
    const context = await newContext();
    const recovered = await recoverBeside(context, await outline({ kind: 'lsn', lsn: point('first').lsn }, null, context), { clone: false, engine });
    await recovered.promote();
    const connection = { ...context.cluster.connection, host: recovered.host, port: recovered.port };
    const after = { ...context, cluster: { ...context.cluster, connection, dataDir: recovered.dataDir } };
    await runQuery(recovered, 'postgres', `INSERT INTO rdv (what) VALUES ('on the new timeline')`);
    const content = await contentOf(recovered);
    await rearmArchiving(connection, engine.physical?.archiveCommand(after) ?? null);
    await engine.physical?.rearm(after);
    await recovered.remove();

    const next = await newContext();
    const plan = await outline({ kind: 'latest' }, null, next);
    expect(plan.timeline).toBe(2);
    expect(plan.warnings.join()).toMatch(/what timeline 1 holds after .* is not recovered/);
    const again = await recoverBeside(next, plan, { engine });
    expect(await contentOf(again)).toBe(content);
    await again.remove();
  });
});
