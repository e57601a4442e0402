import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import { tailOfFile } from '../../files/tail.js';
import type { ToolTable } from '../../process/exec/tool-rules.js';
import { meaningOf, toolFailure } from '../../process/exec/tool-rules.js';
import type { JobExit, JobExitClass, JobRequest, JobResult, Jobs } from '../../process/jobs/jobs.js';

/** A tool's job: its argv, its output files and what else the supervisor wants to know. */
export interface ToolJobRequest extends Omit<JobRequest, 'classifyExit'> {
  /** What messages call it where `tool` alone does not say: `pgbackrest backup`. */
  readonly name?: string;
  /**
   * What another exit than 0 means where the table is not enough: a class, or the failure itself. Undefined: as the
   * table has it, and a tool that was ended by a signal is started again.
   */
  readonly classifyExit?: (exit: JobExit) => Promise<JobExitClass | RepriseError | undefined>;
}

/**
 * Runs a tool as a job and tells its failure in the terms of its table. A failure for which another start is of no use
 * (disk full, missing right) is not tried again. What a failed tool leaves is removed at once, and not only before the
 * next start: there may never be one.
 *
 * @throws RepriseError of the tool's failure; else what the supervisor throws (cancelled, stalled, shutdown)
 */
export async function runToolJob(jobs: Jobs, table: ToolTable, request: ToolJobRequest): Promise<JobResult> {
  const { name = request.tool, classifyExit: classify, ...job } = request;
  let failure: RepriseError | undefined;
  const classifyExit = async (exit: JobExit): Promise<JobExitClass> => {
    if (exit.code === 0 || (await job.resultIsThere?.())) return 'ok';
    const known = await classify?.(exit);
    if (typeof known === 'string') return known;
    // Where it was killed, what it printed says nothing of the work.
    if (exit.code === null && known === undefined) return 'retry';
    const failed = { name, exitCode: exit.code, output: await tailOfFile(exit.stderr) };
    const meant = known ?? meaningOf(table, failed);
    failure = meant ?? toolFailure(table, failed);
    if (!isRetryable(failure)) return 'fail';
    // How long a known reason may last is for the workflow to say; what nobody knows does not get better by starting it often.
    return meant === undefined ? 'retry' : 'passing';
  };
  try {
    return await jobs.run({ ...job, classifyExit });
  } catch (error) {
    // Where it has not ended, the worker shuts down and the tool works on: its files are left alone.
    // A cancelled one was cleaned up after by the supervisor.
    if (!toolHasEnded(error) || error.code === 'job-cancelled') throw error;
    await job.cleanUp?.();
    const meant = failure ?? meaningOfError(table, name, error);
    throw meant === undefined ? error : reconcile(meant, error);
  }
}

/** The failure of a short program as its table has it; every other error unchanged. */
export function inTermsOfTool(table: ToolTable, name: string, error: unknown): unknown {
  return meaningOfError(table, name, error) ?? error;
}

/** What the end of a tool's stderr means; undefined where it ended by a signal, stalled, or no rule knows it. */
function meaningOfError(table: ToolTable, name: string, error: unknown): RepriseError | undefined {
  if (!isRepriseError(error) || (error.code !== 'tool-failed' && error.code !== 'tool-rejected')) return undefined;
  const { code, stderrTail } = error.details;
  if (typeof code !== 'number' || typeof stderrTail !== 'string') return undefined;
  return meaningOf(table, { name, exitCode: code, output: stderrTail, details: error.details });
}

/** The supervisor knows whether there may be another start, the table why the tool failed. */
function reconcile(meant: RepriseError, error: RepriseError): RepriseError {
  const code = isRetryable(meant) === isRetryable(error) ? meant.code : error.code;
  return new RepriseError(code, meant.message, meant.hint ?? error.hint, { ...error.details, ...meant.details });
}

/** Whether an error of the supervisor's says that the tool runs no more. */
export function toolHasEnded(error: unknown): error is RepriseError {
  return isRepriseError(error) && (typeof error.details['stderrTail'] === 'string' || error.code === 'job-cancelled');
}
