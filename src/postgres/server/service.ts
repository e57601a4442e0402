import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { runProgram } from '../../process/exec/run-program.js';
import { recoveryFailure } from '../recovery/recovery-failure.js';
import { processesIn, readPostmaster } from './postmaster.js';
import { logFiles, logTail, markLogs } from './server-log.js';
import type { LogMark } from './server-log.js';
import type { StopMode } from './service-kinds.js';
import { serviceKind } from './service-kinds.js';
import { pathExists } from '../../files/paths.js';

/** Starts and stops the server of one data directory. All of it is idempotent. */
export interface Service {
  readonly dataDir: string;
  /** By the lock file and the process it names; a dead postmaster's leftovers count as stopped. */
  status(): Promise<'running' | 'stopped'>;
  /**
   * Starts and waits until connections are taken: ready, or consistent as a hot standby.
   * @throws RepriseError `service-failed` with the end of the server's log.
   */
  start(options?: StartOptions): Promise<void>;
  /** Stops and waits until the postmaster and all its backends are gone. */
  stop(mode: StopMode, timeoutSeconds?: number): Promise<void>;
  reload(): Promise<void>;
  /**
   * Promotes a server in recovery by pg_ctl, which needs no right within the database.
   * @throws RepriseError `tool-failed` where it did not happen in that time.
   */
  promote(timeoutSeconds: number): Promise<void>;
  /** Last lines of the server's log since the last start by this object, all where it did not start it. */
  logTail(): Promise<string>;
}

export interface StartOptions {
  /** Default 300. A recovery that has not become consistent by then goes on; another call waits again. */
  readonly timeoutSeconds?: number;
  /** For this start only, before all configuration files; not for hooks. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface ServiceTarget {
  readonly service?: ServiceConfig;
  readonly dataDir?: string;
  /** Default: beside the data directory, named after it. */
  readonly logFile?: string;
  /** Where the host can, the server has no network; only for `pg_ctl`. */
  readonly withoutNetwork?: boolean;
}

const POLL_MS = 100;
const STOP_SECONDS = 120;
/** How long a start command may be back before there is a living postmaster. */
const GRACE_MS = 10_000;

/** @throws RepriseError `config-invalid` where the cluster names no data directory. A missing `service` means pg_ctl. */
export function serviceOf(cluster: ServiceTarget, pgBin: string, user: OsUser | null): Service {
  const { dataDir } = cluster;
  if (dataDir === undefined) {
    throw new RepriseError(
      'config-invalid',
      'the cluster has no data_dir, so its server cannot be started or stopped',
      'Add data_dir: and service: to the cluster.',
    );
  }
  const kind = serviceKind(cluster.service ?? { kind: 'pg_ctl' }, {
    ...{ dataDir, pgBin, user, logFile: cluster.logFile },
    withoutNetwork: cluster.withoutNetwork,
  });
  let marks: LogMark[] = [];
  const files = (): Promise<string[]> => logFiles(dataDir, kind.logFile);
  const tail = async (): Promise<string> => logTail(await files(), marks);
  const status = async (): Promise<'running' | 'stopped'> =>
    (await readPostmaster(dataDir))?.alive ? 'running' : 'stopped';

  const start = async (options: StartOptions = {}): Promise<void> => {
    const seconds = options.timeoutSeconds ?? 300;
    const deadline = Date.now() + seconds * 1000;
    let problem: unknown;
    if ((await status()) === 'stopped') {
      await removeDeadLock(dataDir);
      marks = await markLogs(await files());
      await kind.start(options.settings ?? {}, seconds).catch((error: unknown) => (problem = error));
    }
    // A start command that failed may still have returned too early: then a postmaster lives.
    const grace = Date.now() + (problem === undefined ? GRACE_MS : 0);
    for (;;) {
      options.signal?.throwIfAborted();
      const postmaster = await readPostmaster(dataDir);
      if (postmaster?.alive && /^(ready|standby)/.test(postmaster.status)) return;
      if (!postmaster?.alive && Date.now() >= grace) throw startFailed(problem, await tail());
      if (Date.now() >= deadline) throw startLate(seconds, await tail());
      await sleep(POLL_MS);
    }
  };

  const stop = async (mode: StopMode, seconds = STOP_SECONDS): Promise<void> => {
    if ((await status()) === 'running') {
      await kind.stop(mode, seconds).catch(async (error: unknown) => {
        // It may have ended by itself in between.
        if ((await status()) === 'running') throw error;
      });
    }
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const left = await processesIn(dataDir);
      if (left.length === 0) return;
      if (Date.now() >= deadline) {
        throw new RepriseError(
          'service-failed',
          `the server of ${dataDir} did not stop within ${seconds} s`,
          `See why these processes are still running: ${left.join(', ')}.`,
        );
      }
      await sleep(POLL_MS);
    }
  };

  const reload = async (): Promise<void> => {
    await runProgram([join(pgBin, 'pg_ctl'), 'reload', '-D', dataDir, '-s'], { user });
  };
  const promote = async (seconds: number): Promise<void> => {
    await runProgram([join(pgBin, 'pg_ctl'), 'promote', '-w', '-D', dataDir, '-s', '-t', String(seconds)], {
      user,
      timeoutMs: (seconds + 10) * 1000,
    });
  };
  return { dataDir, status, start, stop, reload, promote, logTail: tail };
}

/**
 * Removes a lock file that names a process which is not this server: PostgreSQL only checks whether the number is in use,
 * also by a zombie or another process, and would refuse to start. Never while anything still works in the directory.
 */
async function removeDeadLock(dataDir: string): Promise<void> {
  const postmaster = await readPostmaster(dataDir);
  if (postmaster === null || postmaster.alive || !(await pathExists(`/proc/${postmaster.pid}`))) return;
  if ((await processesIn(dataDir)).length > 0) return;
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
  const socketLock = join(postmaster.socketDir, `.s.PGSQL.${postmaster.port}.lock`);
  const owner = await readFile(socketLock, 'utf8').catch(() => '');
  if (Number.parseInt(owner, 10) === postmaster.pid) await rm(socketLock, { force: true });
}

function startFailed(problem: unknown, tail: string): RepriseError {
  if (isRepriseError(problem) && problem.code !== 'tool-failed') return problem;
  const ended = recoveryFailure(tail);
  if (ended !== null) return ended;
  const fatal = tail.split('\n').filter((line) => /FATAL|PANIC/.test(line));
  const reason = fatal.at(-1) ?? (problem instanceof Error ? problem.message : 'it ended at once');
  return new RepriseError(
    'service-failed',
    `the server did not start: ${reason}`,
    'Correct what the end of its log names, then try again.',
    { logTail: tail },
  );
}

function startLate(seconds: number, tail: string): RepriseError {
  return new RepriseError(
    'service-failed',
    `the server takes no connections after ${seconds} s; it is still starting`,
    'Wait and try again: its start continues.',
    { logTail: tail },
  );
}
