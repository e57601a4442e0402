import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { libpqEnv } from '../../postgres/connection/environment.js';
import { requireProgram } from '../../process/exec/find-programs.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { ProgramResult } from '../../process/exec/run-program.js';
import type { JobResult } from '../../process/jobs/jobs.js';
import type { EngineContext, ReadContext } from '../engine.js';
import type { ToolContext } from '../shared/tool-config.js';
import type { ToolJobRequest } from '../shared/run-tool-job.js';
import { inTermsOfTool, runToolJob } from '../shared/run-tool-job.js';
import type { WalgOptions } from './options.js';
import { WALG } from './tool-rules.js';

/**
 * The shell takes WAL-G's settings from its file and becomes WAL-G, so that no secret is in a command line, a job's
 * record or an environment of ours. What comes after the file's name is for `env`: what has to win over the file.
 */
const LAUNCHER = 'set -a; . "$1"; set +a; shift; exec env "$@"';
/** A listing of a slow object store may take its time; one that cannot be reached is asked again for many minutes. */
const SLOW_MS = 300_000;

export const USE_KNOWN_VERSION = 'use WAL-G 0.2.19, 2.x or 3.x';

export function optionsOf(context: Pick<ReadContext, 'policy'>): WalgOptions {
  return context.policy.options as WalgOptions;
}

/**
 * One command line of WAL-G; `settings` go before those of the file.
 * @throws RepriseError `tool-missing`
 */
async function walgArgv(
  context: Pick<ReadContext, 'cluster' | 'policy'>,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
  versionNum?: number,
): Promise<readonly string[]> {
  const { envFile, binary } = optionsOf(context);
  const { connection } = context.cluster;
  const program = await requireProgram(binary);
  const session = libpqEnv(connection, connection.maintenanceDatabase, versionNum);
  const server = Object.entries({ ...session, ...settings }).map(([name, value]) => `${name}=${value}`);
  // A password file that the cluster names goes before a password of the environment file.
  const unset = connection.passfile === undefined ? [] : ['-u', 'PGPASSWORD'];
  return ['/bin/sh', '-c', LAUNCHER, 'wal-g', envFile, ...unset, ...server, program, ...args];
}

/**
 * Runs a command of some seconds.
 * @throws RepriseError as {@link WALG} has it; `tool-missing`
 */
export async function runWalg(
  context: ToolContext,
  args: readonly string[],
  settings?: Readonly<Record<string, string>>,
): Promise<ProgramResult> {
  const argv = await walgArgv(context, args, settings);
  try {
    return await runProgram(argv, {
      user: context.user,
      signal: context.signal,
      timeoutMs: SLOW_MS,
      maxBufferBytes: 256 * 1024 * 1024,
    });
  } catch (error) {
    if (isRepriseError(error) && error.message.includes('did not end within')) {
      throw new RepriseError(
        'storage-unreachable',
        error.message,
        'check the prefix and the endpoint in options.env_file, and the network: WAL-G repeats its requests if a storage does not answer',
        error.details,
      );
    }
    throw inTermsOfTool(WALG, `wal-g ${args[0] ?? ''}`, error);
  }
}

/** Silent for so long: a part of a gigabyte on a slow line takes its time, and an hour is more than its own retries. */
const STALL_MS = 3_600_000;

export interface WalgJob extends Pick<ToolJobRequest, 'step' | 'resultIsThere' | 'resultIsGone' | 'cleanUp'> {
  readonly args: readonly string[];
  /** Go before the settings of the environment file. No secrets. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Of the server, for a command that connects to it. */
  readonly versionNum?: number;
}

/**
 * Runs a command as a job. None of WAL-G's continues where an earlier start ended: each begins anew, after `cleanUp`.
 * @throws RepriseError in WAL-G's terms
 */
export async function runWalgJob(context: EngineContext, job: WalgJob): Promise<JobResult> {
  const { args, settings, versionNum, ...request } = job;
  return runToolJob(context.jobs, WALG, {
    ...request,
    tool: 'wal-g',
    name: `wal-g ${args[0] ?? ''}`,
    argv: await walgArgv(context, args, settings, versionNum),
    user: context.user ?? 'inherit',
    onGone: 'restart',
    stallTimeoutMs: STALL_MS,
  });
}
