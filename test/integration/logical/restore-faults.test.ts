import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EngineContext, OutlineRequest, RestoredDatabase } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import type { DumpManifest } from '../../../src/engines/logical/repository/manifest.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { onlyBackup, toolOf } from '../../contract/engine-suite.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { changeManifest, programsWith } from './faults.js';
import { bound } from '../../helpers/bound.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

const HOLDER = 'holds up the restore';
let source: ScratchCluster;
let ground: Ground;
let backup: Backup;
let older: Backup;
let second = 0;
const undo: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  source = await startScratchCluster();
  await runQuery(source, 'postgres', 'CREATE ROLE rdv LOGIN');
  await runQuery(source, 'postgres', 'CREATE DATABASE mairie OWNER rdv');
  // Building the index waits for as long as somebody with the name of the holder is connected.
  await runQuery(
    source,
    'mairie',
    `COMMENT ON DATABASE mairie IS 'the town';
     CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 100); ALTER TABLE t OWNER TO rdv;
     CREATE FUNCTION patient(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
       WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = '${HOLDER}') LOOP
         PERFORM pg_catalog.pg_sleep(0.05); PERFORM pg_catalog.pg_stat_clear_snapshot();
       END LOOP; RETURN x; END $$;
     CREATE INDEX by_patience ON t (public.patient(x))`,
  );
  ground = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['mairie'] });
  older = await backUp('older');
  backup = await backUp('newest');
});
afterEach(async () => {
  for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
});

async function backUp(operationId: string): Promise<Backup> {
  const startedAt = new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
  return onlyBackup(await logicalEngine.backup(await ground.context(operationId), { type: 'full', startedAt }));
}
const directory = (): string => join(ground.repositoryPath, 'mairie', 'nightly');
const outlined = async (changed: Partial<OutlineRequest> = {}, context?: EngineContext) =>
  logicalEngine.outlineRecovery(context ?? (await ground.context('outline')), {
    ...{ target: { kind: 'latest' }, candidates: [backup, older], oldDataDir: null, databases: ['mairie'] },
    ...changed,
  });
async function restore(context: EngineContext, intoDatabase: string, from = backup): Promise<RestoredDatabase> {
  const { connection } = context.cluster;
  if (logicalEngine.logical === undefined) throw new Error('no logical restore');
  return logicalEngine.logical.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, from)),
    intoDatabase,
    connection,
  });
}
async function restored(operationId: string, intoDatabase: string): Promise<RestoredDatabase> {
  undo.push(() =>
    runQuery(source, 'postgres', `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(intoDatabase)} WITH (FORCE)`),
  );
  return restore(await ground.context(operationId), intoDatabase);
}
async function databases(): Promise<string[]> {
  const { rows } = await runQuery(
    source,
    'postgres',
    'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1',
  );
  return (rows as { datname: string }[]).map(({ datname }) => datname);
}
/** Changes the newest manifest for one test. */
async function withManifest(change: (manifest: DumpManifest) => Partial<DumpManifest>): Promise<void> {
  const path = join(directory(), `${backup.label}.json`);
  const before = await readFile(path);
  undo.push(() => writeFile(path, before));
  await changeManifest(directory(), backup.label, change);
}

it('S3: the outline takes the newest backup of each database and says what it needs', async () => {
  const outline = await outlined();
  expect(outline.backups).toEqual([backup]);
  expect(outline.neededBytes).toBeGreaterThan(1_000_000);
  expect([outline.reachableFrom, outline.reachableTo]).toEqual([older.startedAt, backup.startedAt]);
  expect(outline.warnings).toEqual([]);
  const named = await outlined({ target: { kind: 'backup', id: older.id } });
  expect(named.backups).toEqual([older]);
  await expect(outlined({ target: { kind: 'backup', id: 'mairie:logical:none' } })).rejects.toMatchObject({
    code: 'not-found',
  });
  await expect(outlined({ databases: ['mairie', 'other'] })).rejects.toMatchObject({ code: 'no-usable-backup' });
});

it('F15: a damaged newest backup is refused, and the next older one is named, not taken', async () => {
  const path = join(directory(), `${backup.label}.dump`);
  const content = await readFile(path);
  undo.push(() => writeFile(path, content));
  const flipped = Buffer.from(content);
  flipped.writeUInt8(flipped.readUInt8(flipped.length - 9) ^ 1, flipped.length - 9);
  await writeFile(path, flipped);
  await expect(outlined()).rejects.toMatchObject({ code: 'backup-corrupt', hint: expect.stringContaining(older.id) });
  await expect(restored('damaged', 'mairie_new')).rejects.toMatchObject({ code: 'backup-corrupt' });
  expect(await databases()).not.toContain('mairie_new');
});

it('F17: a dump of a newer server, of another cluster or of another database is refused', async () => {
  await withManifest(({ server }) => ({ server: { ...server, versionNum: 990001 } }));
  await expect(outlined()).rejects.toMatchObject({ code: 'version-mismatch' });
  await withManifest(() => ({ cluster: 'other' }));
  await expect(outlined()).rejects.toMatchObject({ code: 'identity-mismatch' });
  await expect(restored('wrong cluster', 'mairie_new')).rejects.toMatchObject({ code: 'identity-mismatch' });
  await withManifest(() => ({ cluster: 'mairie', database: 'paie' }));
  await expect(outlined()).rejects.toMatchObject({ code: 'identity-mismatch' });
});

it('F17: another instance is said, and tools older than the dump are refused', async () => {
  await withManifest(({ server }) => ({ server: { ...server, systemIdentifier: '42' } }));
  expect((await outlined()).warnings).toEqual([expect.stringContaining('is not the one that was dumped (42)')]);
  const pgBin = await programsWith(source.binDir, 'pg_restore', 'echo "pg_restore (PostgreSQL) 14.1"');
  await expect(outlined({}, await ground.context('old tool', { pgBin }))).rejects.toMatchObject({
    code: 'version-mismatch',
  });
});

it('F6: no room, a missing extension or locale is refused before anything is made', async () => {
  await withManifest(() => ({ databaseSizeBytes: 9e15 }));
  await expect(outlined()).rejects.toMatchObject({ code: 'disk-full' });
  await withManifest(() => ({ databaseSizeBytes: 1, extensions: ['no_such_extension'] }));
  await expect(outlined()).rejects.toMatchObject({
    code: 'extension-missing',
    message: expect.stringContaining('no_such_extension'),
  });
  await withManifest(({ properties }) => ({
    extensions: [],
    properties: { ...properties, collate: 'xx_XX.UTF-8', ctype: 'xx_XX.UTF-8' },
  }));
  await expect(outlined()).rejects.toMatchObject({ code: 'locale-missing' });
});

it('S4: a server that does not answer is told with what to do', async () => {
  const cluster = { ...ground.cluster, connection: { ...ground.cluster.connection, port: 1 } };
  const hint = expect.stringContaining('a dump is restored into a running server');
  await expect(outlined({}, await ground.context('outline', { cluster }))).rejects.toMatchObject({
    code: 'database-unreachable',
    hint,
  });
});

it('D2: a second attempt finds the restored database, and pg_restore was started once; the live one is untouched', async () => {
  const first = await restored('twice', 'mairie_new');
  expect(first.accepted).toEqual([]);
  expect(first.contents).toEqual([{ database: 'mairie', schema: 'public', table: 't', rows: 100 }]);
  expect(await restored('twice', 'mairie_new')).toEqual(first);
  const jobs = await readJobs(ground.stateDir, 'twice');
  expect(jobs.map(({ tool }) => tool).toSorted()).toEqual(['pg_dump', 'pg_restore', 'vacuumdb']);
  expect(jobs.map(({ starts }) => starts)).toEqual([1, 1, 1]);
  const { rows } = await runQuery(
    source,
    'postgres',
    "SELECT datname, shobj_description(oid, 'pg_database') AS comment, datconnlimit FROM pg_database WHERE datname LIKE 'mairie%' ORDER BY 1",
  );
  expect(rows).toEqual([
    { datname: 'mairie', comment: 'the town', datconnlimit: -1 },
    { datname: 'mairie_new', comment: 'the town [reprise:twice]', datconnlimit: -1 },
  ]);
  const { rows: analyzed } = await runQuery(
    source,
    'mairie_new',
    "SELECT reltuples::int AS n FROM pg_class WHERE relname = 't'",
  );
  expect(analyzed).toEqual([{ n: 100 }]);
});

it('F17: a database of that name that another made is not touched', async () => {
  await runQuery(source, 'postgres', 'CREATE DATABASE mairie_new');
  await runQuery(source, 'postgres', "COMMENT ON DATABASE mairie_new IS '[reprise:somebody else]'");
  await expect(restored('foreign', 'mairie_new')).rejects.toMatchObject({ code: 'conflict' });
  expect(await databases()).toContain('mairie_new');
});

it('F3: a pg_restore that is killed leaves no half database, and the next attempt makes a whole one', async () => {
  const { host, port, user } = source;
  const holder = new pg.Client({ host, port, user, database: 'postgres', application_name: HOLDER });
  await holder.connect();
  undo.push(() => holder.end().catch(() => undefined));
  const failed = restored('killed', 'mairie_new').catch((error: unknown) => error);
  const pid = await toolOf(ground.stateDir, 'killed');
  await until(isBuildingIndex, 'an index is built');
  process.kill(pid, 'SIGKILL');
  expect(await failed).toMatchObject({ code: 'tool-failed' });
  expect(await databases()).toEqual(['mairie', 'postgres']);
  await holder.end();

  expect((await restored('killed', 'mairie_new')).contents).toEqual([
    { database: 'mairie', schema: 'public', table: 't', rows: 100 },
  ]);
  expect((await readJobs(ground.stateDir, 'killed')).find(({ tool }) => tool === 'pg_restore')?.starts).toBe(2);
});

it('D2: a cancelled restore ends pg_restore and leaves no database', async () => {
  const { host, port, user } = source;
  const holder = new pg.Client({ host, port, user, database: 'postgres', application_name: HOLDER });
  await holder.connect();
  undo.push(() => holder.end());
  const abort = new AbortController();
  const cancelled = restore(await ground.context('cancelled', { signal: abort.signal }), 'mairie_new').catch(
    (error: unknown) => error,
  );
  await until(isBuildingIndex, 'an index is built');
  abort.abort(new Error('cancelled by a person'));
  expect(await cancelled).toMatchObject({ code: 'job-cancelled' });
  expect(await databases()).toEqual(['mairie', 'postgres']);
});

async function isBuildingIndex(): Promise<boolean> {
  const { rows } = await runQuery(
    source,
    'postgres',
    "SELECT FROM pg_stat_activity WHERE datname = 'mairie_new' AND query LIKE 'CREATE INDEX%' AND state = 'active'",
  );
  return rows.length > 0;
}

it('F21: errors that pg_restore ignored fail the restore, are named without row values, and leave no database', async () => {
  const target = await startScratchCluster();
  const connection = { ...ground.cluster.connection, port: target.port };
  const context = await ground.context('role missing');
  const engine = logicalEngine.logical;
  // The database's owner is there, and the role its table is granted to is not.
  await runQuery(source, 'mairie', 'CREATE ROLE reader; GRANT SELECT ON t TO reader');
  const granted = await backUp('granted');
  await runQuery(target, 'postgres', 'CREATE ROLE rdv');
  const failed = engine?.restoreDatabase(context, {
    ...(await bound(logicalEngine, context, granted)),
    intoDatabase: 'mairie_new',
    connection,
  });
  await expect(failed).rejects.toMatchObject({
    code: 'check-failed',
    message: expect.stringMatching(/needs roles that do not exist on this server: "reader"$/),
  });
  expect((await runQuery(target, 'postgres', "SELECT FROM pg_database WHERE datname = 'mairie_new'")).rows).toEqual([]);
  expect(await readJobs(ground.stateDir, 'role missing')).toEqual([]);

  // B4: with the globals of the same backup it is whole; what is there already stays as it is.
  await runQuery(target, 'postgres', 'ALTER ROLE rdv NOLOGIN');
  await runQuery(
    source,
    'postgres',
    "ALTER ROLE reader LOGIN PASSWORD 'secret' CONNECTION LIMIT 7; GRANT rdv TO reader; GRANT pg_monitor TO rdv",
  );
  const whole = await backUp('granted, with a password');
  const approved = await bound(logicalEngine, context, whole);
  const said = await engine?.restoreGlobals(await ground.context('globals'), { ...approved, connection });
  expect(said).toEqual(['role reader created']);
  const { rows } = await runQuery(
    target,
    'postgres',
    `SELECT rolname, rolcanlogin, rolconnlimit, rolpassword LIKE 'SCRAM%' AS password,
            ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = a.oid) AS "memberOf"
       FROM pg_authid a WHERE rolname IN ('rdv', 'reader') ORDER BY 1`,
  );
  expect(rows).toEqual([
    { rolname: 'rdv', rolcanlogin: false, rolconnlimit: -1, password: null, memberOf: [] },
    { rolname: 'reader', rolcanlogin: true, rolconnlimit: 7, password: true, memberOf: ['rdv'] },
  ]);
  expect(await engine?.restoreGlobals(await ground.context('globals again'), { ...approved, connection })).toEqual([]);
  const restoredNow = await engine?.restoreDatabase(await ground.context('roles there'), {
    ...approved,
    intoDatabase: 'mairie_new',
    connection,
  });
  expect(restoredNow?.contents).toHaveLength(1);
});

it('F22: exit 0 with a table, a row or an object missing fails the restore and leaves no database', async () => {
  const table = { database: 'mairie', schema: 'public', table: 'gone', rows: 3 };
  await withManifest(({ contents }) => ({ contents: [...contents, table] }));
  await expect(restored('table missing', 'mairie_new')).rejects.toMatchObject({
    code: 'check-failed',
    message: expect.stringContaining('public.gone is missing'),
  });
  expect(await logicalEngine.verify(await ground.context('verify table'), backup)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('public.gone is missing'),
  });

  await withManifest(() => ({ contents: [{ ...table, table: 't', rows: 101 }] }));
  await expect(restored('row missing', 'mairie_new')).rejects.toMatchObject({
    code: 'check-failed',
    message: expect.stringContaining('100 rows, 101 were recorded'),
  });

  await withManifest(({ objects }) => ({
    contents: [{ ...table, table: 't', rows: 100 }],
    objects: { ...objects, view: 1 },
  }));
  await expect(restored('view missing', 'mairie_new')).rejects.toMatchObject({
    code: 'check-failed',
    message: expect.stringContaining('0 of kind view where 1'),
  });
  expect(await databases()).toEqual(['mairie', 'postgres']);
});

it('W9: an invalid database is skipped, others are dumped; a restore that its cut DROP DATABASE left is made anew', async () => {
  await runQuery(source, 'postgres', 'CREATE DATABASE "cut off"');
  undo.push(() => runQuery(source, 'postgres', 'DROP DATABASE "cut off"'));
  const invalidate = (name: string) =>
    runQuery(source, 'postgres', `UPDATE pg_database SET datconnlimit = -2 WHERE datname = ${pg.escapeLiteral(name)}`);
  await invalidate('cut off');
  const of = async (operationId: string, ...databases: string[]): Promise<EngineContext> => {
    const context = await ground.context(operationId);
    return { ...context, cluster: { ...context.cluster, databases } };
  };
  const both = await of('one is invalid', 'cut off', 'mairie');
  await logicalEngine.preflightBackup(both);
  const startedAt = new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
  expect(onlyBackup(await logicalEngine.backup(both, { type: 'full', startedAt })).database).toBe('mairie');
  const outline = await outlined({ databases: ['cut off', 'mairie'] });
  expect(outline.backups.map(({ database }) => database)).toEqual(['mairie']);
  expect(outline.warnings).toContainEqual(expect.stringContaining('"cut off" is invalid'));
  await expect(outlined({ databases: ['never made', 'mairie'] })).rejects.toMatchObject({ code: 'no-usable-backup' });
  const alone = { code: 'not-found', message: expect.stringContaining('"cut off" is invalid') as unknown };
  await expect(logicalEngine.preflightBackup(await of('alone', 'cut off'))).rejects.toMatchObject(alone);
  await expect(logicalEngine.backup(await of('alone', 'cut off'), { type: 'full', startedAt })).rejects.toMatchObject(
    alone,
  );

  await restored('restored, then cut off', 'mairie anew');
  await invalidate('mairie anew');
  const { contents } = await restored('restored, then cut off', 'mairie anew');
  expect(backup.contents).toMatchObject(contents);
});

it('W10: unlogged, temporary and foreign tables: dumped and restored from a primary; from a standby without the rows of unlogged ones', async () => {
  await runQuery(source, 'postgres', 'CREATE DATABASE kinds');
  await runQuery(
    source,
    'kinds',
    `CREATE UNLOGGED TABLE cache AS SELECT generate_series(1, 7) i; CREATE TABLE plain AS SELECT 1 AS i;
     CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
     CREATE EXTENSION postgres_fdw; CREATE SERVER files FOREIGN DATA WRAPPER postgres_fdw;
     CREATE FOREIGN TABLE far (line text) SERVER files`,
  );
  const own = new pg.Client({ host: source.host, port: source.port, user: source.user, database: 'kinds' });
  await own.connect();
  await own.query(`CREATE TEMP TABLE session_only (i int);
    CREATE TRIGGER touch AFTER INSERT ON session_only EXECUTE FUNCTION public.touched();
    ALTER TABLE session_only ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON session_only USING (true)`);
  const of = async (operationId: string): Promise<EngineContext> => {
    const context = await ground.context(operationId);
    return { ...context, cluster: { ...context.cluster, databases: ['kinds'] } };
  };
  const backUpKinds = async (operationId: string): Promise<Backup> => {
    const context = await of(operationId);
    await logicalEngine.preflightBackup(context);
    const startedAt = new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
    return onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
  };
  const bringBack = async (made: Backup, into: string): Promise<RestoredDatabase> => {
    expect(await logicalEngine.verify(await of(`verify ${into}`), made)).toMatchObject({ ok: true });
    undo.push(() => runQuery(source, 'postgres', `DROP DATABASE IF EXISTS ${into} WITH (FORCE)`));
    return restore(await of(`restore ${into}`), into, made);
  };
  const rows = (unlogged: number) => [
    { database: 'kinds', schema: 'public', table: 'cache', rows: unlogged, unlogged: true },
    { database: 'kinds', schema: 'public', table: 'plain', rows: 1 },
  ];
  const ofPrimary = await backUpKinds('of the primary');
  expect(ofPrimary.contents).toMatchObject(rows(7));
  await own.end();
  expect((await bringBack(ofPrimary, 'kinds_primary')).contents).toEqual(rows(7));

  // A standby that waits for WAL which never comes.
  const signal = join(source.dataDir, 'standby.signal');
  await source.stop();
  await writeFile(signal, '');
  await source.start();
  const ofStandby = await backUpKinds('of the standby').finally(async () => {
    await source.stop();
    await rm(signal);
    await source.start();
  });
  expect(ofStandby.contents).toMatchObject(rows(0));
  expect((await bringBack(ofStandby, 'kinds_standby')).contents).toEqual(rows(0));
  await runQuery(source, 'postgres', 'DROP DATABASE kinds');
});

it('F18: a SQL_ASCII database is restored as such, and what was restored can be dumped and restored again', async () => {
  const hash = "SELECT md5(string_agg(x::bytea::text, '' ORDER BY x::bytea)) AS hash FROM t";
  await runQuery(
    source,
    'postgres',
    "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
  );
  undo.push(() => runQuery(source, 'postgres', 'DROP DATABASE ascii WITH (FORCE)'));
  await runQuery(source, 'ascii', "CREATE TABLE t (x text); INSERT INTO t VALUES (E'caf\\351'), ('ok')");
  const cluster = { ...ground.cluster, databases: ['ascii', 'ascii_new'] };
  expect(
    await logicalEngine.preflightBackup(
      await ground.context('preflight', { cluster: { ...cluster, databases: ['ascii'] } }),
    ),
  ).toContainEqual(expect.stringContaining('SQL_ASCII'));
  let from = 'ascii';
  for (const into of ['ascii_new', 'ascii_newer']) {
    const context = await ground.context(`ascii into ${into}`, { cluster: { ...cluster, databases: [from] } });
    const startedAt = new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
    const backup = onlyBackup(await logicalEngine.backup(context, { type: 'full', startedAt }));
    undo.push(() => runQuery(source, 'postgres', `DROP DATABASE IF EXISTS ${into} WITH (FORCE)`));
    await restore(context, into, backup);
    expect((await runQuery(source, into, hash)).rows).toEqual((await runQuery(source, 'ascii', hash)).rows);
    expect((await runQuery(source, into, 'SHOW server_encoding')).rows).toEqual([{ server_encoding: 'SQL_ASCII' }]);
    from = into;
  }
});
