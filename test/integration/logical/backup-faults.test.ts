import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import type { ClusterConfig } from '../../../src/domain/config.js';
import type { EngineContext, MadeBackup } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import { asBackup, toolOf } from '../../contract/engine-suite.js';
import { cancelledAnywhere } from '../../contract/cancelled-anywhere.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { asRoot, giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { filesHolding, programsWith, readManifestFile, smallFileSystem } from './faults.js';
import { until } from '../../helpers/until.js';

failOnLeakedProcesses();

let source: ScratchCluster;
let ground: Ground;
let second = 0;
const undo: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  source = await startScratchCluster();
  await runQuery(source, 'postgres', "CREATE ROLE saver LOGIN PASSWORD 'hash me'; GRANT pg_read_all_data TO saver");
  for (const database of ['small', 'secured', 'large'])
    await runQuery(source, 'postgres', `CREATE DATABASE ${database}`);
  await runQuery(source, 'small', 'CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 10)');
  await runQuery(
    source,
    'secured',
    `CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2);
     ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY nobody ON t USING (false)`,
  );
  await runQuery(source, 'large', "CREATE TABLE t (x int); SELECT lo_from_bytea(0, 'photo')");
  ground = await makeGround(source, 'logical', { restoreJobs: 1 });
});
afterEach(async () => {
  for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
});

const startedAt = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
const directory = (): string => join(ground.repositoryPath, 'mairie', 'nightly');

/** A context for some databases, as some role. */
async function contextFor(
  databases: readonly string[],
  operationId: string,
  changed: Partial<EngineContext> = {},
  user = 'postgres',
): Promise<EngineContext> {
  const cluster: ClusterConfig = { ...ground.cluster, databases, connection: { ...ground.cluster.connection, user } };
  return ground.context(operationId, { cluster, ...changed });
}
async function backUp(context: EngineContext): Promise<MadeBackup> {
  const [backup] = await logicalEngine.backup(context, { type: 'full', startedAt: startedAt() });
  if (backup === undefined) throw new Error('no backup was made');
  return backup;
}
const labels = async (): Promise<string[]> =>
  (await logicalEngine.list(await ground.context('list'))).map(({ label }) => label);
const incoming = (): Promise<string[]> => readdir(join(directory(), 'incoming')).catch(() => []);

it('B4: roles come with their attributes and hashes, from a superuser only', async () => {
  const backup = await backUp(await contextFor(['small'], 'as superuser'));
  expect(await readFile(join(directory(), `${backup.label}.globals.sql`), 'utf8')).toMatch(
    /ALTER ROLE saver WITH .*PASSWORD 'SCRAM/,
  );
  const lesser = await contextFor(['small'], 'as saver', {}, 'saver');
  expect(await logicalEngine.preflightBackup(lesser)).toContainEqual(
    expect.stringContaining('passwords of roles are not in the backup'),
  );
  const without = await backUp(lesser);
  const globals = await readFile(join(directory(), `${without.label}.globals.sql`), 'utf8');
  expect(globals).toContain('CREATE ROLE saver');
  expect(globals).not.toContain('PASSWORD');
  expect((await readManifestFile(directory(), without.label)).globals.passwords).toBe(false);
});

it('F19: row security is never skipped over: refused before, refused by pg_dump, whole with BYPASSRLS', async () => {
  const context = await contextFor(['secured'], 'secured', {}, 'saver');
  await expect(logicalEngine.preflightBackup(context)).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: 'ALTER ROLE saver BYPASSRLS',
  });
  const before = await labels();
  await expect(backUp(context)).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: expect.stringContaining('BYPASSRLS'),
  });
  expect(await labels()).toEqual(before);

  await runQuery(source, 'postgres', 'ALTER ROLE saver BYPASSRLS');
  undo.push(() => runQuery(source, 'postgres', 'ALTER ROLE saver NOBYPASSRLS'));
  const backup = await backUp(await contextFor(['secured'], 'secured again', {}, 'saver'));
  expect(backup.contents).toEqual([
    { database: 'secured', schema: 'public', table: 't', rows: 2, bytes: expect.any(Number) },
  ]);
  expect(await logicalEngine.verify(await contextFor(['secured'], 'verify secured'), asBackup(backup))).toMatchObject({
    ok: true,
  });
});

it('F20: a large object that pg_read_all_data does not cover is told before, with its grant', async () => {
  const context = await contextFor(['large'], 'large', {}, 'saver');
  const missing = {
    code: 'privilege-missing',
    hint: expect.stringContaining('pg_read_all_data does not cover large objects'),
  };
  await expect(logicalEngine.preflightBackup(context)).rejects.toMatchObject(missing);
  await expect(backUp(context)).rejects.toMatchObject(missing);
  const { rows } = await runQuery(source, 'large', 'SELECT oid FROM pg_largeobject_metadata');
  await runQuery(source, 'large', `GRANT SELECT ON LARGE OBJECT ${(rows[0] as { oid: number }).oid} TO saver`);
  await expect(logicalEngine.preflightBackup(context)).resolves.toBeDefined();
});

it('R12: a database that is not there, and one that cannot be dumped, keep no other from its backup', async () => {
  const context = await contextFor(['secured', 'gone', 'small'], 'three', {}, 'saver');
  await runQuery(source, 'postgres', 'ALTER ROLE saver NOBYPASSRLS');
  const notes = (await logicalEngine.preflightBackup(context)).join('\n');
  expect(notes).toMatch(/database "secured" cannot be dumped: .*row security/);
  expect(notes).toMatch(/database "gone" cannot be dumped/);
  const left: unknown[] = [];
  const made = await logicalEngine.backup(context, {
    ...{ type: 'full', startedAt: startedAt() },
    leaveOut: (database, { code }) => void left.push([database, code]),
  });
  expect(made.map(({ database }) => database)).toEqual(['small']);
  expect(left).toEqual([
    ['secured', 'privilege-missing'],
    ['gone', 'not-found'],
  ]);
  const none = await contextFor(['gone', 'secured'], 'none', {}, 'saver');
  await expect(logicalEngine.preflightBackup(none)).rejects.toMatchObject({ code: 'not-found' });
  const request = { type: 'full', startedAt: startedAt(), leaveOut: () => undefined } as const;
  await expect(logicalEngine.backup(none, request)).rejects.toMatchObject({ code: 'not-found' });
});

it('R12: a database that takes no connection for the moment delays no other, neither the check before nor the dumps', async () => {
  undo.push(() =>
    runQuery(source, 'postgres', 'ALTER DATABASE large CONNECTION LIMIT -1; ALTER ROLE saver NOBYPASSRLS'),
  );
  await runQuery(source, 'postgres', 'ALTER ROLE saver BYPASSRLS; ALTER DATABASE large CONNECTION LIMIT 0');
  const context = await contextFor(['large', 'small', 'secured'], 'for the moment', {}, 'saver');
  expect((await logicalEngine.preflightBackup(context)).join()).toMatch(
    /database "large" cannot be dumped: .*connections/,
  );
  const left: unknown[] = [];
  const made = await logicalEngine.backup(context, {
    ...{ type: 'full', startedAt: startedAt() },
    leaveOut: (database, { code }) => void left.push([database, code]),
  });
  expect(made.map(({ database }) => database)).toEqual(['small', 'secured']);
  expect(left).toEqual([['large', 'database-unreachable']]);
  // Where no other is left, the step waits for it.
  const alone = await contextFor(['large', 'gone'], 'alone', {}, 'saver');
  await expect(logicalEngine.preflightBackup(alone)).rejects.toMatchObject({ code: 'database-unreachable' });
});

it('F20: a table that the role may not read is told before, with the grant', async () => {
  await runQuery(source, 'postgres', 'CREATE ROLE stranger LOGIN');
  const context = await contextFor(['small'], 'stranger', {}, 'stranger');
  await expect(logicalEngine.preflightBackup(context)).rejects.toMatchObject({
    code: 'privilege-missing',
    hint: 'GRANT pg_read_all_data TO stranger',
  });
});

it('F17: a pg_dump older than the server is refused before', async () => {
  const pgBin = await programsWith(source.binDir, 'pg_dump', 'echo "pg_dump (PostgreSQL) 9.6.24"');
  const context = await contextFor(['small'], 'old tool', { pgBin });
  await expect(logicalEngine.preflightBackup(context)).rejects.toMatchObject({ code: 'version-mismatch' });
});

it('F3: success printed and exit 1 is a failure, and leaves nothing', async () => {
  const before = await labels();
  const pgBin = await programsWith(source.binDir, 'pg_dump', '"$real" "$@" && [ "$1" = --version ] || exit 1');
  await expect(backUp(await contextFor(['small'], 'exit 1', { pgBin }))).rejects.toMatchObject({ code: 'tool-failed' });
  expect(await labels()).toEqual(before);
  expect(await incoming()).toEqual([]);
});

it('F3: a dump that pg_restore does not take is removed, and the next attempt dumps anew', async () => {
  const request = { type: 'full', startedAt: startedAt() } as const;
  const pgBin = await programsWith(
    source.binDir,
    'pg_restore',
    '[ "$1" = --list ] && { echo "it is no archive" >&2; exit 1; }; "$real" "$@"',
  );
  await expect(
    logicalEngine.backup(await contextFor(['small'], 'no archive', { pgBin }), request),
  ).rejects.toMatchObject({ code: 'tool-failed', message: expect.stringContaining('it is no archive') });
  expect(await incoming()).toEqual([]);
  const [made] = await logicalEngine.backup(await contextFor(['small'], 'no archive'), request);
  expect(made).toMatchObject({ contents: [{ table: 't', rows: 10 }] });
  expect(await incoming()).toEqual([]);
});

it('F3: a dump cut off by a tool that exits 0 passes pg_restore -l, and not verify', async () => {
  const cut = '"$real" "$@"; for a; do case $a in --file=*) truncate -s -20 "${a#--file=}";; esac; done';
  const pgBin = await programsWith(source.binDir, 'pg_dump', cut);
  const backup = await backUp(await contextFor(['small'], 'cut', { pgBin }));
  expect(await logicalEngine.verify(await contextFor(['small'], 'verify cut'), asBackup(backup))).toMatchObject({
    ok: false,
  });
  await logicalEngine.remove(await contextFor(['small'], 'remove cut'), [backup.label]);
});

it('F5: a full repository is told as such, not tried again, and leaves older backups as they were', async () => {
  const path = await smallFileSystem(1_000_000);
  const limited =
    path === null
      ? await programsWith(source.binDir, 'pg_dump', `trap '' XFSZ; ulimit -f 500; exec "$real" "$@"`)
      : source.binDir;
  const repository = path ?? ground.repositoryPath;
  const full = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['small'] }, repository);
  const older = await backUp(await full.context('older'));
  await runQuery(
    source,
    'small',
    'CREATE TABLE big AS SELECT md5(n::text) || md5((-n)::text) AS x FROM generate_series(1, 60000) n',
  );
  undo.push(() => runQuery(source, 'small', 'DROP TABLE big'));

  await expect(backUp(await full.context('too big', { pgBin: limited }))).rejects.toMatchObject({
    code: 'storage-full',
  });
  expect((await readJobs(full.stateDir, 'too big')).map(({ starts }) => starts)).toEqual([1]);
  expect(await readdir(join(repository, 'mairie', 'nightly', 'incoming'))).toEqual([]);
  expect((await logicalEngine.list(await full.context('list'))).map(({ label }) => label)).toContain(older.label);
  expect(await logicalEngine.verify(await full.context('verify'), asBackup(older))).toMatchObject({ ok: true });
});

it('D2: a worker that goes away leaves pg_dump at work; the next one takes it up and counts in the dump, also without the server', async () => {
  const { host, port, user } = source;
  const client = new pg.Client({ host, port, user, database: 'small' });
  await client.connect();
  undo.push(() => client.end());
  await client.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  const abort = new AbortController();
  const first = await contextFor(['small'], 'taken up', { signal: abort.signal, leaveOnAbort: () => true });
  const request = { type: 'full', startedAt: startedAt() } as const;
  const left = logicalEngine.backup(first, request).then(
    () => 'ended',
    () => 'left',
  );
  const pid = await toolOf(ground.stateDir, 'taken up');
  // Once it waits for the lock, as the session that counts does, it has taken up the snapshot, which may go then.
  await until(async () => (await waitingForLock()) >= 2, 'both wait for the lock');
  abort.abort(new Error('the worker shuts down'));
  expect(await left).toBe('left');
  process.kill(pid, 0);
  await client.query('COMMIT');

  // Even a server that is lost by then keeps nobody from the dump that ended.
  await until(async () => (await stateOf('taken up')) === 'succeeded', 'the dump has ended');
  const connection = { ...ground.cluster.connection, port: 1 };
  const cluster = { ...ground.cluster, databases: ['small'], connection };
  const [backup] = await logicalEngine.backup(await ground.context('taken up', { cluster }), request);
  expect((await readJobs(ground.stateDir, 'taken up')).find(({ tool }) => tool === 'pg_dump')?.starts).toBe(1);
  expect(await readManifestFile(directory(), backup?.label ?? '')).toMatchObject({ countedIn: 'dump', objects: null });
  expect(backup?.contents).toEqual([{ database: 'small', schema: 'public', table: 't', rows: 10 }]);
});

async function stateOf(operationId: string): Promise<string | undefined> {
  return (await readJobs(ground.stateDir, operationId)).find(({ tool }) => tool === 'pg_dump')?.state;
}

async function waitingForLock(): Promise<number> {
  const { rows } = await runQuery(
    source,
    'small',
    "SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 't'::regclass",
  );
  return (rows[0] as { n: number }).n;
}

it('D2: a cancelled backup ends pg_dump and leaves nothing', async () => {
  const { host, port, user } = source;
  const client = new pg.Client({ host, port, user, database: 'small' });
  await client.connect();
  undo.push(() => client.end());
  await client.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  const before = await labels();
  const abort = new AbortController();
  const cancelled = backUp(await contextFor(['small'], 'cancelled', { signal: abort.signal })).catch(
    (error: unknown) => error,
  );
  const pid = await toolOf(ground.stateDir, 'cancelled');
  abort.abort(new Error('cancelled by a person'));
  expect(await cancelled).toMatchObject({ code: 'job-cancelled' });
  expect(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).toBe('');
  expect(await labels()).toEqual(before);
  expect(await incoming()).toEqual([]);
});

it('D2: a backup cancelled at any step is whole, or leaves nothing; also where files get their names at once', async () => {
  const stored = async (): Promise<string[]> =>
    (await readdir(ground.repositoryPath, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .sort();
  const { capabilities } = ground.storage;
  const inPlace = { ...ground.storage, capabilities: { ...capabilities, localPath: false } };
  for (const [place, storage] of Object.entries({ path: ground.storage, inPlace })) {
    const ends: Record<string, string> = {};
    let before = await stored();
    await cancelledAnywhere(
      storage,
      /^open|^write|^publish \.dump/,
      async (number, cancelling) => backUp(await contextFor(['small'], `${place} ${number}`, cancelling)),
      async (end, step) => {
        ends[step] = end;
        const now = await stored();
        // Dump, roles and manifest.
        expect({ step, added: now.length - before.length }).toEqual({ step, added: end === 'made' ? 3 : 0 });
        before = now;
      },
    );
    expect(ends).toMatchObject({ nothing: 'made', 'open .globals.sql': 'cancelled', 'write .facts.json': 'cancelled' });
    expect(await readdir(join(ground.stateDir, 'scratch')).catch(() => [])).toEqual([]);
    expect(await readdir(join(ground.stateDir, 'uploads')).catch(() => [])).toEqual([]);
  }
});

it('F29: another operation that starts in the same second is refused, and the first backup stays', async () => {
  const request = { type: 'full', startedAt: startedAt() } as const;
  const [backup] = await logicalEngine.backup(await contextFor(['small'], 'one'), request);
  await expect(logicalEngine.backup(await contextFor(['small'], 'other'), request)).rejects.toMatchObject({
    code: 'conflict',
  });
  expect((await readManifestFile(directory(), backup?.label ?? '')).operationId).toBe('one');
});

it('one database that cannot be dumped keeps no other from its backup', async () => {
  const before = await labels();
  await expect(backUp(await contextFor(['no such database', 'small'], 'one of two'))).rejects.toMatchObject({
    code: 'not-found',
  });
  expect((await labels()).filter((label) => !before.includes(label))).toEqual([expect.stringMatching(/^small_full_/)]);
});

it('F39, F42: a password stays in its file: neither in argv, environment, records, repository nor errors', async () => {
  const secret = 'canary-Xk93jd-secret';
  await runQuery(source, 'postgres', `ALTER ROLE saver PASSWORD '${secret}'`);
  const hba = join(source.dataDir, 'pg_hba.conf');
  const rules = await readFile(hba, 'utf8');
  await writeFile(hba, `host all saver 127.0.0.1/32 scram-sha-256\n${rules}`);
  await runQuery(source, 'postgres', 'SELECT pg_reload_conf()');
  undo.push(() => writeFile(hba, rules).then(() => runQuery(source, 'postgres', 'SELECT pg_reload_conf()')));
  const passfile = join(source.root, 'pgpass');
  await writeFile(passfile, `*:*:*:saver:${secret}\n`, { mode: 0o600 });
  await giveToPostgres(passfile);
  const connection = { ...ground.cluster.connection, user: 'saver', passfile };
  const cluster = { ...ground.cluster, databases: ['small'], connection };

  const { host, port, user } = source;
  const client = new pg.Client({ host, port, user, database: 'small' });
  await client.connect();
  undo.push(() => client.end());
  await client.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  const backup = backUp(await ground.context('with a password', { cluster }));
  const pid = await toolOf(ground.stateDir, 'with a password');
  expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(secret);
  expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain(secret);
  await client.query('COMMIT');
  await backup;
  expect(await filesHolding(ground.stateDir, secret)).toEqual([]);
  expect(await filesHolding(ground.repositoryPath, secret)).toEqual([]);

  await writeFile(passfile, `*:*:*:saver:wrong-${secret}\n`);
  const failure: unknown = await backUp(await ground.context('with a wrong one', { cluster })).catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: expect.stringMatching(/database-unreachable|query-failed/) });
  expect(JSON.stringify([failure, (failure as Error).message, (failure as Error).stack])).not.toContain(secret);
  expect(asRoot ? (await filesHolding(ground.stateDir, secret)).length : 0).toBe(0);
});
