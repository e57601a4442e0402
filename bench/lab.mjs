/** A cluster with pgbench's data, its archive, an embedded Temporal server and workers: all below one directory. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { connectTemporal } from '../dist/client/connect.js';
import { approve } from '../dist/client/decide.js';
import { startBackup, startRecovery } from '../dist/client/start.js';
import { loadConfig } from '../dist/config/load.js';
import { createCluster } from '../dist/demo/cluster.js';
import { Owned } from '../dist/demo/owned.js';
import { makeScratch } from '../dist/demo/scratch.js';
import { startTemporal } from '../dist/embedded/temporal-server.js';
import { startWorkerProcess } from '../dist/embedded/worker-process.js';
import { withClient } from '../dist/postgres/connection/with-client.js';
import { makePrivateDirectory } from '../dist/files/directories.js';
import { runProgram } from '../dist/process/exec/run-program.js';

const mainFile = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const HOUR_MS = 3_600_000;

/** One scale of pgbench is about 15 MB; 70 are a little more than 1 GB. */
export const scale = Number(process.env.REPRISE_BENCH_SCALE ?? 70);
export const pairs = Number(process.env.REPRISE_BENCH_PAIRS ?? 5);

const ENGINES = ['physical', 'logical'];

/** By REPRISE_BENCH_ENGINE, as `lab.physical` and `lab.logical`. */
export function chosenEngines() {
  const engine = process.env.REPRISE_BENCH_ENGINE ?? 'both';
  if (engine === 'both') return ENGINES;
  if (ENGINES.includes(engine)) return [engine];
  throw new Error(`REPRISE_BENCH_ENGINE is both, logical or physical, not ${engine}`);
}

export const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Seconds of one run. */
export async function seconds(run) {
  const started = performance.now();
  await run();
  return (performance.now() - started) / 1000;
}

export class Lab {
  #owned = new Owned();

  /** Runs with a lab of its own and removes it, whatever happens; Ctrl-C too. */
  static async with(run) {
    const lab = new Lab();
    const interrupted = new Promise((_resolve, reject) => {
      for (const signal of ['SIGINT', 'SIGTERM'])
        process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    });
    const work = lab.#open().then(() => run(lab));
    try {
      return await Promise.race([work, interrupted]);
    } finally {
      await lab.#owned.removeAll();
      // What was just being started when it was interrupted is ended by whoever starts it. Calls under way end first: one
      // that is open when its connection closes throws later, where nobody catches it.
      await Promise.race([work.catch(() => undefined), sleep(100_000)]);
      await lab.session?.close();
    }
  }

  async #open() {
    this.scratch = await makeScratch(process.env.REPRISE_BENCH_DIR);
    this.#owned.place(this.scratch);
    await createCluster(this.scratch);
    await this.pgbackrest('stanza-create');
    await this.tool('createdb', ['mairie']);
  }

  /** Fills the database `mairie` with pgbench's tables; returns its size in bytes. */
  async fill(size = scale) {
    await this.tool('pgbench', ['--initialize', '--quiet', `--scale=${size}`, 'mairie']);
    await this.sql('CHECKPOINT');
    return Number((await this.sql("SELECT pg_database_size('mairie') AS bytes"))[0].bytes);
  }

  /** Starts Temporal and a worker for these clusters; each is a piece of reprise.yml. */
  async serve(clusters, more = {}) {
    const { scratch } = this;
    await writeFile(
      scratch.configFile,
      stringify({
        version: 1,
        hosts: { bench: { state_dir: scratch.stateDir, scratch_dir: join(scratch.root, 'restores'), ...more.host } },
        repositories: {
          local: { type: 'directory', path: join(scratch.root, 'backups'), host: 'bench' },
          physical: { type: 'directory', path: join(scratch.root, 'pgbackrest'), host: 'bench' },
        },
        clusters,
        contacts: { bench: { name: 'the bench' } },
      }),
    );
    this.config = await loadConfig({ file: scratch.configFile });
    this.directory = join(scratch.root, 'servers');
    await makePrivateDirectory(this.directory);
    let temporal;
    await this.#owned.start('Temporal server', async () => {
      temporal = await startTemporal({ stateDir: this.directory, databaseFile: join(this.directory, 'temporal.db') });
      return temporal.identity;
    });
    this.temporal = temporal;
    this.session = await connectTemporal({
      address: temporal.address,
      namespace: temporal.namespace,
      webUi: temporal.webUi,
      origin: 'flag',
      connection: {},
    });
    await this.startWorker();
  }

  async startWorker() {
    const { address, namespace } = this.temporal;
    this.worker = await this.#owned.start('worker', () =>
      startWorkerProcess({
        config: this.config,
        mainFile,
        log: { level: 'warn', format: 'text' },
        directory: this.directory,
        address,
        namespace,
      }),
    );
    return this.worker;
  }

  /** The cluster of the bench, with one policy; `more` are further keys. */
  cluster(policy, more = {}) {
    const { connection, dataDir } = this.scratch;
    return {
      host: 'bench',
      connection: {
        host: connection.host,
        port: connection.port,
        user: connection.user,
        passfile: connection.passfile,
      },
      data_dir: dataDir,
      service: { kind: 'pg_ctl' },
      databases: ['mairie'],
      catalogue: 'local',
      backups: { policy: { proof: 'none', retention: { days: 30 }, ...policy } },
      recovery: { steps: ['restore', 'run-checks'] },
      approvals: { recover: { approvers: 1, from: ['bench'] } },
      ...more,
    };
  }

  get logical() {
    // pg_dump's own level takes most of its time to compress: level 1 leaves less to hide behind.
    return { engine: 'logical', repository: 'local', options: { compress: 1 } };
  }

  get physical() {
    return {
      engine: 'pgbackrest',
      repository: 'physical',
      options: { stanza: this.scratch.stanza, config: this.scratch.pgbackrestConf },
    };
  }

  /** A full backup through its workflow, with the seconds of its phases. */
  async backUp(cluster = 'mairie') {
    const { handle } = await startBackup(this.session, {
      cluster,
      requester: 'bench',
      order: { policy: 'policy', type: 'full' },
    });
    const { backups, skipped } = await handle.result();
    if (backups.length === 0) throw new Error(`no backup was made: ${skipped?.reason}`);
    const { phases } = await handle.query('status');
    return { backups, phases };
  }

  /** A recovery in place to the latest, approved at once; `meanwhile` is given the work after the approval. */
  async recover(target, meanwhile = async () => undefined) {
    const work = await startRecovery(this.session, {
      cluster: 'mairie',
      requester: 'somebody',
      order: { policy: 'policy', target, into: 'in-place', pause: false },
    });
    const result = work.handle.result();
    result.catch(() => undefined);
    let plan = null;
    for (const limit = Date.now() + 120_000; plan === null && Date.now() < limit; await sleep(100))
      plan = await work.handle.query('plan').catch(() => null);
    if (plan === null)
      throw new Error('no plan was made: ' + (await result.catch((error) => error.cause?.message ?? error.message)));
    await approve(this.session, work.workflowId, { plan: plan.digest, by: 'bench', reason: 'bench' });
    await meanwhile(work);
    const { outcome } = await result;
    return outcome;
  }

  /** Removes the databases that recoveries kept, or made beside the live one. */
  async dropOld() {
    const olds = await this.sql("SELECT datname FROM pg_database WHERE datname <> 'mairie' AND datname LIKE 'mairie%'");
    for (const { datname } of olds) await this.sql(`DROP DATABASE "${datname}"`);
  }

  /** One of PostgreSQL's programs, by hand. */
  tool(name, args, env = {}) {
    const { pgBin, user, connection } = this.scratch;
    const libpq = {
      PGHOST: connection.host,
      PGPORT: String(connection.port),
      PGUSER: connection.user,
      PGPASSFILE: connection.passfile,
    };
    return runProgram([join(pgBin, name), ...args], { user, env: { ...libpq, ...env }, timeoutMs: HOUR_MS });
  }

  pgbackrest(...args) {
    const { user, pgbackrestConf, stanza } = this.scratch;
    return runProgram(['pgbackrest', `--config=${pgbackrestConf}`, `--stanza=${stanza}`, ...args], {
      user,
      timeoutMs: HOUR_MS,
    });
  }

  as(...argv) {
    return runProgram(argv, { user: this.scratch.user, timeoutMs: HOUR_MS });
  }

  /** Closes the WAL segment being written, and returns its name. A record comes first: one with nothing new in it is not closed. */
  async closeSegment() {
    const [{ segment }] = await this.sql("SELECT pg_walfile_name(pg_create_restore_point('bench') - 1) AS segment");
    await this.sql('SELECT pg_switch_wal()');
    return segment;
  }

  sql(text, database = 'postgres') {
    return withClient(this.scratch.connection, database, async (client) => (await client.query(text)).rows);
  }
}

/** CPU milliseconds of a process itself, without its children (proc(5): utime and stime, in ticks of 10 ms). */
export async function cpuMs(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Most resident memory a process ever had, in MB (proc(5): VmHWM). */
export async function peakMb(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
