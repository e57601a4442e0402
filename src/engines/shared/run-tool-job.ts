import { errorTable, isRepriseError, RepriseError } from '../../domain/errors.js';
import type { JobExit, JobRequest, JobResult, Jobs } from '../../process/jobs/jobs.js';
import { tailOfFile } from '../../files/tail.js';

/** What a judge says of an exit. */
export type ToolJobOutcome = 'ok' | 'retry' | 'fail';
export interface ToolJobRequest extends JobRequest {
  readonly cleanUp: () => Promise<void>;
  /** A failure that is not the tool's own, told by other means than its stderr; null where it is. */
  readonly failureOf?: (exit: JobExit) => Promise<RepriseError | null>;
}

/** What a tool's output means as an error; without a hint where its words are not known. */
export type Meaning = (tool: string, output: string) => RepriseError;

/**
 * Runs a tool as a job and turns its failure into the error it means. A failure that another try cannot mend (disk
 * full, missing right) is not tried again. What a failed tool leaves is removed at once, and not only before the next
 * start: there may never be one.
 *
 * @throws RepriseError of the tool's failure; else what the supervisor throws (cancelled, shutdown)
 */
export async function runToolJob(meaning: Meaning, jobs: Jobs, request: ToolJobRequest): Promise<JobResult> {
  const { failureOf, ...job } = request;
  const ofTool =
    request.judge ??
    (async (exit) => (exit.code === 0 ? 'ok' : verdictOn(meaning(request.tool, await tailOfFile(exit.stderr)))));
  const judge = async (exit: JobExit): Promise<ToolJobOutcome> => {
    const failure = await failureOf?.(exit);
    return failure ? verdictOn(failure) : ofTool(exit);
  };
  try {
    return await jobs.run({ ...job, judge });
  } catch (error) {
    // Where it has not ended, the worker shuts down and the tool works on: its files are left alone.
    if (!hasEnded(error)) throw error;
    // A cancelled one was cleaned up after by the supervisor.
    if (error.code === 'job-cancelled') throw error;
    await request.cleanUp();
    throw inTermsOfTheTool(meaning(request.tool, String(error.details['stderrTail'])), error);
  }
}

/** A job's failure in its tool's terms: what another attempt may still mend stays an error that Temporal tries again. */
export function keepRetryable(error: unknown, meant: unknown): unknown {
  const mendable = isRepriseError(error) && error.code === 'tool-failed';
  return mendable && isRepriseError(meant) && !errorTable[meant.code].retryable ? error : meant;
}

/** Whether an error of the supervisor's says that the tool runs no more. */
export function hasEnded(error: unknown): error is RepriseError {
  return isRepriseError(error) && (typeof error.details['stderrTail'] === 'string' || error.code === 'job-cancelled');
}

function verdictOn(failure: RepriseError): ToolJobOutcome {
  return errorTable[failure.code].retryable ? 'retry' : 'fail';
}

/** The supervisor knows whether there may be another start, the tool's words why it failed. */
function inTermsOfTheTool(meant: RepriseError, error: RepriseError): RepriseError {
  const saysNothing = meant.code === 'tool-failed' && meant.hint === undefined;
  const isFinal = !errorTable[error.code].retryable;
  if (saysNothing || (isFinal && errorTable[meant.code].retryable)) {
    return new RepriseError(
      error.code,
      saysNothing ? error.message : meant.message,
      meant.hint ?? error.hint,
      error.details,
    );
  }
  return new RepriseError(meant.code, meant.message, meant.hint, error.details);
}
