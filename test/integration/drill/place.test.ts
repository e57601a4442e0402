import { execFile } from 'node:child_process';
import { mkdir, readdir, statfs, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ApplicationFailure } from '@temporalio/common';
import pg from 'pg';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { openClusterContext } from '../../../src/activities/cluster-context.js';
import { sweepCluster } from '../../../src/activities/sweep.js';
import { loadConfig } from '../../../src/config/load.js';
import { scratchConnection } from '../../../src/postgres/server/scratch-cluster.js';
import { processesIn, readPostmaster } from '../../../src/postgres/server/postmaster.js';
import { operationsInUse, readJobs } from '../../../src/process/jobs/supervisor.js';
import { openTemporaryInstances } from '../../../src/records/temporary-instances.js';
import { hostDependencies } from '../../../src/worker/dependencies.js';
import { contentOf } from '../../contract/engine-fixture.js';
import { Drills } from '../../helpers/drills.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { tempDir } from '../../helpers/temp.js';
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

const run = promisify(execFile);
const NOBODY = 65_534;

/** Whether anything listens on the port of the drill. */
function answers(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
    // What takes no connection does not answer.
    socket.setTimeout(10_000, () => {
      socket.destroy();
      resolve(false);
    });
  });
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
async function configured(more = '', dataDir = staging) {
  const keys = `host: db1, allow_same_host: true, data_dir: ${dataDir}, port: ${port}, engines: [pgbackrest, dump]`;
  await site.configure({
    clusterYaml: `    drill: { ${[keys, more].filter((one) => one !== '').join(', ')} }\n`,
  });
  return loadConfig({ file: site.places.configFile });
}

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  site = await Site.create();
  await mkdir(home(), { mode: 0o700 });
  await giveToPostgres(home());
  staging = join(home(), 'staging');
  drills = new Drills(hostDependencies(await configured(), 'db1'));
  const worker = await site.startWorker();
  await site.backUp('physical');
  await site.backUp('dump');
  await worker.stop();
});

/** A test that fails keeps no other from its place. */
afterEach(async () => {
  const { all } = openTemporaryInstances(site.places.stateDir);
  for (const { operationId } of await all()) await drills.run('closeStaging', operationId).catch(() => undefined);
});

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
  });
});

describe('P4: a staging server that is half made', () => {
  it('P4: nobody but its owner reaches it before it is opened, and nothing answers after it was closed, though its postmaster does not react', async () => {
    const reached: string[] = [];
    const isOver = new AbortController();
    const sampling = (async () => {
      for (; !isOver.signal.aborted; await sleep(5))
        for (const host of ['127.0.0.1', '::1']) if (await answers(host)) reached.push(host);
    })();
    const plan = await drills.plan('op-unreached', { engines: ['pgbackrest'] });
    try {
      await drills.restore(plan, 0);
      const { socketDir } = stagingServer();
      await expect(
        run('psql', ['-XAtqc', 'SELECT 1', `host=${socketDir} port=${port} user=postgres dbname=postgres`], {
          uid: NOBODY,
          gid: NOBODY,
        }),
      ).rejects.toThrow(/Permission denied/);
    } finally {
      isOver.abort();
      await sampling;
    }
    expect(reached).toEqual([]);
    await drills.run('openStaging', 'op-unreached', { plan: plan.digest });
    expect(await answers('127.0.0.1')).toBe(true);
    const { pid = 0 } = (await readPostmaster(staging)) ?? {};
    process.kill(pid, 'SIGSTOP');
    await drills.run('closeStaging', 'op-unreached');
    expect(await processesIn(staging)).toEqual([]);
    expect(await readdir(staging)).toEqual([]);
    expect(await answers('127.0.0.1')).toBe(false);
  });

  it('P4: backends that outlive a killed postmaster keep neither the next start nor the clean-up from their work', async () => {
    const plan = await drills.plan('op-orphans', { engines: ['dump'] });
    const step = { plan: plan.digest, restore: 0 };
    await drills.restore(plan, 0);
    const orphan = async (): Promise<void> => {
      const { pid = 0 } = (await readPostmaster(staging)) ?? {};
      const backends = (await processesIn(staging)).filter((one) => one !== pid);
      // What is stopped does not notice.
      process.kill(backends[0] ?? 0, 'SIGSTOP');
      process.kill(pid, 'SIGKILL');
      await site.waitFor(async () => (await processesIn(staging)).length === 1, 'one backend is left');
    };
    await orphan();
    await drills.run('startStaging', 'op-orphans', step);
    expect((await readPostmaster(staging))?.alive).toBe(true);
    await orphan();
    await drills.run('closeStaging', 'op-orphans');
    expect(await processesIn(staging)).toEqual([]);
    expect(await readdir(staging)).toEqual([]);
  });

  it('P4, F6: a staging disk that is full while a dump is restored fails the drill, with a hint, and is emptied', async () => {
    const small = await tempDir('small-staging');
    await run('mount', ['-t', 'tmpfs', '-o', 'size=400m,mode=0700', 'reprise-test', small]);
    try {
      await giveToPostgres(small);
      const dataDir = join(small, 'staging');
      const onSmall = new Drills(hostDependencies(await configured('', dataDir), 'db1'));
      const plan = await onSmall.plan('op-full', { engines: ['dump'] });
      const step = { plan: plan.digest, restore: 0 };
      await onSmall.run('wipeStaging', plan.operationId, step);
      const { bavail, bsize } = await statfs(small);
      await writeFile(join(small, 'filler'), Buffer.alloc(bavail * bsize - 3_000_000));
      const failure = await onSmall.run('restoreStaging', plan.operationId, step).then(
        () => null,
        (error: unknown) => error,
      );
      expect(failure).toMatchObject({
        type: expect.stringMatching(/^(disk|storage)-full$/),
        nonRetryable: true,
        message: expect.stringMatching(/full|no space/),
      });
      expect((failure as ApplicationFailure).details).toEqual([{ hint: expect.stringMatching(/./) }]);
      await onSmall.run('closeStaging', plan.operationId);
      expect(await readdir(dataDir)).toEqual([]);
      expect(await processesIn(dataDir)).toEqual([]);
    } finally {
      await run('umount', ['-l', small]);
    }
  });
});

describe('P4: what a drill holds', () => {
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
    const restored = (await contentOf(stagingServer(), () => 'mairie', ['mairie']))['mairie'];
    expect(restored).toMatchObject(await site.contentHash());
    // Emptied again, as after a Reset: what was restored before does not count.
    await drills.run('wipeStaging', 'op-resumed', step);
    await expect(drills.run('startStaging', 'op-resumed', step)).rejects.toMatchObject({ type: 'conflict' });
    await drills.run('closeStaging', 'op-resumed');
  });

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
    await drills.plan('op-next', { engines: ['dump'] });
    await drills.run('closeStaging', 'op-next');
  });

  it('P4: a server that somebody else runs in the staging directory is left alone, and the drill refused', async () => {
    const plan = await drills.plan('op-foreign', { engines: ['dump'] });
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
  });
});
