import { basename } from 'node:path';
import { isRepriseError } from '../../domain/errors.js';
import { textExcerpt } from '../../files/log-excerpt.js';
import { libpqEnv } from '../../postgres/connection/environment.js';
import { requireProgram } from '../../process/exec/find-programs.js';
import { type ProgramResult, runProgram } from '../../process/exec/run-program.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, passed } from '../outcomes.js';
import type { CommandCheckOptions } from './options.js';

const MOST_OUTPUT_BYTES = 1024 * 1024;
const EVERY_CODE = Array.from({ length: 256 }, (_, code) => code);

/** What `timeout` exits with where it had to end the program. */
const TIMED_OUT = 124;
const KILL_AFTER_SECONDS = 5;

/** Runs a program of yours and judges its exit code and output. What it prints may quote rows: it is not repeated. */
export async function runCommandCheck(context: CheckContext, options: CommandCheckOptions): Promise<CheckOutcome> {
  const { argv, timeoutSeconds } = options;
  const { connection, signal, restored } = context;
  try {
    const program = await requireProgram(argv[0] ?? '');
    // It ends what the program has started too: a grandchild would hold the output open.
    const limited = [
      'timeout',
      `--kill-after=${KILL_AFTER_SECONDS}`,
      String(timeoutSeconds),
      program,
      ...argv.slice(1),
    ];
    const result = await runProgram(limited, {
      user: restored?.user ?? null,
      env: libpqEnv(connection, connection.maintenanceDatabase),
      timeoutMs: (timeoutSeconds + 2 * KILL_AFTER_SECONDS) * 1000,
      signal,
      leavesProcesses: true,
      acceptCodes: EVERY_CODE,
      maxBufferBytes: MOST_OUTPUT_BYTES,
    });
    await context.drill?.log?.(logOf(program, result));
    return judge(basename(program), result, options);
  } catch (error) {
    signal.throwIfAborted();
    if (!isRepriseError(error)) throw error;
    return failed(
      error.message,
      'run it by hand on the host of the restored server, as the user of its data directory',
    );
  }
}

/** Its stdout is its answer, which may quote rows: only how long it is is kept. */
function logOf(program: string, { exitCode, stdout, stderr }: ProgramResult): string {
  const said = textExcerpt(stderr);
  return [
    `$ ${program}`,
    ...(said === '' ? [] : [said]),
    `ended with ${exitCode}; ${Buffer.byteLength(stdout)} bytes on its stdout, which are not kept`,
    '',
  ].join('\n');
}

function judge(program: string, { exitCode, stdout }: ProgramResult, options: CommandCheckOptions): CheckOutcome {
  const { contains, min, max } = options;
  if (exitCode === TIMED_OUT && options.exitCode !== TIMED_OUT)
    return failed(`${program} did not end within ${options.timeoutSeconds} s`);
  if (exitCode !== options.exitCode) return failed(`${program} exited with ${exitCode}, expected ${options.exitCode}`);
  if (contains !== undefined && !stdout.includes(contains))
    return failed(`${program} exited with ${exitCode}, and the expected text is not in its output`);
  if (min === undefined && max === undefined) return passed(`${program} exited with ${exitCode}`);
  const number = stdout.trim() === '' ? Number.NaN : Number(stdout.trim());
  if (!Number.isFinite(number)) return failed(`the output of ${program} is not one number`);
  if (min !== undefined && number < min) return failed(`${number}, expected at least ${min}`);
  if (max !== undefined && number > max) return failed(`${number}, expected at most ${max}`);
  return passed(String(number));
}
