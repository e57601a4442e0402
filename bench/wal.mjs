/**
 * The archived WAL of a cluster replayed from S3 by our engine `basebackup` and by pgBackRest, both restored from a backup
 * taken before it, on the same server with TLS, to the same end, in turns. Timed is from the restored files to the
 * database being open for writes; the restore of the files is told apart.
 *
 * REPRISE_BENCH_SEGMENTS (200), REPRISE_BENCH_PAIRS (3), REPRISE_BENCH_SCALE (10)
 */
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withWalPrefetch } from '../dist/activities/backup/wal-prefetch.js';
import { basebackupEngine } from '../dist/engines/basebackup/basebackup-engine.js';
import { pgbackrestEngine } from '../dist/engines/pgbackrest/pgbackrest-engine.js';
import { giveTo } from '../dist/files/directories.js';
import { configureRecovery, promoteServer } from '../dist/postgres/recovery/recovery.js';
import { waitForEndOfWal } from '../dist/postgres/recovery/recovery-wait.js';
import { makeScratchDirectory } from '../dist/postgres/server/scratch-directory.js';
import { serviceOf } from '../dist/postgres/server/service.js';
import { freePorts } from '../dist/process/exec/ports.js';
import { runProgram } from '../dist/process/exec/run-program.js';
import { resolveSecret } from '../dist/process/exec/secrets.js';
import { createJobs } from '../dist/process/jobs/supervisor.js';
import { openStorage } from '../dist/storage/open-storage.js';
import { Lab, median, seconds } from './lab.mjs';
import { s3Options, startS3 } from './s3.mjs';

const { AbortController } = globalThis;
const segments = Number(process.env.REPRISE_BENCH_SEGMENTS ?? 200);
const pairs = Number(process.env.REPRISE_BENCH_PAIRS ?? 3);
const scale = Number(process.env.REPRISE_BENCH_SCALE ?? 10);
/** As many segments at once, and as many ahead, as our engine brings. */
const AT_ONCE = 8;
const AHEAD = '512MiB';
const HOUR_MS = 3_600_000;

export function wal(say) {
  return Lab.with(async (lab) => {
    const server = await startS3(join(lab.scratch.root, 's3'), {
      tls: true,
      user: lab.scratch.user,
      buckets: ['reprise', 'pgbackrest'],
    });
    Object.assign(process.env, server.keys);
    const bench = new Replays(lab, server);
    try {
      const archived = await Promise.race([bench.prepare(say), bench.failure]);
      return await bench.compare(archived, say);
    } finally {
      await bench.close();
      await server.stop();
    }
  });
}

class Replays {
  #ended = new AbortController();

  constructor(lab, server) {
    const { scratch } = lab;
    Object.assign(this, { lab, server, scratch });
    this.failure = new Promise((_resolve, reject) => (this.failed = reject));
    this.failure.catch(() => undefined);
    const repository = { name: 's3', type: 's3', options: s3Options(server, 'reprise') };
    this.storage = openStorage(repository, { secret: resolveSecret });
    this.host = { name: 'bench', stateDir: scratch.stateDir, scratchDir: join(scratch.root, 'scratch'), heavySlots: 1 };
    this.policy = {
      ...{
        name: 'base',
        cluster: 'mairie',
        engine: 'basebackup',
        repository: 's3',
        enabled: true,
        proof: 'none',
        retention: { days: 14, minProven: 1, maxDeletions: 10 },
      },
      options: { wal: 'receivewal', compress: 1, archiveTimeoutSeconds: 120 },
    };
    this.cluster = {
      name: 'mairie',
      host: 'bench',
      databases: ['mairie'],
      connection: scratch.connection,
      dataDir: scratch.dataDir,
      service: { kind: 'pg_ctl' },
      catalogue: 's3',
      objectives: {},
      policies: { base: this.policy },
      recovery: { oldData: { mode: 'aside' }, targets: {}, steps: ['restore'] },
      hooks: {},
      checks: {},
      approvals: {},
    };
  }

  /** A context as an activity makes it. */
  context(operationId, more = {}) {
    const { host, policy, cluster, storage } = this;
    const { user, pgBin, stateDir } = this.scratch;
    const signal = this.#ended.signal;
    const jobs = createJobs({
      stateDir,
      operationId,
      user,
      signal,
      leaveOnAbort: () => false,
      report: () => undefined,
    });
    return {
      ...{ host, policy, cluster, storage, operationId, user, pgBin, signal, jobs },
      report: () => undefined,
      now: () => new Date(),
      ...more,
    };
  }

  /** Backups of both kinds, and then WAL in both archives; returns its end. */
  async prepare(say) {
    const { lab, scratch } = this;
    await makeScratchDirectory(this.host.scratchDir, scratch.user);
    await lab.fill(scale);
    const conf = await this.writeConf('archive', scratch.dataDir);
    await this.pgbackrest(conf, 'stanza-create');
    await lab.sql(`ALTER SYSTEM SET archive_command = 'pgbackrest --config=${conf} --stanza=bench archive-push %p'`);
    await appendFile(join(scratch.dataDir, 'pg_hba.conf'), 'host replication all 127.0.0.1/32 scram-sha-256\n');
    await lab.sql('SELECT pg_reload_conf()');
    this.receiving = this.receive();
    while ((await lab.sql('SELECT FROM pg_replication_slots WHERE active')).length === 0) await sleep(100);
    const [made] = await basebackupEngine.backup(this.context('backup'), {
      type: 'full',
      startedAt: new Date().toISOString(),
    });
    this.backup = { id: `mairie/base/${made.label}`, ...made };
    await this.pgbackrest(conf, 'backup', '--type=full');
    const [{ number: first }] = await lab.sql("SELECT (pg_current_wal_lsn() - '0/0') / 16777216 AS number");
    for (let done = 0; done < segments;) {
      await lab.sql('UPDATE public.pgbench_accounts SET abalance = abalance + 1', 'mairie');
      await lab.sql('VACUUM public.pgbench_accounts', 'mairie');
      const [{ number }] = await lab.sql("SELECT (pg_current_wal_lsn() - '0/0') / 16777216 AS number");
      done = Math.floor(Number(number)) - Math.floor(Number(first));
      say(`${done} of ${segments} segments`);
    }
    await lab.sql('CREATE TABLE public.last_of_all (x int)', 'mairie');
    const [{ lsn }] = await lab.sql('SELECT pg_current_wal_flush_lsn()::text AS lsn');
    const last = await lab.closeSegment();
    await this.archived(last);
    this.#ended.abort(new Error('all is archived'));
    await this.receiving;
    this.#ended = new AbortController();
    await this.service(scratch.dataDir).stop('fast');
    return { lsn, last };
  }

  /** As the activity of a worker does. */
  async receive() {
    const { signal } = this.#ended;
    await basebackupEngine.receiver.receive(this.context('archive')).catch((error) => {
      if (!signal.aborted) this.failed(error);
    });
  }

  async archived(last) {
    for (let there = false; !there; await sleep(200)) {
      const [{ pushed }] = await this.lab.sql('SELECT last_archived_wal AS pushed FROM pg_stat_archiver');
      there = (pushed ?? '') >= last && (await this.storage.stat(`mairie/base/wal/${last}.gz`)) !== null;
    }
  }

  async compare(end, say) {
    const ways = { ours: (name) => this.ours(name, end), pgbackrest: (name) => this.theirs(name, end) };
    const times = { ours: [], pgbackrest: [] };
    const restores = { ours: [], pgbackrest: [] };
    for (let pair = 0; pair < pairs; pair++) {
      // Who is first takes turns.
      for (const way of pair % 2 === 0 ? ['ours', 'pgbackrest'] : ['pgbackrest', 'ours']) {
        const { restore, replay } = await ways[way](`${way}-${pair}`);
        times[way].push(replay);
        restores[way].push(restore);
        say(`${way} ${pair + 1}/${pairs}: ${replay.toFixed(1)} s (and ${restore.toFixed(1)} s for the files)`);
      }
    }
    return [
      {
        name: `recovery that replays ${segments} WAL segments from S3 against pgBackRest's (median of ${pairs})`,
        unit: 's',
        value: median(times.ours),
        limit: median(times.pgbackrest),
        detail: { times, restores },
      },
    ];
  }

  async ours(name, end) {
    const dataDir = join(this.scratch.root, name);
    const context = this.context(name);
    // A plan binds it, which belongs to its approval and not to the restore.
    const content = await basebackupEngine.bindBackup(context, this.backup, [this.backup]);
    const restore = await seconds(() =>
      basebackupEngine.physical.restoreFiles(context, {
        backup: this.backup,
        content,
        dataDir,
        tablespaceDir: `${dataDir}.tablespaces`,
      }),
    );
    return {
      restore,
      replay: await this.replay(
        basebackupEngine.physical,
        basebackupEngine.physical.restoreCommand(context),
        context,
        dataDir,
        end,
      ),
    };
  }

  async theirs(name, end) {
    const dataDir = join(this.scratch.root, name);
    await makeScratchDirectory(dataDir, this.scratch.user);
    const conf = await this.writeConf(name, dataDir);
    const context = this.context(name, { policy: { ...this.policy, options: { stanza: 'bench', config: conf } } });
    const restore = await seconds(() => this.pgbackrest(conf, 'restore'));
    return {
      restore,
      replay: await this.replay(
        pgbackrestEngine.physical,
        `pgbackrest --config=${conf} --stanza=bench archive-get %f "%p"`,
        context,
        dataDir,
        end,
      ),
    };
  }

  /** Seconds from the restored files to the database being open for writes; then all of it is removed. */
  async replay(physical, restoreCommand, context, dataDir, { lsn }) {
    const { user, connection: source } = this.scratch;
    const [port] = await freePorts(1);
    const socketDir = `${dataDir}.sock`;
    await makeScratchDirectory(socketDir, user);
    const service = this.service(dataDir);
    const connection = { ...source, port };
    await this.admit(dataDir);
    try {
      return await seconds(async () => {
        await withWalPrefetch(physical, context, dataDir, async (signal) => {
          const request = {
            dataDir,
            user,
            target: { kind: 'latest' },
            salvageDir: null,
            timeline: 'latest',
            clone: true,
            port,
            extra: { unix_socket_directories: socketDir },
          };
          await configureRecovery({
            ...request,
            restoreCommand,
            restoreBeginningCommand: physical.restoreBeginningCommand?.(context),
          });
          await service.start();
          await waitForEndOfWal(connection, lsn, { service, signal, pollMs: 50 });
        });
        await promoteServer(connection);
      });
    } finally {
      await service.stop('immediate');
      for (const path of [dataDir, socketDir, `${dataDir}.spool`]) await rm(path, { recursive: true, force: true });
    }
  }

  async admit(dataDir) {
    const file = join(dataDir, 'pg_hba.conf');
    await writeFile(file, 'local all all trust\nhost all all 127.0.0.1/32 trust\n', { mode: 0o600 });
    await giveTo(file, this.scratch.user);
  }

  service(dataDir) {
    return serviceOf({ dataDir, service: { kind: 'pg_ctl' } }, this.scratch.pgBin, this.scratch.user);
  }

  async writeConf(name, dataDir) {
    const { scratch, server } = this;
    const below = async (part) => {
      const path = join(scratch.root, `${name}.${part}`);
      await makeScratchDirectory(path, scratch.user);
      return path;
    };
    const conf = join(scratch.root, `${name}.conf`);
    const lines = {
      'repo1-type': 's3',
      'repo1-path': '/repo',
      'repo1-s3-bucket': 'pgbackrest',
      'repo1-s3-endpoint': '127.0.0.1',
      // It knows names of hosts only in a certificate, and takes the first address of a name only.
      'repo1-storage-verify-tls': 'n',
      'repo1-s3-region': 'us-east-1',
      'repo1-s3-uri-style': 'path',
      'repo1-s3-key': server.keys.AWS_ACCESS_KEY_ID,
      'repo1-s3-key-secret': server.keys.AWS_SECRET_ACCESS_KEY,
      'repo1-storage-port': server.port,
      'compress-type': 'gz',
      'compress-level': 1,
      'start-fast': 'y',
      'archive-async': 'y',
      'archive-get-queue-max': AHEAD,
      'process-max': 2,
      'spool-path': await below('spool'),
      'log-path': await below('logs'),
      'lock-path': await below('lock'),
    };
    const text = `[global]\n${Object.entries(lines)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(
        '',
      )}\n[global:archive-get]\nprocess-max=${AT_ONCE}\n\n[bench]\npg1-path=${dataDir}\npg1-port=${scratch.connection.port}\npg1-socket-path=${scratch.socketDir}\npg1-user=${scratch.connection.user}\n`;
    await writeFile(conf, text, { mode: 0o600 });
    await giveTo(conf, scratch.user);
    return conf;
  }

  pgbackrest(conf, ...args) {
    return runProgram(['pgbackrest', `--config=${conf}`, '--stanza=bench', ...args], {
      user: this.scratch.user,
      timeoutMs: HOUR_MS,
    });
  }

  async close() {
    this.#ended.abort(new Error('the bench ended'));
    await this.receiving;
  }
}
