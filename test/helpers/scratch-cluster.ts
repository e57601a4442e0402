import { existsSync } from 'node:fs';
import { appendFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findPostgresBin } from '../../src/process/exec/find-programs.js';
import { freePort } from './ports.js';
import { runAsPostgres } from './postgres-user.js';
import { Reaper } from './reaper.js';
import { makeTempDir } from './make-temp-dir.js';
import { copyOfInitdb, initdb } from './templates.js';
import { until } from './until.js';

export interface ScratchOptions {
  /** The server's major version; the newest one here by default. */
  version?: number;
  /** An `archive_command`; `archive_mode` is then on. */
  archive?: string;
  /** Further lines of postgresql.conf. */
  settings?: Record<string, string | number>;
  /** Further options of initdb, such as `--data-checksums`. */
  initdb?: string[];
  /** With a system identifier of its own; others may be copies of one template and share theirs. */
  unrelated?: boolean;
}

/** A throwaway PostgreSQL server in a directory of its own: superuser `postgres`, no password, no fsync. */
export class ScratchCluster {
  readonly host = '127.0.0.1';
  readonly user = 'postgres';
  private readonly reaper = new Reaper();

  private constructor(
    /** Holds all that belongs to the cluster. */
    readonly root: string,
    readonly port: number,
    readonly binDir: string,
  ) {
    this.reaper.directory(root);
  }

  get dataDir(): string {
    return join(this.root, 'data');
  }

  get socketDir(): string {
    return this.root;
  }

  get logFile(): string {
    return join(this.root, 'server.log');
  }

  /** Makes the cluster and starts it. The caller removes it; `startScratchCluster` does so by itself. */
  static async create(options: ScratchOptions = {}): Promise<ScratchCluster> {
    const binDir = await findPostgresBin(options.version);
    const cluster = new ScratchCluster(await makeTempDir('pg'), await freePort(), binDir);
    try {
      const fixed = ['--locale=C.UTF-8', '--auth=trust', '--username=postgres', '--encoding=UTF8'];
      const make = options.unrelated === true ? initdb : copyOfInitdb;
      await make(binDir, [...fixed, ...(options.initdb ?? [])], cluster.dataDir);
      await cluster.configure({
        ...{ port: cluster.port, listen_addresses: '127.0.0.1', unix_socket_directories: cluster.socketDir },
        ...{ fsync: 'off', wal_level: 'replica', shared_buffers: '32MB', max_wal_size: '256MB' },
        ...(options.archive === undefined ? {} : { archive_mode: 'on', archive_command: options.archive }),
        ...options.settings,
      });
      await cluster.start();
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  /** Adds lines to postgresql.conf; the last one of a name counts. */
  async configure(settings: Record<string, string | number>): Promise<void> {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
    await appendFile(join(this.dataDir, 'postgresql.conf'), `${lines.join('\n')}\n`);
  }

  async start(): Promise<void> {
    try {
      await this.pgCtl('start', '--log', this.logFile, '--timeout', '240');
    } catch (error) {
      const log = await readFile(this.logFile, 'utf8').catch(() => '(no log)');
      throw new Error(`the scratch cluster did not start: ${log.slice(-2000)}`, { cause: error });
    }
    const pid = await this.pid();
    if (pid !== undefined) this.reaper.process(pid);
  }

  async stop(mode: 'smart' | 'fast' | 'immediate' = 'fast'): Promise<void> {
    if ((await this.pid()) !== undefined) await this.pgCtl('stop', '--mode', mode, '--timeout', '240');
  }

  /** SIGKILL to the postmaster, as a crash would; returns when it and its children are gone. */
  async kill(): Promise<void> {
    const pid = await this.pid();
    if (pid === undefined) return;
    const children = await childrenOf(pid);
    process.kill(pid, 'SIGKILL');
    for (const one of [pid, ...children]) await gone(one);
    // Where process 1 collects nobody, as in many containers, the dead postmaster stays a zombie, and its lock
    // files would name a pid that still answers. On a host they would be stale, and PostgreSQL sees that itself.
    const locks = [join(this.dataDir, 'postmaster.pid'), join(this.socketDir, `.s.PGSQL.${this.port}.lock`)];
    for (const lock of locks) if (existsSync(`/proc/${pid}`)) await rm(lock, { force: true });
  }

  /** The postmaster's pid while it lives. */
  async pid(): Promise<number | undefined> {
    const file = await readFile(join(this.dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
    const pid = Number.parseInt(file, 10);
    return Number.isInteger(pid) && (await isAlive(pid)) ? pid : undefined;
  }

  connectionString(database = 'postgres'): string {
    return `postgresql://${this.user}@${this.host}:${this.port}/${encodeURIComponent(database)}`;
  }

  /** Stops the server at once and removes all its files. */
  async remove(): Promise<void> {
    await this.stop('immediate').catch(() => this.kill());
    await rm(this.root, { recursive: true, force: true, maxRetries: 3 });
    this.reaper.done();
  }

  private async pgCtl(verb: string, ...args: string[]): Promise<void> {
    await runAsPostgres(join(this.binDir, 'pg_ctl'), [verb, '--pgdata', this.dataDir, '--silent', '--wait', ...args]);
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return list.split(' ').filter(Boolean).map(Number);
}

async function gone(pid: number): Promise<void> {
  await until(async () => !(await isAlive(pid)), `process ${pid} has ended`);
}

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // A zombie has ended: only nobody has asked for its exit code yet.
  return stat !== undefined && !/\) Z /.test(stat);
}
