/** Long-lived servers of our own (not jobs): they are started, looked after and stopped by whoever runs the demo or `up`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { requireProgram } from './find-programs.js';
import { toolEnvironment } from './environment.js';
import type { OsUser } from '../jobs/jobs.js';
import { tailOfFile, errorLine } from '../../files/tail.js';
import { identify, isAlive } from './process-identity.js';
import type { ProcessIdentity } from './process-identity.js';
import { asUser } from './users.js';
import { openForAppending } from '../../files/atomic-file.js';

const POLL_MS = 50;

export interface BackgroundOptions {
  /** Gets stdout and stderr, appended; owner-only. */
  readonly logFile: string;
  readonly user?: OsUser | null;
  /** Added to a minimal environment; no secret. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default `/`. */
  readonly cwd?: string;
}

/**
 * Starts a program in a session of its own, so that a Ctrl-C in the terminal does not reach it and its starter decides
 * in which order things end. The starter may end before it.
 * @throws RepriseError `tool-missing`; `tool-failed` where it ended at once, with the error line of its log
 */
export async function startBackground(argv: readonly string[], options: BackgroundOptions): Promise<ProcessIdentity> {
  const program = await requireProgram(argv[0] ?? '');
  const user = options.user ?? null;
  // Whatever it writes is the owner's alone; the shell becomes the program, so the process id stays the same.
  const args = ['-c', 'umask 077 && exec "$@"', 'reprise', ...asUser(user, [program, ...argv.slice(1)])];
  const log = await openForAppending(options.logFile);
  try {
    const child = spawn('/bin/sh', args, {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: toolEnvironment(user, options.env),
      cwd: options.cwd ?? '/',
    });
    await once(child, 'spawn').catch((error: unknown) => {
      throw new RepriseError(
        'tool-failed',
        `${program} could not be started: ${String(error)}`,
        `See that ${options.cwd ?? '/'} exists.`,
      );
    });
    child.unref();
    const identity = child.pid === undefined ? null : await identify(child.pid);
    if (identity !== null) return identity;
  } finally {
    await log.close();
  }
  throw new RepriseError(
    'tool-failed',
    `${program} ended at once: ${errorLine(await tailOfFile(options.logFile))}`,
    `See ${options.logFile}.`,
  );
}

/** SIGTERM, a wait, SIGKILL, a wait: returns when the process is gone; one that is gone already is no error. */
export async function stopProcess(identity: ProcessIdentity, graceMs = 10_000): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 10_000],
  ] as const) {
    // Looked at just before: the number may be another process's by now.
    if (!(await isAlive(identity))) return;
    process.kill(identity.pid, signal);
    if (await hasGone(identity, waitMs)) return;
  }
  throw new RepriseError(
    'timeout',
    `process ${identity.pid} does not end, even after SIGKILL`,
    'It waits for a device. Look at its state with ps.',
  );
}

async function hasGone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (await isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
