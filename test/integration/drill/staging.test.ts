import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { openClusterContext } from '../../../src/activities/cluster-context.js';
import { sweepCluster } from '../../../src/activities/sweep.js';
import { applyWatches } from '../../../src/client/schedules/apply-watches.js';
import { runInspection } from '../../../src/client/inspect.js';
import { loadConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/domain/config.js';
import type { DrillPlan } from '../../../src/domain/drill/drill.js';
import { scratchConnection } from '../../../src/postgres/server/scratch-cluster.js';
import { processesIn } from '../../../src/postgres/server/postmaster.js';
import { operationsInUse, readJobs } from '../../../src/process/jobs/supervisor.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { contentOf } from '../../contract/engine-fixture.js';
import { Drills } from '../../helpers/drills.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { freePorts } from '../../helpers/ports.js';
import { runQuery } from '../../helpers/postgres.js';
import { giveToPostgres, runAsPostgres } from '../../helpers/postgres-user.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let drills: Drills;
let staging: string;
let port: number;

const home = (): string => join(site.root, 'staging-host');
const stagingServer = () => {
  const { host, user } = scratchConnection({ dataDir: staging, port });
  return { host, port, user, socketDir: host };
};
const stagingHash = async () => {
  const content = (await contentOf(stagingServer(), () => 'mairie', ['mairie']))['mairie'] ?? {};
  return Object.fromEntries(Object.entries(content).filter(([what]) => what !== 'sequences'));
};

/** What a drill must leave as it was. */
async function production() {
  const { rows } = await site.query(
    `SELECT (SELECT json_agg(s) FROM (SELECT slot_name, active FROM pg_replication_slots ORDER BY 1) s) AS slots,
            (SELECT failed_count FROM pg_stat_archiver)::int AS failed,
            (SELECT count(*)::int FROM pg_database) AS databases`,
  );
  const archived = await readdir(join(site.root, 'pgb', 'repo', 'archive', 'main'), { recursive: true });
  return { ...(rows[0] as object), archived: archived.sort(), content: await site.contentHash() };
}

/** As somebody who signs off connects. */
async function asPerson(sql: string): Promise<unknown[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'qa', password: 'for qa', database: 'mairie' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The configuration with further keys of the drill. */
async function configured(more = '') {
  const keys = `host: db1, allow_same_host: true, data_dir: ${staging}, port: ${port}, engines: [pgbackrest, base, dump]`;
  await site.configure({
    clusterYaml: `    drill: { ${[keys, more].filter((one) => one !== '').join(', ')} }\n`,
    policiesYaml: `      base: { engine: basebackup, repository: local, options: { wal: receivewal } }\n`,
  });
  return loadConfig({ file: site.places.configFile });
}

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  site = await Site.create({
    policiesYaml: `      base: { engine: basebackup, repository: local, options: { wal: receivewal } }\n`,
  });
  await mkdir(home(), { mode: 0o700 });
  await giveToPostgres(home());
  staging = join(home(), 'staging');
  const config = await configured();
  drills = new Drills(hostDependencies(config, 'db1'));
  const worker = await site.startWorker();
  const clusters = { mairie: { ...config.clusters['mairie'], watch: undefined } } as unknown as Config['clusters'];
  await applyWatches(site.session, { ...config, clusters });
  await site.waitFor(
    async () => (await site.query('SELECT FROM pg_replication_slots WHERE active')).rows.length === 1,
    'the WAL is received',
  );
  await site.backUp('physical');
  await site.backUp('base');
  await site.backUp('dump');
  await site.commit();
  await site.commit();
  const [{ now = '' } = {}] = (
    await site.query(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS now`)
  ).rows as { now: string }[];
  await site.query("SELECT pg_logical_emit_message(true, 'test', 'something to archive')");
  await site.query('SELECT pg_switch_wal()');
  await site.waitFor(async () => {
    const { windows } = await runInspection<'wal'>(site.session, { kind: 'wal', cluster: 'mairie' });
    return windows.length === 2 && windows.every(({ newest }) => (newest ?? '') >= now);
  }, 'both archives have all commits');
  await worker.stop();
}, 300_000);

describe('P4: a drill restores into a place of its own', () => {
  it('P4: each engine in turn to the last commit, the engines that keep WAL to one position; production is as it was', async () => {
    const before = await production();
    const plan = await drills.plan('op-latest');
    expect(plan.restores.map(({ policy, chosen }) => [policy, chosen])).toEqual([
      ['physical', 'latest'],
      ['base', 'same-as'],
      ['dump', 'latest'],
    ]);
    const lsn = plan.restores[0]?.recovery?.stopsAt;
    expect(lsn).toMatchObject({ kind: 'lsn' });
    expect(plan.restores[1]?.recovery?.stopsAt).toEqual(lsn);
    // Found done: a second attempt shows the same plan.
    expect(await drills.plan('op-latest')).toEqual(plan);
    const hashes: object[] = [];
    for (const index of [0, 1]) {
      const restored = await drills.restore(plan, index);
      expect(restored.rtoSeconds).toBeGreaterThan(0);
      expect(restored.phases.map(({ name }) => name)).toEqual(['restore', 'replay']);
      expect(restored.bytes).toBeGreaterThan(1_000_000);
      const { rows } = await runQuery(
        stagingServer(),
        'mairie',
        `SELECT pg_is_in_recovery() AS recovery, current_setting('archive_mode') AS archive, current_setting('listen_addresses') AS listen,
                pg_get_wal_replay_pause_state() AS paused`,
      );
      expect(rows).toEqual([{ recovery: true, archive: 'off', listen: '', paused: 'paused' }]);
      hashes.push(await stagingHash());
    }
    expect(hashes[0]).toEqual(before.content);
    expect(hashes[1]).toEqual(before.content);
    await drills.restore(plan, 2);
    expect(
      (await runQuery(stagingServer(), 'mairie', 'SELECT count(*)::int AS n FROM metier.demandes_rdv')).rows,
    ).toEqual([{ n: 3000 }]);
    await drills.run('closeStaging', 'op-latest');
    expect(await processesIn(staging)).toEqual([]);
    expect(await readdir(staging)).toEqual([]);
    expect(await production()).toEqual(before);
  }, 300_000);

  it('P4: a random instant inside what can be recovered follows from the seed; another one restores another state', async () => {
    const first = await drills.plan('op-random-1', { engines: ['pgbackrest'], at: 'random', seed: '0123456789abcdef' });
    const [restore] = first.restores;
    expect(restore).toMatchObject({ chosen: 'random', target: { kind: 'time' } });
    const { from = '', to = '' } = restore?.window ?? {};
    const at = restore?.target.kind === 'time' ? restore.target.time : '';
    expect(at >= from && at <= to).toBe(true);
    const reached = await drills.restore(first, 0);
    expect(reached.reached).toContain(at);
    await drills.run('closeStaging', 'op-random-1');
    const again = await drills.plan('op-random-2', { engines: ['pgbackrest'], at: 'random', seed: '0123456789abcdef' });
    expect(again.restores[0]).toMatchObject({ target: restore?.target, window: restore?.window });
    await drills.run('closeStaging', 'op-random-2');
  }, 300_000);
});

async function planOf(operationId: string): Promise<DrillPlan> {
  return drills.plan(operationId, { engines: ['dump'] });
}

describe('P4: people look at what was restored', () => {
  it('P4: the masking program runs before anybody is let in, and nobody is where it fails; then roles of the copy come with their passwords', async () => {
    const program = join(site.root, 'mask');
    await writeFile(program, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    const masking = new Drills(hostDependencies(await configured(`mask: { argv: [${program}] }`), 'db1'));
    const plan = await masking.plan('op-mask', { engines: ['dump'] });
    await masking.restore(plan, 0);
    const open = () => masking.run('openStaging', 'op-mask', { plan: plan.digest });
    await expect(open()).rejects.toMatchObject({ type: 'tool-failed' });
    await expect(asPerson('SELECT 1')).rejects.toThrow(/ECONNREFUSED/);
    const psql = join(site.binDir, 'psql');
    await writeFile(
      program,
      `#!/bin/sh\nexec ${psql} -qXc "UPDATE metier.demandes_rdv SET motif = 'masked'; CREATE ROLE qa LOGIN PASSWORD 'for qa'; GRANT pg_read_all_data TO qa"\n`,
    );
    expect(await open()).toEqual({ connection: `host=localhost port=${port} dbname=mairie` });
    expect(await open()).toEqual({ connection: `host=localhost port=${port} dbname=mairie` });
    expect(await asPerson('SELECT DISTINCT motif FROM metier.demandes_rdv')).toEqual([{ motif: 'masked' }]);
    await masking.run('closeStaging', 'op-mask');
    expect(await processesIn(staging)).toEqual([]);
  }, 300_000);
});

describe('P4: one drill at a time in one place', () => {
  it('P4: a worker that goes away while files are restored leaves the tool; the next one goes on, and never starts half a copy', async () => {
    const plan = await drills.plan('op-resumed', { engines: ['pgbackrest'] });
    const step = { plan: plan.digest, restore: 0 };
    await drills.run('wipeStaging', 'op-resumed', step);
    await expect(drills.run('startStaging', 'op-resumed', step)).rejects.toMatchObject({ type: 'conflict' });
    const jobs = async () => {
      const operations = [...(await operationsInUse(site.places.stateDir, 600_000))];
      const own = operations.filter((one) => one.startsWith('op-resumed/'));
      return (await Promise.all(own.map((one) => readJobs(site.places.stateDir, one)))).flat();
    };
    const interrupted = drills.run('restoreStaging', 'op-resumed', step, (stop) => {
      void site.waitFor(async () => (await jobs()).length > 0, 'the restore has begun').then(stop);
    });
    await interrupted.catch(() => undefined);
    await drills.run('restoreStaging', 'op-resumed', step);
    await drills.run('startStaging', 'op-resumed', step);
    expect((await jobs()).map(({ starts }) => starts)).toEqual([1]);
    expect(await stagingHash()).toEqual(await site.contentHash());
    // Emptied again, as after a Reset: what was restored before does not count.
    await drills.run('wipeStaging', 'op-resumed', step);
    await expect(drills.run('startStaging', 'op-resumed', step)).rejects.toMatchObject({ type: 'conflict' });
    await drills.run('closeStaging', 'op-resumed');
  }, 300_000);

  it('P4: what a drill holds whose workflow has ended is released by a sweep: server, files, place and pins; nothing before', async () => {
    const plan = await drills.plan('op-ended', { engines: ['dump'] });
    await drills.restore(plan, 0);
    const context = await openClusterContext(hostDependencies(await configured(), 'db1'), 'mairie');
    const pins = async () => (await context.catalogue.state()).pins.has('op-ended');
    expect(await pins()).toBe(true);
    expect(await sweepCluster(context, async () => false)).toEqual([]);
    expect((await processesIn(staging)).length).toBeGreaterThan(0);
    const asked: string[] = [];
    expect(await sweepCluster(context, async ({ workflowId }) => (asked.push(workflowId), true))).toEqual(['op-ended']);
    expect(asked).toContain('drill/mairie/op-ended');
    expect(await processesIn(staging)).toEqual([]);
    expect(await readdir(staging)).toEqual([]);
    expect(await pins()).toBe(false);
    await planOf('op-next');
    await drills.run('closeStaging', 'op-next');
  }, 120_000);

  it('P4: a server that somebody else runs in the staging directory is left alone, and the drill refused', async () => {
    const plan = await planOf('op-foreign');
    await drills.restore(plan, 0);
    const server = stagingServer();
    await runQuery(server, 'postgres', 'CHECKPOINT');
    const pgCtl = join(site.binDir, 'pg_ctl');
    await runAsPostgres(pgCtl, ['-D', staging, '-m', 'fast', '-w', 'stop']);
    const options = `-c port=${port} -c listen_addresses= -c unix_socket_directories=${home()}`;
    await runAsPostgres(pgCtl, ['-D', staging, '-w', '-l', join(home(), 'foreign.log'), '-o', options, 'start']);
    try {
      await expect(drills.run('wipeStaging', 'op-foreign', { plan: plan.digest })).rejects.toMatchObject({
        type: expect.stringMatching(/^(conflict|path-refused)$/),
      });
      expect((await readdir(staging)).length).toBeGreaterThan(10);
    } finally {
      await runAsPostgres(pgCtl, ['-D', staging, '-m', 'fast', '-w', 'stop']);
    }
    await drills.run('closeStaging', 'op-foreign');
  }, 120_000);

  it('P4: a second drill is refused and names the first one, also after a killed worker; a released place is free', async () => {
    const plan = await planOf('op-first');
    await expect(planOf('op-second')).rejects.toMatchObject({
      type: 'conflict',
      message: expect.stringContaining('drill/mairie/op-first'),
    });
    await drills.run('closeStaging', 'op-first');
    await expect(drills.run('wipeStaging', 'op-first', { plan: plan.digest })).rejects.toMatchObject({
      type: 'conflict',
    });
    await planOf('op-third');
    await drills.run('closeStaging', 'op-third');
  }, 120_000);
});
