import { once } from 'node:events';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { makePrivateDirectory } from '../../files/directories.js';
import { requireProgram } from '../exec/find-programs.js';
import { crashPoint } from './crash-points.js';
import { toolEnvironment } from '../exec/environment.js';
import type { HeldLock } from './file-lock.js';
import { takeHostLock } from './file-lock.js';
import type { GenerationPaths } from './job-paths.js';
import { generationPaths } from './job-paths.js';
import type { JobRecord } from './job-record.js';
import type { JobLock, OsUser } from './jobs.js';
import { tailOfFile, errorLine } from '../../files/tail.js';
import { JOB_MARK } from '../exec/process-session.js';
import { redact } from '../../domain/text/redact.js';
import { asUser } from '../exec/users.js';
import { WRAPPER_SCRIPT } from './wrapper-script.js';
import { pathExists } from '../../files/paths.js';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;
const POLL_MS = 5;
/** Becomes the tool, as the wrapper does. */
const LIMITED = 'ulimit -c 0; ulimit -f "$0"; exec "$@"';
/** POSIX counts in blocks of 512 bytes. */
const limitOf = (bytes: number): string => String(Math.ceil(bytes / 512));

/** All that is needed to start one generation of a job. */
export interface Launch {
  readonly stateDir: string;
  readonly jobDirectory: string;
  readonly generation: number;
  /** Held by the caller; wrapper and tool inherit it. */
  readonly jobLock: HeldLock;
  readonly hostLocks: readonly JobLock[];
  readonly about: Pick<
    JobRecord,
    'key' | 'operationId' | 'step' | 'planDigest' | 'tool' | 'commandDigest' | 'resultIn' | 'logsOnStdout'
  >;
  readonly argv: readonly string[];
  /** Of every file that it writes; undefined: as long as the disk has room. */
  readonly mostOutputBytes: number | undefined;
  readonly user: OsUser | null;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/**
 * Records a generation, starts its wrapper and returns when the tool has its pid record, or the wrapper has ended
 * without: then nothing was started.
 * @returns what is settled when the wrapper has ended, which it does after its exit record
 * @throws RepriseError `tool-missing`, `lock-held`, `privilege-missing`: all before anything is recorded
 */
export async function launch(request: Launch): Promise<{ readonly ended: Promise<void> }> {
  const program = await requireProgram(request.argv[0] ?? '');
  const limit =
    request.mostOutputBytes === undefined ? [] : ['/bin/sh', '-c', LIMITED, limitOf(request.mostOutputBytes)];
  const command = asUser(request.user, [...limit, program, ...request.argv.slice(1)]);
  const locks: HeldLock[] = [];
  let child: ChildProcess;
  try {
    for (const lock of request.hostLocks) locks.push(await takeHostLock(request.stateDir, lock, request.about));
    const paths = await record(request);
    // The job's own lock is the last to be given back: whoever gets it finds the others free.
    child = await spawnWrapper(request, paths, [...locks, request.jobLock], command);
  } finally {
    // Ours only: what the wrapper inherited stays locked.
    for (const lock of locks) await lock.release();
  }
  const { step, tool } = request.about;
  const ended = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
  crashPoint('job:after-spawn', step, tool);
  await untilStarted(child, generationPaths(request.jobDirectory, request.generation), tool);
  crashPoint('job:after-pid', step, tool);
  return { ended };
}

async function record(request: Launch): Promise<GenerationPaths> {
  const { about } = request;
  const paths = generationPaths(request.jobDirectory, request.generation);
  crashPoint('job:before-record', about.step, about.tool);
  await makePrivateDirectory(paths.directory);
  const content: JobRecord = {
    version: 1,
    ...about,
    // argv contains no secret by contract; this is the second net.
    argv: request.argv.map(redact),
    generation: request.generation,
    createdAt: new Date().toISOString(),
  };
  await writeFileAtomic(paths.record, `${JSON.stringify(content)}\n`);
  crashPoint('job:after-record', about.step, about.tool);
  return paths;
}

async function spawnWrapper(
  request: Launch,
  paths: GenerationPaths,
  locks: readonly HeldLock[],
  command: readonly string[],
): Promise<ChildProcess> {
  await writeFileAtomic(paths.wrapper, WRAPPER_SCRIPT);
  const fields = JSON.stringify({ key: request.about.key, tool: request.about.tool }).slice(1, -1);
  const outputs = [await openOutput(paths.stdout, request.user), await openOutput(paths.stderr, request.user)];
  try {
    const child = spawn(
      '/bin/sh',
      [
        paths.wrapper,
        'supervise',
        paths.directory,
        fields,
        '',
        String(locks.length),
        ...locks.map(({ path }) => path),
        ...command,
      ],
      {
        // A session of its own: what ends the worker's group or terminal does not reach it.
        detached: true,
        stdio: ['ignore', ...outputs.map(({ fd }) => fd), ...locks.map(({ fd }) => fd)],
        env: { ...toolEnvironment(request.user, request.env), [JOB_MARK]: paths.directory },
        cwd: request.cwd,
      },
    );
    await once(child, 'spawn').catch((error: unknown) => {
      throw new RepriseError(
        'tool-failed',
        `${request.about.tool} could not be started: ${String(error)}`,
        `See that ${request.cwd} exists.`,
      );
    });
    child.unref();
    return child;
  } finally {
    for (const output of outputs) await output.close();
  }
}

/** Owned by the tool's user and appended to, so that a tool may open /dev/stderr anew and overwrites nothing. */
async function openOutput(path: string, user: OsUser | null): Promise<{ fd: number; close(): Promise<void> }> {
  const file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0o600);
  if (user !== null && process.getuid?.() === 0) await file.chown(user.uid, user.gid);
  return file;
}

async function untilStarted(child: ChildProcess, paths: GenerationPaths, tool: string): Promise<void> {
  while (!(await pathExists(paths.pid))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      if (await pathExists(paths.pid)) return;
      const line = errorLine(await tailOfFile(paths.stderr));
      throw new RepriseError(
        'tool-failed',
        `${tool} was not started: its wrapper ended with ${child.signalCode ?? child.exitCode}${line === '' ? '' : `: ${line}`}`,
        'See that the state directory has free space and can be written; the next attempt tries again.',
      );
    }
    await sleep(POLL_MS);
  }
}

/** Each name once, exclusive where either asks for it: a second open file of the same lock would block us ourselves. */
export function mergeLocks(...lists: readonly (readonly JobLock[])[]): readonly JobLock[] {
  const modes = new Map<string, JobLock['mode']>();
  for (const { name, mode } of lists.flat()) {
    modes.set(name, mode === 'exclusive' ? mode : (modes.get(name) ?? mode));
  }
  return [...modes].map(([name, mode]) => ({ name, mode }));
}
