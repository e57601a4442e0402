import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ChildProcess } from 'node:child_process';
import { execa } from 'execa';
import { RepriseError } from '../../domain/errors.js';
import { requireProgram } from './find-programs.js';
import { toolEnvironment } from './environment.js';
import type { OsUser } from '../jobs/jobs.js';
import { freeMemory } from '../../files/free-memory.js';
import { askWhileWaiting } from '../../files/work-signs.js';
import { tailOfText, errorLine } from '../../files/tail.js';
import { asUser } from './users.js';

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024;
const KILL_AFTER_MS = 5_000;
/** What was printed before the exit is in a pipe, and read at once. */
const READ_AFTER_EXIT_MS = 1_000;
// The umask belongs to the process: a shell sets it, then becomes the tool.
const WITH_UMASK = ['/bin/sh', '-c', 'umask 077 && exec "$@"', 'reprise'] as const;

export interface RunProgramOptions {
  /** As whom; null or absent: as the worker itself. */
  readonly user?: OsUser | null;
  /** Added to a minimal environment; no secret. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default `/`, which every user may read. */
  readonly cwd?: string;
  /** A stream is read as far as the tool does. */
  readonly input?: string | Buffer | Readable;
  /** Default 60,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Exit codes that are answers and not failures; default 0. */
  readonly acceptCodes?: readonly number[];
  /** Most bytes kept of each stream; more is a failure. Default 64 MiB. */
  readonly maxBufferBytes?: number;
  /** It may start what goes on after it and holds its output open, as a service does: then it has ended when it has exited. */
  readonly leavesProcesses?: true;
  /** Called with each line of stdout, which is not kept then, however long it is. */
  readonly onLine?: (line: string) => void;
  /** The same with stdout as it comes, in pieces of bytes that are gone afterwards: for tens of millions of lines. */
  readonly onChunk?: (chunk: Buffer) => void;
}

export interface ProgramResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/**
 * Runs a tool that ends within seconds and returns what it printed (without the final newline). It ends with
 * the worker, or after `timeoutMs`: what may run longer is a job.
 * @throws RepriseError `tool-missing`; `tool-failed` with the redacted end of stderr; `signal.reason` where aborted
 */
export async function runProgram(argv: readonly string[], options: RunProgramOptions = {}): Promise<ProgramResult> {
  const user = options.user ?? null;
  const program = await requireProgram(argv[0] ?? '');
  options.signal?.throwIfAborted();
  const [shell, ...rest] = [...WITH_UMASK, ...asUser(user, [program, ...argv.slice(1)])] as [string, ...string[]];
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  // It has a time-out of its own: until then it does not count as stalled.
  const result = await askWhileWaiting(
    async () => {
      const running = execa(shell, rest, {
        ...processOptions(user, options, timeoutMs),
        // `input: undefined` would leave stdin open: a tool that asks would wait.
        ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
        buffer: { stdout: options.onLine === undefined && options.onChunk === undefined },
      });
      endOutputWithProcess(running.nodeChildProcess, options.leavesProcesses === true);
      if (options.onLine !== undefined) await readLines(running.stdout, options.onLine);
      if (options.onChunk !== undefined) await readBytes(running.stdout, options.onChunk);
      return running;
    },
    async () => true,
  );
  options.signal?.throwIfAborted();
  const accepted = options.acceptCodes ?? [0];
  if (result.exitCode !== undefined && accepted.includes(result.exitCode) && !result.timedOut && !result.isMaxBuffer) {
    return { stdout: result.stdout ?? '', stderr: result.stderr, exitCode: result.exitCode };
  }
  throw failureOf(basename(program), result, timeoutMs);
}

/**
 * What a program has started has its output too. Where it goes on by design, or the program was ended by a signal (a time-out, a
 * cancellation), nobody waits for that.
 */
function endOutputWithProcess(child: ChildProcess, leavesProcesses: boolean): void {
  child.once('exit', (_code, signal) => {
    if (signal === null && !leavesProcesses) return;
    const output = [child.stdout, child.stderr];
    setTimeout(() => output.forEach((stream) => stream?.destroy()), READ_AFTER_EXIT_MS);
  });
}

async function readLines(stdout: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  stdout.setEncoding('utf8');
  await readData<string>(stdout, (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  });
  if (rest !== '') onLine(rest);
}

async function readBytes(stdout: Readable, onChunk: (chunk: Buffer) => void): Promise<void> {
  await readData<Buffer>(stdout, (chunk) => {
    onChunk(chunk);
    freeMemory(chunk);
  });
}

/** Each piece as soon as it comes. A stream that is cut off, as by a time-out, is no error here: how the program ended says why. */
async function readData<T>(stdout: Readable, use: (chunk: T) => void): Promise<void> {
  stdout.on('data', (chunk: T) => {
    try {
      use(chunk);
    } catch (error) {
      stdout.destroy(error as Error);
    }
  });
  try {
    await finished(stdout, { writable: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

function processOptions(user: OsUser | null, options: RunProgramOptions, timeoutMs: number) {
  return {
    env: toolEnvironment(user, options.env),
    extendEnv: false,
    cwd: options.cwd ?? '/',
    timeout: timeoutMs,
    maxBuffer: options.maxBufferBytes ?? DEFAULT_BUFFER_BYTES,
    cancelSignal: options.signal,
    forceKillAfterDelay: KILL_AFTER_MS,
    reject: false,
  } as const;
}

interface Ending {
  readonly stderr?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly timedOut: boolean;
  readonly isMaxBuffer: boolean;
  readonly code?: string | undefined;
}

function failureOf(tool: string, result: Ending, timeoutMs: number): RepriseError {
  const stderrTail = tailOfText(result.stderr ?? '');
  const line = errorLine(stderrTail);
  return new RepriseError(
    'tool-failed',
    `${tool} ${outcome(result, timeoutMs)}${line === '' ? '' : `: ${line}`}`,
    'Remove what the message names, then run the step again.',
    { tool, code: result.exitCode ?? null, signal: result.signal ?? null, stderrTail },
  );
}

function outcome(result: Ending, timeoutMs: number): string {
  if (result.timedOut) return `did not end within ${timeoutMs / 1000} s`;
  if (result.isMaxBuffer) return 'printed more than it may';
  if (result.exitCode !== undefined) return `exited with ${result.exitCode}`;
  if (result.signal !== undefined) return `was ended by ${result.signal}`;
  return `could not be started (${result.code ?? 'no reason given'})`;
}
