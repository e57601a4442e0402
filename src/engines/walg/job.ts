import { errorTable } from '../../domain/errors.js';
import type { JobExit, JobRequest, JobResult } from '../../process/jobs/jobs.js';
import { tailOfFile } from '../../files/tail.js';
import type { EngineContext } from '../engine.js';
import { hasEnded, keepRetryable } from '../shared/run-tool-job.js';
import { translated, walgArgv } from './command.js';
import { failureOf } from './failures.js';

/** Silent for so long: a part of a gigabyte on a slow line takes its time, and an hour is more than its own retries. */
const STALL_MS = 3_600_000;

export interface WalgJob extends Pick<JobRequest, 'resultIsThere' | 'resultIsGone' | 'cleanUp'> {
  readonly step: string;
  readonly args: readonly string[];
  /** Go before the settings of the environment file. No secrets. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Runs a command as a job. None of WAL-G's goes on where an earlier start ended: each begins anew, after `cleanUp`. What a
 * failed one leaves is removed at once, and not only before the next start: that may be another operation's.
 * @throws RepriseError in WAL-G's terms
 */
export async function runJob(context: EngineContext, job: WalgJob): Promise<JobResult> {
  const { step, args, settings, ...request } = job;
  try {
    return await context.jobs.run({
      ...request,
      step,
      tool: 'wal-g',
      argv: await walgArgv(context, args, settings),
      user: context.user ?? 'inherit',
      onGone: 'restart',
      stallTimeoutMs: STALL_MS,
      judge: (exit) => judge(job, exit),
    });
  } catch (error) {
    // A cancelled one was cleaned up after by the supervisor.
    if (hasEnded(error) && error.code !== 'job-cancelled') await request.cleanUp?.();
    throw keepRetryable(error, translated(error, args));
  }
}

async function judge({ args, resultIsThere }: WalgJob, exit: JobExit): Promise<'ok' | 'retry' | 'fail'> {
  if (exit.code === 0 || (await resultIsThere?.())) return 'ok';
  if (exit.code === null) return 'retry';
  return errorTable[failureOf(args[0] ?? '', await tailOfFile(exit.stderr)).code].retryable ? 'retry' : 'fail';
}
