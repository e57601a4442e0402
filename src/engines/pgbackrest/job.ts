import { setTimeout as sleep } from 'node:timers/promises';
import type { Progress } from '../../domain/operation/progress.js';
import { tailOfFile } from '../../files/tail.js';
import type { JobExit, JobPaths, JobResult } from '../../process/jobs/jobs.js';
import { toolFailure } from '../../process/exec/tool-rules.js';
import type { EngineContext } from '../engine.js';
import type { ToolJobRequest } from '../shared/run-tool-job.js';
import { runToolJob } from '../shared/run-tool-job.js';
import { connectionEnv, pgbackrestArgv } from './command.js';
import { readInfo } from './info.js';
import { PGBACKREST } from './tool-rules.js';

const LOCK_HELD = 50;
/** Children of a pgBackRest that somebody else killed hold its lock until they notice, which takes them a moment. */
const LOCK_WAIT_MS = 5_000;
const LOCK_POLL_MS = 200;
/** Silent for so long: pgBackRest's own protocol-timeout (1830 s) has passed, with some to spare. */
const STALL_MS = 2_400_000;

export interface PgbackrestJob extends Pick<ToolJobRequest, 'step' | 'resultIsThere' | 'resultIsGone'> {
  readonly command: string;
  readonly options?: readonly string[];
  /** Of the server, for a command that connects to it. */
  readonly versionNum?: number;
  /** Bytes behind 100 %, where they are known. */
  readonly totalBytes?: number;
}

/**
 * Runs a command as a job. All commands used here continue with what an earlier start left: backup resumes, restore goes on
 * by `--delta`, expire and verify begin anew. Console output goes to the job's files, errors also to its stderr.
 * @throws RepriseError in pgBackRest's terms
 */
export function runPgbackrestJob(context: EngineContext, job: PgbackrestJob): Promise<JobResult> {
  const { command, options = [], versionNum, totalBytes, ...request } = job;
  const logging = ['--log-level-console=detail', '--log-level-stderr=error', '--log-timestamp'];
  return runToolJob(context.jobs, PGBACKREST, {
    ...request,
    tool: 'pgbackrest',
    name: `pgbackrest ${command}`,
    argv: pgbackrestArgv(context, command, [...options, ...logging]),
    env: connectionEnv(context, versionNum),
    user: context.user ?? 'inherit',
    logsOnStdout: true,
    onGone: 'resume',
    stallTimeoutMs: STALL_MS,
    classifyExit: async (exit) => ((await isLockHeld(exit)) && (await lockReleased(context)) ? 'retry' : undefined),
    progress: (paths) => readProgress(paths, job.step, totalBytes),
  });
}

/** The same exit code says that the lock file may not be opened, and that is no matter of waiting. */
async function isLockHeld({ code, stderr }: JobExit): Promise<boolean> {
  if (code !== LOCK_HELD) return false;
  const failed = { name: 'pgbackrest', exitCode: code, output: await tailOfFile(stderr) };
  return toolFailure(PGBACKREST, failed).code === 'lock-held';
}

async function lockReleased(context: EngineContext): Promise<boolean> {
  const until = performance.now() + LOCK_WAIT_MS;
  while ((await readInfo(context)).locked) {
    if (performance.now() >= until) return false;
    await sleep(LOCK_POLL_MS, undefined, { signal: context.signal });
  }
  return true;
}

/** The last percentage that pgBackRest printed: its lines end in `(8KB, 12.34%)`. */
async function readProgress(paths: JobPaths, phase: string, totalBytes?: number): Promise<Progress | undefined> {
  const percent = [...(await tailOfFile(paths.stdout)).matchAll(/ (\d+(?:\.\d+)?)%\)/g)].at(-1)?.[1];
  if (percent === undefined) return undefined;
  if (totalBytes === undefined) return { phase, done: Number(percent), total: 100, unit: 'steps' };
  return { phase, done: Math.round((totalBytes * Number(percent)) / 100), total: totalBytes, unit: 'bytes' };
}
