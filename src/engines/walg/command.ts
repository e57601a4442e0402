import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { libpqEnv } from '../../postgres/connection/environment.js';
import { requireProgram } from '../../process/exec/find-programs.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { ProgramResult } from '../../process/exec/run-program.js';
import type { ReadContext } from '../engine.js';
import { failureOf } from './failures.js';
import type { WalgOptions } from './options.js';

/** What every command needs to know; part of every engine context. */
export type CommandContext = Pick<ReadContext, 'cluster' | 'policy' | 'user' | 'signal'>;

/**
 * The shell takes WAL-G's settings from its file and becomes WAL-G, so that no secret stands in a command line, a job's
 * record or an environment of ours (F39). What comes after the file's name is for `env`: what has to win over the file.
 */
const LAUNCHER = 'set -a; . "$1"; set +a; shift; exec env "$@"';
/** A listing of a slow object store may take its time; one that cannot be reached is asked again for many minutes. */
const SLOW_MS = 300_000;

export function optionsOf(context: Pick<ReadContext, 'policy'>): WalgOptions {
  return context.policy.options as WalgOptions;
}

/**
 * One command line of WAL-G; `settings` go before those of the file.
 * @throws RepriseError `tool-missing`
 */
export async function walgArgv(
  context: Pick<ReadContext, 'cluster' | 'policy'>,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly string[]> {
  const { envFile, binary } = optionsOf(context);
  const { connection } = context.cluster;
  const program = await requireProgram(binary);
  const server = Object.entries({ ...libpqEnv(connection, connection.maintenanceDatabase), ...settings }).map(
    ([name, value]) => `${name}=${value}`,
  );
  // A password file that the cluster names goes before a password of the environment file.
  const unset = connection.passfile === undefined ? [] : ['-u', 'PGPASSWORD'];
  return ['/bin/sh', '-c', LAUNCHER, 'wal-g', envFile, ...unset, ...server, program, ...args];
}

/**
 * Runs a command of some seconds.
 * @throws RepriseError as {@link failureOf} reads what it printed; `tool-missing`
 */
export async function runWalg(
  context: CommandContext,
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
    throw translated(error, args);
  }
}

/** An error of the process room in WAL-G's terms; any other unchanged. */
export function translated(error: unknown, args: readonly string[]): unknown {
  if (!isRepriseError(error) || (error.code !== 'tool-failed' && error.code !== 'tool-rejected')) return error;
  if (error.message.includes('did not end within')) {
    return new RepriseError(
      'storage-unreachable',
      error.message,
      'check the prefix and the endpoint in options.env_file, and the network: WAL-G asks a storage that does not answer again and again',
      error.details,
    );
  }
  const { stderrTail } = error.details;
  return typeof stderrTail === 'string' ? failureOf(args[0] ?? '', stderrTail, error) : error;
}
