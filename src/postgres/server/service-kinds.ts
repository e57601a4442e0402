import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ServiceConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { createFileAtomic } from '../../files/atomic-file.js';
import { pathExists } from '../../files/paths.js';
import { runProgram } from '../../process/exec/run-program.js';
import { withoutNetwork } from '../../process/exec/without-network.js';
import type { OsUser } from '../../process/jobs/jobs.js';

/** The kind of service that the configuration names, for one data directory. */
export function serviceKind(config: ServiceConfig, place: ServicePlace): ServiceKind {
  switch (config.kind) {
    case 'pg_ctl':
      return pgCtlService(place);
    case 'pg_ctlcluster':
      return pgCtlClusterService(config);
    case 'hook':
      return hookService(config, place);
  }
}

export type StopMode = 'fast' | 'immediate';

/** How one kind of service is started and stopped; whether it did is checked by `Service`. */
export interface ServiceKind {
  /** File the server's first words go to. */
  readonly logFile: string;
  /** Returns when the server is ready, or at the latest when it is on its way. */
  start(settings: Readonly<Record<string, string>>, timeoutSeconds: number): Promise<void>;
  /** Returns when the server was asked to stop; `Service` waits until it is gone. */
  stop(mode: StopMode, timeoutSeconds: number): Promise<void>;
}

/** What a kind of service is made from. */
export interface ServicePlace {
  readonly dataDir: string;
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly logFile?: string;
  /** Where the host can, the server has no network; only for `pg_ctl`. */
  readonly withoutNetwork?: boolean;
}

/** Settings for the server's command line; each `-c` is quoted for the shell that pg_ctl starts. */
function serverOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!/^[a-z_][a-z0-9_.]*$/i.test(name))
        throw new RepriseError('internal', `'${name}' is no setting`, 'Correct the name.');
      return `-c '${name}=${value.replaceAll("'", `'\\''`)}'`;
    })
    .join(' ');
}

/**
 * `pg_ctl`: starts the server in a session of its own (setsid) with its output in a file, so that it outlives the
 * worker. It stays in the worker's cgroup: under systemd the worker's unit needs `KillMode=process`, or the server is
 * better started by `pg_ctlcluster` or a hook that calls systemd.
 */
function pgCtlService(place: ServicePlace): ServiceKind {
  const { dataDir, pgBin, user } = place;
  const logFile = place.logFile ?? join(dirname(dataDir), `${basename(dataDir)}.log`);
  const pgCtl = async (seconds: number, ...args: string[]): Promise<void> => {
    const argv = [join(pgBin, 'pg_ctl'), ...args, '-D', dataDir, '-s', '-t', String(seconds)];
    const prefix = place.withoutNetwork === true && args[0] === 'start' ? await withoutNetwork(user) : null;
    const timeoutMs = (seconds + 10) * 1000;
    await (prefix === null
      ? runProgram(argv, { user, timeoutMs })
      : runProgram([...prefix, ...argv], { timeoutMs, env: user === null ? {} : { HOME: user.home } }));
  };
  return {
    logFile,
    start: async (settings, seconds) => {
      await prepareLog(logFile, place);
      // A configuration that was copied along may still name the directory it came from.
      await pgCtl(seconds, 'start', '-w', '-l', logFile, '-o', serverOptions({ data_directory: dataDir, ...settings }));
    },
    // pg_ctl would wait for a zombie: the caller checks for living processes instead.
    stop: (mode, seconds) => pgCtl(seconds, 'stop', '-W', '-m', mode),
  };
}

/** Creates the log where only root may write beside the data directory, and gives it to the server's user. */
async function prepareLog(logFile: string, { user }: ServicePlace): Promise<void> {
  if (await pathExists(logFile)) return;
  await mkdir(dirname(logFile), { recursive: true, mode: 0o700 });
  await createFileAtomic(logFile, '', user);
}

type PgCtlCluster = Extract<ServiceConfig, { kind: 'pg_ctlcluster' }>;

/**
 * Debian's `pg_ctlcluster`. It is run as the worker itself: root's calls it hands on to systemd, which keeps the server
 * out of the worker's cgroup, or else drops to the cluster's owner by itself.
 */
function pgCtlClusterService({ version, name }: PgCtlCluster): ServiceKind {
  const run = async (seconds: number, ...args: string[]): Promise<void> => {
    await runProgram(['pg_ctlcluster', version, name, ...args], {
      timeoutMs: (seconds + 10) * 1000,
      leavesProcesses: true,
    });
  };
  return {
    logFile: `/var/log/postgresql/postgresql-${version}-${name}.log`,
    start: (settings, seconds) =>
      run(seconds, 'start', ...(Object.keys(settings).length > 0 ? ['-o', serverOptions(settings)] : [])),
    stop: (mode, seconds) => run(seconds, 'stop', '-m', mode),
  };
}

type Hook = Extract<ServiceConfig, { kind: 'hook' }>;

/** The operator's own commands, run as the worker's user; what needs more goes through sudoers rules. */
function hookService(config: Hook, place: ServicePlace): ServiceKind {
  const { dataDir } = place;
  return {
    logFile: place.logFile ?? join(dirname(dataDir), `${basename(dataDir)}.log`),
    start: async (settings, seconds) => {
      if (Object.keys(settings).length > 0) {
        throw new RepriseError(
          'capability-missing',
          'a service of kind hook takes no settings for one start',
          'Write them to postgresql.auto.conf.',
        );
      }
      await runProgram(config.start, { timeoutMs: seconds * 1000, leavesProcesses: true });
    },
    stop: async (_mode, seconds) => {
      await runProgram(config.stop, { timeoutMs: seconds * 1000, leavesProcesses: true });
    },
  };
}
