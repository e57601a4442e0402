import type { ActivityRun } from '../../../src/activities/activity-wrapper.js';
import { objectLocks } from '../../../src/activities/backup/rotate.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import { planRetention } from '../../../src/domain/retention/retention.js';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeAll, expect, it } from '@jest/globals';
import { Readable } from 'node:stream';
import { RepriseError } from '../../../src/domain/errors.js';
import { readJobs } from '../../../src/process/jobs/supervisor.js';
import pg from 'pg';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { EngineContext } from '../../../src/engines/engine.js';
import { logicalEngine } from '../../../src/engines/logical/logical-engine.js';
import { operationMark } from '../../../src/engines/shared/policy-folder.js';
import { reconcile } from '../../../src/records/reconcile.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { makeGround } from '../../contract/engine-fixture.js';
import type { Ground } from '../../contract/engine-fixture.js';
import { asBackup, toolOf } from '../../contract/engine-suite.js';
import { makeAgeKey } from '../../helpers/age.js';
import { filesBelow } from '../../helpers/canary.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { giveToPostgres } from '../../helpers/postgres-user.js';
import { runQuery, startScratchCluster } from '../../helpers/postgres.js';
import type { ScratchCluster } from '../../helpers/postgres.js';
import { startMinio } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { tempDir } from '../../helpers/temp.js';
import { bound } from '../../helpers/bound.js';

failOnLeakedProcesses();

let source: ScratchCluster;
let server: S3Server;
let ground: Ground;
let second = 0;
const undo: (() => Promise<unknown>)[] = [];
const VARIABLE = `REPRISE_TEST_S3_KEY_${process.pid}`;

beforeAll(async () => {
  [source, server] = await Promise.all([startScratchCluster(), startMinio()]);
  await runQuery(source, 'postgres', 'CREATE DATABASE mairie');
  await runQuery(source, 'mairie', 'CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 20000) n');
  await server.bucket('backups', { versioned: true });
  process.env[VARIABLE] = server.secretAccessKey;
  const options = readS3Options(server.options('backups', { secret_access_key: { env: VARIABLE } }));
  ground = await makeGround(source, 'logical', { restoreJobs: 2, compress: 0 }, { databases: ['mairie'] }, undefined, {
    name: 'offsite',
    type: 's3',
    options,
  });
});
afterEach(async () => {
  for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
});

const nextStart = (): string => new Date(Date.UTC(2026, 10, 21, 2, 15, second++)).toISOString();
async function backUp(context: EngineContext): Promise<Backup> {
  await logicalEngine.preflightBackup(context);
  const [made] = await logicalEngine.backup(context, { type: 'full', startedAt: nextStart() });
  if (made === undefined) throw new Error('no backup was made');
  return asBackup(made);
}
const listed = async () => logicalEngine.list(await ground.context('list'));
const keyOf = ({ label }: Backup, end: string): string => `mairie/nightly/${label}.${end}`;
const keysOf = async (startedAt: string): Promise<string[]> => {
  const [date = '', time = ''] = startedAt.replaceAll(/[-:]|\..*/g, '').split('T');
  const keys: string[] = [];
  for await (const { key } of ground.storage.list('mairie/nightly'))
    if (key.includes(`${date}_${time}`)) keys.push(key);
  return keys;
};
const scratch = async (): Promise<string[]> =>
  readdir(join(ground.stateDir, 'scratch'), { recursive: true }).catch(() => []);
const outline = (context: EngineContext, candidates: readonly Backup[]) =>
  logicalEngine.outlineRecovery(context, {
    target: { kind: 'latest' },
    candidates,
    oldDataDir: null,
    databases: ['mairie'],
  });

it('F39: a secret of the worker’s environment reaches the uploader by neither argument nor environment, and no file keeps it', async () => {
  const { host, port, user } = source;
  const client = new pg.Client({ host, port, user, database: 'mairie' });
  await client.connect();
  undo.push(() => client.end());
  await client.query('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
  const making = backUp(await ground.context('secret'));
  making.catch(() => undefined);
  const pid = await toolOf(ground.stateDir, 'secret');
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=']);
  const children = stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent]) => parent === String(pid))
    .map(([child]) => child);
  for (const one of [pid, ...children]) {
    for (const name of ['cmdline', 'environ'])
      expect(await readFile(`/proc/${one}/${name}`, 'latin1').catch(() => '')).not.toContain(server.secretAccessKey);
  }
  const orders = await filesBelow(join(ground.stateDir, 'uploads'), /^$/);
  expect(orders).toHaveLength(1);
  await client.query('ROLLBACK');
  await making;
  expect(
    (await filesBelow(ground.stateDir, /^$/))
      .filter(([, content]) => content.includes(server.secretAccessKey))
      .map(([path]) => path),
  ).toEqual([]);
});

it('S4, F39: an encrypted dump lies in the bucket as such, is proven, planned and restored with the key, and its copy on this host is gone', async () => {
  const key = await makeAgeKey();
  const encryption = { recipients: [key.recipient], identity: { file: key.file } };
  const context = async (operationId: string): Promise<EngineContext> =>
    ground.context(operationId, { policy: { ...ground.policy, encryption } });
  const backup = await backUp(await context('encrypted'));
  expect((await ground.storage.read(keyOf(backup, 'dump.age'))).toString('latin1')).toMatch(/^age-encryption\.org\/v1/);
  expect((await ground.storage.read(keyOf(backup, 'globals.sql.age'))).toString()).toMatch(
    /^-----BEGIN AGE ENCRYPTED FILE/,
  );
  expect(await logicalEngine.verify(await context('verify'), backup)).toMatchObject({ ok: true });
  const planned = await outline(await context('plan'), [backup]);
  expect(planned.warnings).toContainEqual(expect.stringContaining('fetched into'));
  const restoring = await context('restore');
  const approved = await bound(logicalEngine, restoring, backup);
  const { connection } = restoring.cluster;
  await logicalEngine.logical?.restoreGlobals(restoring, { ...approved, connection });
  const restored = await logicalEngine.logical?.restoreDatabase(restoring, {
    ...approved,
    intoDatabase: 'encrypted',
    connection,
  });
  expect(restored?.contents).toEqual([{ database: 'mairie', schema: 'public', table: 't', rows: 20000 }]);
  expect(await scratch()).toEqual([]);
});

it('F10, F15: a fetch that was cut off goes on where it was, is compared as a whole, and begins anew before the dump is blamed', async () => {
  const backup = await backUp(await ground.context('to be fetched'));
  const dump = await ground.storage.read(keyOf(backup, 'dump'));
  const half = Math.floor(dump.length / 2);
  for (const [operation, beginning, begunAnew] of [
    ['good half', dump.subarray(0, half), 0],
    ['bad half', randomBytes(half), 1],
  ] as const) {
    const directory = join(ground.stateDir, 'scratch', 'fetched', operationMark(operation));
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const path of [directory, join(directory, '..'), join(directory, '../..')]) await giveToPostgres(path);
    await writeFile(join(directory, `${backup.label}.dump.part`), beginning, { mode: 0o600 });
    const done: number[] = [];
    const verdict = await logicalEngine.verify(
      await ground.context(operation, {
        report: ({ done: bytes, phase }) => void (phase.startsWith('fetching') && done.push(bytes)),
      }),
      backup,
    );
    expect(verdict.ok).toBe(true);
    expect(done[0]).toBeGreaterThan(half);
    expect(done.filter((bytes, index) => bytes < (done[index - 1] ?? 0))).toHaveLength(begunAnew);
  }
});

it('F13: what is gone or overwritten behind our back is told as that, and is never offered', async () => {
  const [gone, replaced, whole] = [
    await backUp(await ground.context('gone')),
    await backUp(await ground.context('replaced')),
    await backUp(await ground.context('whole')),
  ];
  await ground.storage.remove(keyOf(gone, 'json'));
  await ground.storage.remove(keyOf(gone, 'dump'));
  const { sizeBytes } = replaced;
  await server.client.send(
    new PutObjectCommand({ Bucket: 'backups', Key: keyOf(replaced, 'dump'), Body: randomBytes(sizeBytes) }),
  );
  const place = { cluster: 'mairie', policy: 'nightly', engine: 'logical', repository: gone.repository };
  const states = reconcile({ backups: [gone, replaced, whole] }, [{ ...place, listed: await listed() }]);
  expect(states.find(({ id }) => id === gone.id)?.status).toBe('missing');
  // Of the same size, only its content tells: the proof finds it, and the restore refuses it.
  expect(await logicalEngine.verify(await ground.context('verify replaced'), replaced)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('SHA-256'),
  });
  const context = await ground.context('restore replaced');
  const approved = await bound(logicalEngine, context, replaced);
  await expect(
    logicalEngine.logical?.restoreDatabase(context, {
      ...approved,
      intoDatabase: 'replaced',
      connection: context.cluster.connection,
    }),
  ).rejects.toMatchObject({ code: 'backup-corrupt' });
  await expect(outline(await ground.context('plan gone'), [gone])).rejects.toMatchObject({ code: 'not-found' });
  await ground.storage.write(keyOf(replaced, 'dump'), 'short');
  expect((await listed()).find(({ label }) => label === replaced.label)?.damaged).toContain('5 bytes');
  await logicalEngine.remove(await ground.context('remove'), [replaced.label]);
});

it('F10: a finished upload stays where looking into it broke off, and the next attempt takes it up; one that is gone since is dumped anew', async () => {
  const request = { type: 'full', startedAt: nextStart() } as const;
  const dumps = async (operation: string) =>
    (await readJobs(ground.stateDir, operation))
      .filter(({ key }) => key.includes('/dump:'))
      .map(({ key, starts }) => [key, starts]);
  const context = await ground.context('broke off');
  // The connection breaks in the middle of the table of contents, and stays broken for longer than reading is tried.
  const cutOff = async function* () {
    yield Buffer.from('PGDMP');
    throw new RepriseError('storage-unreachable', 'no answer', 'see that the server answers');
  };
  const storage = {
    ...context.storage,
    open: async (key: string) =>
      key.endsWith('.dump') ? Readable.from(cutOff(), { objectMode: false }) : context.storage.open(key),
  };
  await expect(logicalEngine.backup({ ...context, storage }, request)).rejects.toMatchObject({
    code: 'storage-unreachable',
    message: 'no answer',
  });
  expect(await keysOf(request.startedAt)).toContainEqual(expect.stringMatching(/\.dump$/));
  const [made] = await logicalEngine.backup(await ground.context('broke off'), request);
  expect(await dumps('broke off')).toEqual([['broke off/dump:mairie', 1]]);
  expect(made).toMatchObject({ contents: [{ table: 't', rows: 20000 }] });

  const again = { ...request, startedAt: nextStart() };
  await expect(logicalEngine.backup({ ...(await ground.context('taken away')), storage }, again)).rejects.toMatchObject(
    { code: 'storage-unreachable' },
  );
  const [key = ''] = (await keysOf(again.startedAt)).filter((one) => one.endsWith('.dump'));
  await ground.storage.remove(key);
  const [anew] = await logicalEngine.backup(await ground.context('taken away'), again);
  expect(await dumps('taken away')).toEqual([['taken away/dump:mairie', 2]]);
  for (const backup of [made, anew])
    if (
      backup === undefined ||
      !(await logicalEngine.verify(await ground.context(`verify ${backup.label}`), asBackup(backup))).ok
    )
      throw new Error('a backup that is none');
});

it('P1: a dump that was there before is taken over into the bucket, once', async () => {
  const folder = await tempDir('old-dumps');
  await chmod(folder, 0o755);
  const file = join(folder, 'mairie.dump');
  await promisify(execFile)(join(source.binDir, 'pg_dump'), [
    '--format=custom',
    `--file=${file}`,
    '--host',
    source.host,
    '--port',
    String(source.port),
    '--username',
    source.user,
    'mairie',
  ]);
  await chmod(file, 0o644);
  const context = await ground.context('adopt');
  const { candidates } = (await logicalEngine.adoption?.survey?.(context, folder)) ?? { candidates: [] };
  const [candidate] = candidates;
  if (candidate === undefined) throw new Error('the dump was not found');
  // F10: the manifest is written, and its answer lost: the dump stays, and the next attempt finds both.
  const answerLost = {
    ...context.storage,
    createIfAbsent: async (...of: Parameters<typeof context.storage.createIfAbsent>) =>
      Promise.reject(new Error(`no answer: ${String(await context.storage.createIfAbsent(...of))}`)),
  };
  await expect(logicalEngine.adoption?.take?.({ ...context, storage: answerLost }, folder, candidate)).rejects.toThrow(
    'no answer: true',
  );
  const taken = await logicalEngine.adoption?.take?.(context, folder, candidate);
  expect(taken).toMatchObject({ database: 'mairie', contents: [{ table: 't', rows: 20000 }] });
  expect(await logicalEngine.adoption?.take?.(await ground.context('adopt'), folder, candidate)).toEqual(taken);
  expect(await logicalEngine.adoption?.take?.(await ground.context('adopt again'), folder, candidate)).toBeNull();
  if (!taken) return;
  expect(await logicalEngine.verify(await ground.context('verify adopted'), asBackup(taken))).toMatchObject({
    ok: true,
  });
  expect((await ground.storage.read(keyOf(asBackup(taken), 'dump'))).equals(await readFile(file))).toBe(true);
  // What took away the dump meanwhile took the backup: no attempt reports it.
  await ground.storage.remove(keyOf(asBackup(taken), 'dump'));
  await expect(
    ground.context('adopt').then((again) => logicalEngine.adoption?.take?.(again, folder, candidate)),
  ).rejects.toMatchObject({ code: 'conflict' });
});

it('F14: rotation reports what an object lock keeps until its date, and a removal asked for all the same is no error', async () => {
  await server.bucket('locked', { locked: true });
  const retention = { Mode: 'GOVERNANCE', Days: 3 } as const;
  const { PutObjectLockConfigurationCommand } = await import('@aws-sdk/client-s3');
  await server.client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: 'locked',
      ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention: retention } },
    }),
  );
  const locked = await makeGround(source, 'logical', { restoreJobs: 1 }, { databases: ['mairie'] }, undefined, {
    name: 'locked',
    type: 's3',
    options: readS3Options(server.options('locked')),
  });
  const backup = await backUp(await locked.context('locked'));
  const made = asBackup(backup);
  const { host, user } = await locked.context('locks');
  const session = {
    cluster: locked.cluster,
    host,
    user,
    catalogue: { state: async () => ({ backups: [] }) },
    deps: {
      openStorage: () => locked.storage,
      engineOf: () => logicalEngine,
      postgresBin: async () => source.binDir,
      config: { repositories: { [locked.policy.repository]: {} } },
    },
  } as unknown as ClusterContext;
  const run: ActivityRun = {
    aheadSeconds: 0,
    signal: new AbortController().signal,
    leaveOnAbort: () => false,
    report: () => undefined,
    cursor: undefined,
    keep: () => undefined,
    name: 'test',
    atEnd: () => undefined,
  };
  const locks = await objectLocks(session, locked.policy, [made], run);
  expect(Date.parse(locks.get(made.id) ?? '') - Date.now()).toBeGreaterThan(2.9 * 86_400_000);
  // A year later retention would let it go, and reports it kept instead.
  const rotation = {
    backups: [{ ...made, startedAt: '2025-01-01T00:00:00.000Z' }],
    retention: { days: 1, minProven: 0, maxDeletions: 10 },
    now: new Date(),
    pinned: new Set<string>(),
  };
  expect(planRetention({ ...rotation, locked: locks }).keep).toMatchObject([
    { id: made.id, reason: expect.stringContaining(`object lock until ${locks.get(made.id)}`) },
  ]);
  const plan = await logicalEngine.planRemoval(await locked.context('plan removal'), [backup.label]);
  expect(plan.alsoRemoves).toHaveLength(3);
  for (const line of plan.alsoRemoves)
    expect(line).toMatch(/stays in the bucket until 20\d\d-\d\d-\d\dT.*: object lock/);
  await logicalEngine.remove(await locked.context('removal'), plan.labels);
  expect(await logicalEngine.list(await locked.context('list'))).toEqual([]);
});
