import { readdir, readFile, stat, statfs, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pg from 'pg';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { InstanceActivities, InstanceStep } from '../../../src/activities/api.js';
import { openClusterContext } from '../../../src/activities/cluster-context.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { wrapActivity } from '../../../src/activities/activity-wrapper.js';
import { instanceActivities, readableInstance } from '../../../src/activities/temporary/temporary-instance.js';
import { sweepHost } from '../../../src/activities/sweep.js';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { runInspection } from '../../../src/client/inspect.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Config, HostConfig } from '../../../src/domain/config.js';
import type { OpenedInstance, PlannedInstance } from '../../../src/domain/explore/instance.js';
import type { InstanceOrder } from '../../../src/domain/operation/orders.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { endProcessesIn, processesIn } from '../../../src/postgres/server/postmaster.js';
import { usedBytes } from '../../../src/postgres/server/disk.js';
import { openTemporaryInstances } from '../../../src/records/temporary-instances.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { copyingFileSystem } from '../../helpers/copying-file-system.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { runQuery } from '../../helpers/postgres.js';
import { runAsPostgres } from '../../helpers/postgres-user.js';
import { Site } from '../../helpers/site.js';
import { answer, refusal, statusOf } from '../../helpers/site-cli.js';

failOnLeakedProcesses();

let site: Site;
let deps: HostDependencies;
const fileSystems = [await copyingFileSystem('xfs'), await copyingFileSystem('btrfs')];
/** Of the transaction that deletes half of the appointments, and the instant before it. */
let bad: { xid: string; before: string };

const BASE = `      base: { engine: basebackup, repository: local, options: { wal: receivewal } }\n`;

/** One step of a temporary instance, called as a workflow calls it, without one. */
function run<N extends keyof InstanceActivities>(
  name: N,
  operationId: string,
  input: object = {},
): ReturnType<InstanceActivities[N]> {
  const activity = instanceActivities(deps)[name] as (given: object) => Promise<unknown>;
  return inActivity(operationId, (step) => activity({ ...step, ...input })) as ReturnType<InstanceActivities[N]>;
}

function inActivity<T>(operationId: string, body: (step: InstanceStep) => Promise<T>): Promise<T> {
  const workflowId = `explore/mairie/${operationId}`;
  const environment = new MockActivityEnvironment(
    { workflowExecution: { workflowId, runId: `run-of-${operationId}` } },
    { logger: new DefaultLogger('ERROR') },
  );
  return environment.run(body, { cluster: 'mairie', operationId, workflowId, instance: 'look' });
}

async function open(operationId: string, order: InstanceOrder, given: object = {}): Promise<OpenedInstance> {
  await run('planInstance', operationId, { order, requester: 'test', ...given });
  return run('openInstance', operationId);
}

const rowsIn = async (instance: OpenedInstance): Promise<number> => {
  const connection = { ...address(instance), maintenanceDatabase: 'postgres' };
  const { rows } = await withClient(connection, 'mairie', (client) =>
    client.query<{ n: number }>('SELECT count(*)::int AS n FROM metier.demandes_rdv'),
  );
  return rows[0]?.n ?? 0;
};
const address = ({ socketDir, port, user }: OpenedInstance) => ({ host: socketDir, port, user, socketDir });
const count = async (): Promise<number> =>
  ((await site.query('SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows[0] as { n: number }).n;

/** What a temporary instance must leave as it was. */
async function production() {
  // A receiver that stood still connects again.
  await site.waitFor(
    async () => (await site.query('SELECT FROM pg_replication_slots WHERE NOT active')).rows.length === 0,
    'the WAL is received',
  );
  const { rows } = await site.query(
    `SELECT (SELECT json_agg(s) FROM (SELECT slot_name, active FROM pg_replication_slots ORDER BY 1) s) AS slots,
            (SELECT failed_count FROM pg_stat_archiver)::int AS failed,
            (SELECT count(*)::int FROM pg_database) AS databases`,
  );
  const archived = await readdir(join(site.root, 'pgb', 'repo', 'archive', 'main'), { recursive: true });
  return { ...(rows[0] as object), archived: archived.sort(), content: await site.contentHash() };
}

const instances = () => openTemporaryInstances(site.places.stateDir).all();
const scratch = async () =>
  (await readdir(join(site.places.stateDir, 'scratch'))).filter((name) => name.startsWith('explore-'));

beforeAll(async () => {
  site = await Site.create({ policiesYaml: BASE });
  // For its applications; no server in recovery runs such a transaction.
  await site.query('ALTER DATABASE mairie SET default_transaction_isolation = serializable');
  const config = await loadConfig({ file: site.places.configFile });
  deps = hostDependencies(config, 'db1');
  const worker = await site.startWorker();
  const clusters = { mairie: { ...config.clusters['mairie'], watch: undefined } } as unknown as Config['clusters'];
  await applyWatches(site.session, { ...config, clusters });
  await site.waitFor(
    async () => (await site.query('SELECT FROM pg_replication_slots WHERE active')).rows.length === 1,
    'the WAL is received',
  );
  for (const policy of ['physical', 'base', 'dump'] as const) await site.backUp(policy);
  await site.commit();
  const { rows } = await site.query(
    `WITH gone AS (DELETE FROM metier.demandes_rdv WHERE id % 2 = 0 RETURNING id)
     SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM gone)::int AS gone,
            to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS before`,
  );
  bad = rows[0] as typeof bad;
  await site.commit(7);
  const [{ now = '' } = {}] = (
    await site.query(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now`)
  ).rows as { now: string }[];
  await site.query("SELECT pg_logical_emit_message(true, 'test', 'something to archive')");
  await site.closeSegment();
  await site.waitFor(async () => {
    const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
    return windows.length === 2 && windows.every(({ newest }) => (newest ?? '') >= now);
  }, 'both archives have all commits');
  await worker.stop();
});

describe('M1: a temporary instance at any instant that a backup leads to', () => {
  it.each(['physical', 'base'])(
    'M1: with %s it stands just before a transaction, goes forward over it and on to the latest, never back, and production is as it was',
    async (policy) => {
      const before = await production();
      const operationId = `op-${policy}`;
      const now = await count();
      const first = await open(operationId, { target: { kind: 'before-xid', xid: bad.xid }, policy });
      expect(first).toMatchObject({ cluster: 'mairie', host: 'db1', restore: { policy }, expiresAt: null });
      expect(first.databases).toEqual(expect.arrayContaining(['mairie', 'postgres']));
      const whole = await rowsIn(first);
      expect(whole).toBe(3010);
      const { rows } = await runQuery(
        address(first),
        'postgres',
        `SELECT pg_is_in_recovery() AS recovery, current_setting('archive_mode') AS archive, current_setting('listen_addresses') AS listen,
                pg_get_wal_replay_pause_state() AS paused`,
      );
      expect(rows).toEqual([{ recovery: true, archive: 'off', listen: '', paused: 'paused' }]);
      await expect(runQuery(address(first), 'postgres', 'CREATE TABLE t (a int)')).rejects.toThrow(/read-only/);
      // Found done: another attempt finds it as it is, by the same processes.
      const processes = await processesIn(first.dataDir);
      expect(await run('openInstance', operationId)).toEqual(first);
      expect(await processesIn(first.dataDir)).toEqual(processes);
      // What the WAL does not lead to is refused, and it stands where it stood.
      for (const target of [
        { kind: 'time', time: '2199-01-01T00:00:00Z' },
        { kind: 'lsn', lsn: 'FF/0' },
      ])
        await expect(run('moveInstance', operationId, { target })).rejects.toMatchObject({ type: 'target-after-wal' });
      expect(await rowsIn(first)).toBe(3010);
      const after = await run('moveInstance', operationId, { target: { kind: 'xid', xid: bad.xid } });
      expect(await rowsIn(after)).toBe(now - 7);
      expect(after.dataDir).toBe(first.dataDir);
      await expect(
        run('moveInstance', operationId, { target: { kind: 'before-xid', xid: bad.xid } }),
      ).rejects.toMatchObject({
        type: 'target-before-backup',
        details: [{ hint: expect.stringContaining(`reprise explore start mairie --to before-xid:${bad.xid}`) }],
      });
      const last = await run('moveInstance', operationId, { target: 'latest' });
      expect(await rowsIn(last)).toBe(now);
      expect(await production()).toEqual(before);
      await run('closeInstance', operationId, { ends: true });
      expect(await processesIn(first.dataDir)).toEqual([]);
      expect([await scratch(), await instances()]).toEqual([[], []]);
      const { catalogue } = await openClusterContext(deps, 'mairie');
      expect([...(await catalogue.state()).pins.keys()]).toEqual([]);
      // Once more is no error.
      await run('closeInstance', operationId, { ends: true });
    },
  );

  it('M1: a dump becomes a server of its own; it cannot be moved; a sweep removes it when its time is over', async () => {
    const dumped = await open('op-dump', { target: { kind: 'latest' }, policy: 'dump', ttlSeconds: 3600 });
    expect(dumped.databases).toEqual(['mairie']);
    expect(await rowsIn(dumped)).toBe(3000);
    expect(Date.parse(dumped.expiresAt ?? '')).toBeGreaterThan(Date.now());
    await expect(run('moveInstance', 'op-dump', { target: 'latest' })).rejects.toMatchObject({
      type: 'capability-missing',
    });
    await expect(
      run('planInstance', 'op-none', { order: { target: 'xid:4000000000', policy: 'dump' }, requester: 'test' }),
    ).rejects.toMatchObject({ type: 'capability-missing' });
    const hasClosed = async (): Promise<boolean> => false;
    expect(await sweepHost(deps, hasClosed)).toEqual([]);
    await run('extendInstance', 'op-dump', { until: new Date(Date.now() - 1).toISOString() });
    expect(await sweepHost(deps, hasClosed)).toEqual(['op-dump']);
    expect([await scratch(), await instances()]).toEqual([[], []]);
    await expect(run('openInstance', 'op-dump')).rejects.toMatchObject({ type: 'not-found' });
    await run('closeInstance', 'op-dump', { ends: true });
  });

  for (const { kind, mount, lacks } of fileSystems)
    (lacks === null ? it : it.skip)(
      `M1: where the scratch file system copies by reference (${kind}${lacks === null ? '' : `; skipped: ${lacks}`}), a second instance of a backup is made from the first one; the files go with the last`,
      async () => {
        const plain = deps;
        const { config } = plain;
        const db1 = config.hosts['db1'] as HostConfig;
        deps = { ...plain, config: { ...config, hosts: { ...config.hosts, db1: { ...db1, scratchDir: mount } } } };
        try {
          const order = { target: { kind: 'before-xid' as const, xid: bad.xid }, policy: 'physical' };
          const ids = [`op-${kind}-1`, `op-${kind}-2`] as const;
          const first = await open(ids[0], order);
          const pristine = async () => (await readdir(mount)).filter((name) => name.startsWith('pristine-'));
          expect(await pristine()).toHaveLength(1);
          const used = async (): Promise<number> => {
            const { blocks, bfree, bsize } = await statfs(mount);
            return (blocks - bfree) * bsize;
          };
          const once = await used();
          const second = await open(ids[1], { ...order, target: { kind: 'end-of-backup' } });
          // It takes what the server writes, and its WAL, and not the files again.
          const wal = await usedBytes(join(second.dataDir, 'pg_wal'), null);
          expect((await used()) - once - wal).toBeLessThan(await usedBytes(join(first.dataDir, 'base'), null));
          expect([await rowsIn(first), await rowsIn(second)]).toEqual([3010, 3000]);
          await run('closeInstance', ids[0], { ends: true });
          expect(await pristine()).toHaveLength(1);
          await run('closeInstance', ids[1], { ends: true });
          expect((await readdir(mount)).filter((name) => /^(pristine|explore)-/.test(name))).toEqual([]);
        } finally {
          deps = plain;
        }
      },
    );

  it('M1: one whose server was killed runs again where it stood, for whatever reads it; after a start of the host it is restored anew, as a copy syncs nothing', async () => {
    const first = await open('op-dead', { target: { kind: 'before-xid', xid: bad.xid }, policy: 'physical' });
    const now = await count();
    await endProcessesIn(first.dataDir);
    const wrapped = wrapActivity('read', async (step: InstanceStep, activity) =>
      readableInstance(await openClusterContext(deps, 'mairie'), step, { database: 'mairie', table: null }, activity),
    );
    await inActivity('op-dead', wrapped);
    expect(await rowsIn(first)).toBe(3010);
    await endProcessesIn(first.dataDir);
    expect(await run('openInstance', 'op-dead')).toMatchObject({
      dataDir: first.dataDir,
      reached: { complete: false },
    });
    expect(await rowsIn(first)).toBe(3010);
    // The host was started anew: its server is gone, and a file that was not on the disk yet is empty.
    await endProcessesIn(first.dataDir);
    const records = openTemporaryInstances(site.places.stateDir);
    const [there] = await records.all();
    if (there?.content === undefined) throw new Error('it is recorded nowhere');
    await records.update({ ...there, content: { ...there.content, boot: 'of the boot before' } });
    await truncate(join(first.dataDir, 'global', 'pg_control'), 0);
    const moved = await run('moveInstance', 'op-dead', { target: { kind: 'xid', xid: bad.xid } });
    expect(await rowsIn(moved)).toBe(now - 7);
    await run('closeInstance', 'op-dead', { ends: true });
    expect([await scratch(), await instances()]).toEqual([[], []]);
  });

  it('M1: another operation reaches none of it, and a host has no more for people than it may', async () => {
    const order = { target: { kind: 'end-of-backup' as const }, policy: 'physical' };
    for (const id of ['op-1', 'op-2', 'op-3'])
      await run('planInstance', id, { order, requester: 'test', purpose: 'explore' });
    await expect(run('planInstance', 'op-4', { order, requester: 'test', purpose: 'explore' })).rejects.toMatchObject({
      type: 'conflict',
      message: expect.stringContaining('3 are allowed'),
    });
    // What a step of an operation needs is not counted.
    await run('planInstance', 'op-4', { order, requester: 'test' });
    await expect(
      run('closeInstance', 'op-1', { workflowId: 'explore/mairie/op-2', operationId: 'op-1', instance: 'other' }),
    ).resolves.toBeUndefined();
    expect(await instances()).toHaveLength(4);
    // Their workflows were terminated.
    expect([...(await sweepHost(deps, async () => true))].sort()).toEqual(
      expect.arrayContaining(['op-1', 'op-2', 'op-3', 'op-4']),
    );
    expect(await instances()).toEqual([]);
    const { catalogue } = await openClusterContext(deps, 'mairie');
    expect([...(await catalogue.state()).pins.keys()]).toEqual([]);
  });
});

interface Shown {
  readonly id: string;
  readonly workflowId: string;
  readonly state: string;
  readonly target: { readonly requested: string; readonly reached: string | null };
  readonly expiresAt: string | null;
  readonly connection: string | null;
}

/** Rows that somebody sees who connects as the command line says. */
async function rowsSeen(connection: string | null): Promise<{ n: number; readOnly: string; by: string }> {
  const given = new Map(
    [...(connection ?? '').matchAll(/(\w+)=('(?:[^'\\]|\\.)*'|\S+)/g)].map(([, name = '', value = '']) => [
      name,
      value.replace(/^'|'$/g, '').replaceAll(/\\(.)/g, '$1'),
    ]),
  );
  const password = given.has('passfile')
    ? (await readFile(given.get('passfile') ?? '', 'utf8')).trim().split(':').at(-1)
    : undefined;
  const client = new pg.Client({
    host: given.get('host'),
    port: Number(given.get('port')),
    user: given.get('user'),
    database: given.get('dbname'),
    options: given.get('options'),
    password,
  });
  await client.connect();
  try {
    const { rows } = await client.query(
      `SELECT (SELECT count(*)::int FROM metier.demandes_rdv) AS n, current_setting('transaction_read_only') AS "readOnly",
              current_user::text AS by`,
    );
    return rows[0] as { n: number; readOnly: string; by: string };
  } finally {
    await client.end();
  }
}

const shown = (id: string): Promise<Shown> => answer<Shown>(site, 'explore', 'show', id);
const gone = (id: string): Promise<unknown> =>
  site.waitFor(async () => (await refusal(site, 'explore', 'show', id)).code === 'conflict', `${id} is gone`);

describe('M1: reprise explore', () => {
  it('M1: start, list, show, connect, retarget, extend, drop; a dump with a password that no history has; a worker that is killed while it restores, and a workflow that is terminated, leave nothing', async () => {
    const before = await production();
    const now = await count();
    let worker = await site.startWorker();
    const preview = await answer<{ plan: PlannedInstance }>(
      ...[site, 'explore', 'start', 'mairie', '--to', `before-xid:${bad.xid}`, '--policy', 'physical', '--dry-run'],
    );
    expect(preview.plan).toMatchObject({ restore: { policy: 'physical', recovery: { stopsAt: { kind: 'lsn' } } } });
    expect(await instances()).toEqual([]);
    // The worker is killed while the files are restored, and the next one goes on.
    const detached = await answer<{ id: string; workflowId: string }>(
      ...[site, 'explore', 'start', 'mairie', '--to', `before-xid:${bad.xid}`, '--policy', 'physical', '--detach'],
    );
    // On a slow machine the restore may be over before it was seen: then the worker is killed while the instance runs.
    await site.waitFor(
      async () =>
        (await statusOf(site, detached.workflowId)).phase === 'restore the temporary instance' ||
        (await shown(detached.id)).state === 'open',
      'it is restored',
    );
    await worker.kill();
    worker = await site.startWorker();
    const { id } = detached;
    const open = await site.waitFor(async () => {
      const one = await shown(id);
      return one.state === 'open' ? one : null;
    }, 'it runs');
    expect(await rowsSeen(open.connection)).toEqual({ n: 3010, readOnly: 'on', by: 'pg_read_all_data' });
    // Visibility lags behind.
    await site.waitFor(
      async () =>
        (await answer<{ instances: Shown[] }>(site, 'explore', 'list', 'mairie')).instances.some(
          (one) => one.id === id,
        ),
      'it is listed',
    );
    const moved = await answer<Shown>(site, 'explore', 'retarget', id, '--to', `xid:${bad.xid}`, '--by', 'dba');
    expect((await rowsSeen(moved.connection)).n).toBe(now - 7);
    expect(await refusal(site, 'explore', 'retarget', id, '--to', `before-xid:${bad.xid}`)).toMatchObject({
      code: 'target-before-backup',
      hint: expect.stringContaining('reprise explore start mairie'),
    });
    const extended = await answer<Shown>(site, 'explore', 'extend', id, '--ttl', '5h', '--by', 'dba');
    expect(Date.parse(extended.expiresAt ?? '')).toBeGreaterThan(Date.now() + 4 * 3_600_000);
    const connect = await answer<{ connection: string }>(site, 'explore', 'connect', id, '--by', 'ops');
    expect(connect.connection).toBe(moved.connection);
    // Its server was lost: whoever connects has it started again.
    const [kept] = await instances();
    await endProcessesIn(kept?.dataDir ?? '');
    const again = await answer<{ connection: string }>(site, 'explore', 'connect', id, '--by', 'ops');
    expect((await rowsSeen(again.connection)).n).toBe(now - 7);
    expect(await answer(site, 'explore', 'drop', id, '--by', 'dba')).toMatchObject({ dropped: true });
    await gone(id);
    expect([await scratch(), await instances()]).toEqual([[], []]);
    const { catalogue } = await openClusterContext(deps, 'mairie');
    const journal = JSON.stringify((await catalogue.state()).journalOf(id));
    for (const told of ['was opened for', 'ops connects', 'dba moved', 'was removed']) expect(journal).toContain(told);
    // A dump, whose login has a password of its own.
    const dump = await answer<Shown>(site, 'explore', 'start', 'mairie', '--policy', 'dump', '--ttl', '1h');
    expect(await rowsSeen(dump.connection)).toEqual({ n: 3000, readOnly: 'on', by: 'reprise_explore' });
    const passfile = /passfile=(\S+)/.exec(dump.connection ?? '')?.[1] ?? '';
    expect((await stat(passfile)).mode & 0o077).toBe(0);
    const password = (await readFile(passfile, 'utf8')).trim().split(':').at(-1) ?? 'none';
    const { history } = await site.session.client.workflow
      .getHandle(dump.workflowId)
      .fetchHistory()
      .then((found) => ({ history: JSON.stringify(found) }));
    expect([
      password.length > 20,
      history.includes(password),
      history.includes(Buffer.from(password).toString('base64')),
    ]).toEqual([true, false, false]);
    await site.session.client.workflow.getHandle(dump.workflowId).terminate('lost');
    await worker.stop();
    expect(await instances()).toHaveLength(1);
    worker = await site.startWorker();
    await site.waitFor(async () => (await instances()).length === 0, 'the sweep has removed it');
    expect(await scratch()).toEqual([]);
    // One whose time is over, with the word of nobody.
    const short = await answer<{ id: string; workflowId: string }>(
      ...([site, 'explore', 'start', 'mairie', '--policy', 'dump', '--ttl', '1s', '--detach'] as const),
    );
    expect(await site.session.client.workflow.getHandle(short.workflowId).result()).toMatchObject({ ended: 'expired' });
    await gone(short.id);
    expect([await scratch(), await instances()]).toEqual([[], []]);
    await worker.stop();
    const { archived: _then, ...unchanged } = before;
    expect(await production()).toMatchObject(unchanged);
  });

  it('M1: one whose backup another program has expired, with its WAL, stays where it is, and says what to do', async () => {
    const order = { target: { kind: 'before-xid', xid: bad.xid }, policy: 'physical' } as const;
    const instance = await open('op-expired', order);
    const config = `--config=${site.places.pgbackrestConf}`;
    await runAsPostgres('pgbackrest', [config, '--stanza=main', '--type=full', '--repo1-retention-full=1', 'backup']);
    await expect(run('moveInstance', 'op-expired', { target: { kind: 'latest' } })).rejects.toMatchObject({
      type: 'no-usable-backup',
      message: expect.stringContaining('the instance stays where it is'),
      details: [{ hint: 'open another one: reprise explore start mairie --to latest' }],
    });
    expect(await rowsIn(instance)).toBe(3010);
    await run('closeInstance', 'op-expired', { ends: true });
  });
});
