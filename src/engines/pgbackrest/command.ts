import { runProgram } from '../../process/exec/run-program.js';
import { tlsEnv } from '../../postgres/connection/tls.js';
import { sessionOptions } from '../../postgres/connection/session-options.js';
import type { ProgramResult } from '../../process/exec/run-program.js';
import type { ReadContext } from '../engine.js';
import type { ToolContext } from '../shared/tool-config.js';
import { inTermsOfTool } from '../shared/run-tool-job.js';
import type { PgbackrestOptions } from './options.js';
import { PGBACKREST } from './tool-rules.js';

/** Larger than any number of full backups: pgBackRest never decides by itself what goes. */
export const KEEP_ALL = 9_999_999;
/** A listing of 100,000 WAL segments is some 14 MB of JSON. */
const LISTING_BYTES = 256 * 1024 * 1024;

export function optionsOf(context: Pick<ReadContext, 'policy'>): PgbackrestOptions {
  return context.policy.options as PgbackrestOptions;
}

/**
 * One command line of pgBackRest. Secrets are in its configuration file, never here. `--no-neutral-umask`
 * lets the umask 077 of our tools count: by default pgBackRest makes its repository 0750.
 */
export function pgbackrestArgv(
  context: Pick<ReadContext, 'policy'>,
  command: string,
  options: readonly string[] = [],
  parameters: readonly string[] = [],
): readonly string[] {
  const { stanza } = optionsOf(context);
  const umask = ['info', 'verify', 'repo-ls', 'repo-get'].includes(command) ? [] : ['--no-neutral-umask'];
  return [
    'pgbackrest',
    ...configArguments(optionsOf(context)),
    `--stanza=${stanza}`,
    ...umask,
    ...options,
    command,
    ...parameters,
  ];
}

/** Where the configuration is, as far as the policy says so. */
export function configArguments({ config, configPath, configIncludePath }: PgbackrestOptions): string[] {
  return [
    ...(config === undefined ? [] : [`--config=${config}`]),
    ...(configPath === undefined ? [] : [`--config-path=${configPath}`]),
    ...(configIncludePath === undefined ? [] : [`--config-include-path=${configIncludePath}`]),
  ];
}

/**
 * What libpq in pgBackRest takes from the environment: where the password is, and sessions without time-outs; everything else
 * of the connection is in its own config.
 * @param versionNum of the server, where it is known
 */
export function connectionEnv({ cluster }: Pick<ReadContext, 'cluster'>, versionNum?: number): Record<string, string> {
  const { passfile } = cluster.connection;
  return {
    ...(passfile === undefined ? {} : { PGPASSFILE: passfile }),
    ...tlsEnv(cluster.connection),
    PGOPTIONS: sessionOptions({ versionNum }),
  };
}

/**
 * A storage that fails is asked again for its `io-timeout`, of 60 s unless its configuration says otherwise, and named only then: ended
 * sooner, it would never say why.
 */
const SAYS_WHY_MS = 150_000;

/**
 * Runs a command of some seconds.
 * @throws RepriseError as {@link PGBACKREST} has it; `tool-missing`
 */
export async function runPgbackrest(
  context: ToolContext,
  command: string,
  options: readonly string[] = [],
  more: {
    readonly parameters?: readonly string[];
    readonly timeoutMs?: number;
    readonly acceptCodes?: readonly number[];
    /** Of the server, for a command that connects to it. */
    readonly versionNum?: number;
  } = {},
): Promise<ProgramResult> {
  try {
    return await runProgram(pgbackrestArgv(context, command, options, more.parameters), {
      user: context.user,
      env: connectionEnv(context, more.versionNum),
      signal: context.signal,
      maxBufferBytes: LISTING_BYTES,
      timeoutMs: more.timeoutMs ?? SAYS_WHY_MS,
      acceptCodes: more.acceptCodes,
    });
  } catch (error) {
    throw inTermsOfTool(PGBACKREST, `pgbackrest ${command}`, error);
  }
}
