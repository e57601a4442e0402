import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../../domain/operation/progress.js';
import type { JobExit, JobPaths, JobResult } from '../../process/jobs/jobs.js';
import type { EngineContext } from '../engine.js';
import { keepRetryable } from '../shared/run-tool-job.js';
import { pgbackrestArgv, translated, connectionEnv } from './command.js';
import { mayPass } from './failures.js';
import { readInfo } from './info.js';

const TAIL_BYTES = 16_384;
const LOCK_HELD = 50;
/** Children of a pgBackRest that somebody else killed hold its lock until they notice, which takes them a moment. */
const LOCK_WAIT_MS = 5_000;
const LOOK_MS = 200;
/** Silent for so long: pgBackRest's own protocol-timeout (1830 s) has passed, with some to spare. */
const STALL_MS = 2_400_000;

export interface PgbackrestJob {
  readonly step: string;
  readonly command: string;
  readonly options?: readonly string[];
  readonly parameters?: readonly string[];
  readonly resultIsThere?: () => Promise<boolean>;
  readonly resultIsGone?: () => Promise<boolean>;
  /** Bytes behind 100 %, where they are known. */
  readonly totalBytes?: number;
}

/**
 * Runs a command as a job. All commands used here take up what an earlier start left: backup resumes, restore goes on
 * by `--delta`, expire and verify begin anew. Console output goes to the job's files, errors also to its stderr.
 * @throws RepriseError in pgBackRest's terms
 */
export async function runJob(context: EngineContext, job: PgbackrestJob): Promise<JobResult> {
  const logging = ['--log-level-console=detail', '--log-level-stderr=error', '--log-timestamp'];
  try {
    return await context.jobs.run({
      step: job.step,
      tool: 'pgbackrest',
      argv: pgbackrestArgv(context, job.command, [...(job.options ?? []), ...logging], job.parameters),
      env: connectionEnv(context),
      user: context.user ?? 'inherit',
      onGone: 'resume',
      ...(job.resultIsThere === undefined ? {} : { resultIsThere: job.resultIsThere }),
      ...(job.resultIsGone === undefined ? {} : { resultIsGone: job.resultIsGone }),
      stallTimeoutMs: STALL_MS,
      judge: (exit) => judge(context, job, exit),
      progress: (paths) => progress(paths, job),
    });
  } catch (error) {
    throw keepRetryable(error, translated(error, job.command));
  }
}

async function judge(context: EngineContext, job: PgbackrestJob, exit: JobExit): Promise<'ok' | 'retry' | 'fail'> {
  if (exit.code === 0 || (await job.resultIsThere?.())) return 'ok';
  // Where it was killed, the supervisor ends its children, and with them its lock goes.
  if (exit.code === null) return 'retry';
  if (!mayPass(exit.code, await tail(exit.stderr))) return 'fail';
  return exit.code !== LOCK_HELD || (await lockReleased(context)) ? 'retry' : 'fail';
}

async function lockReleased(context: EngineContext): Promise<boolean> {
  const until = performance.now() + LOCK_WAIT_MS;
  while ((await readInfo(context)).locked) {
    if (performance.now() >= until) return false;
    await sleep(LOOK_MS, undefined, { signal: context.signal });
  }
  return true;
}

/** The last percentage that pgBackRest printed: its lines end in `(8KB, 12.34%)`. */
async function progress(paths: JobPaths, job: PgbackrestJob): Promise<Progress | undefined> {
  const percent = [...(await tail(paths.stdout)).matchAll(/ (\d+(?:\.\d+)?)%\)/g)].at(-1)?.[1];
  if (percent === undefined) return undefined;
  if (job.totalBytes === undefined) return { phase: job.step, done: Number(percent), total: 100, unit: 'steps' };
  return {
    phase: job.step,
    done: Math.round((job.totalBytes * Number(percent)) / 100),
    total: job.totalBytes,
    unit: 'bytes',
  };
}

async function tail(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(TAIL_BYTES),
      position: Math.max(0, size - TAIL_BYTES),
    });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
