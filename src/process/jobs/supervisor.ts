/**
 * The job supervisor: a tool that may run long is a job which outlives the worker. Every attempt of a step looks
 * at the job's files first and goes on from there:
 *
 *   succeeded             -> its result; an earlier success whose result was removed since: next generation
 *   failed                -> before this attempt: clean up or resume, next generation; while this one watched: `tool-failed`
 *   running               -> watch it; `restartsOnChange` and another command than it runs with: end it, next generation
 *   recorded, not started -> start it
 *   gone, no exit record  -> its result where that is whole; else the request's `onGone` rule, next generation
 *
 * Only the holder of the job's lock decides or starts. Wrapper and tool inherit that lock, so a second attempt, here
 * or in another worker, cannot do either while the first one's tool lives: it watches.
 */
import { createHash } from 'node:crypto';
import type { Jobs, JobResult, JobsContext, OsUser } from './jobs.js';
import { crashPoint } from './crash-points.js';
import type { HeldLock } from './file-lock.js';
import type { Ended } from './job.js';
import { hasSucceeded, Job } from './job.js';
import { exitOf, finalFailure, retryableFailure } from './job-errors.js';
import type { VerdictRecord } from './job-record.js';
import { type JobState, countedStarts } from './job-state.js';
import { watchTool } from './watch-job.js';
import { launch, mergeLocks } from './launch.js';
import { RepriseError } from '../../domain/errors.js';

export type { JobLog } from './job-store.js';
export { endJobsOf, jobLogs, operationsInUse, pruneJobs, readJobs, stepErrors } from './job-store.js';

const DEFAULT_MAX_STARTS = 3;

/**
 * Binds jobs to one operation.
 *
 * `run` throws: RepriseError `tool-failed` or `job-stalled` (another attempt starts it again), `tool-rejected` (final
 * by its exit, or started too often), `job-cancelled`, `lock-held`, `tool-missing`, `privilege-missing`; and `signal.reason`
 * where the worker shuts down, which leaves the tool alone.
 */
export function createJobs(context: JobsContext): Jobs {
  return {
    async run(request) {
      const job = new Job(
        withDetachSignal(context, request.detachSignal),
        context.retry ? { ...request, step: `${request.step}.again-${context.retry}` } : request,
      );
      if (job.context.leaveOnAbort()) job.context.signal.throwIfAborted();
      await job.open();
      try {
        return await attempt(job);
      } finally {
        job.close();
      }
    },
  };
}

/** Adds the request's `detachSignal`. The operation's own signal counts first: a cancelled job ends in any case. */
function withDetachSignal(context: JobsContext, detachSignal: AbortSignal | undefined): JobsContext {
  if (detachSignal === undefined) return context;
  return {
    ...context,
    signal: AbortSignal.any([context.signal, detachSignal]),
    leaveOnAbort: () => (context.signal.aborted ? context.leaveOnAbort() : true),
  };
}

/** Generations that this attempt itself started or saw running. */
interface OwnGenerations {
  started: number;
  watched: number;
  /** Settled when the wrapper that this attempt started has ended. */
  ended?: Promise<void>;
}

async function attempt(job: Job): Promise<JobResult> {
  const own: OwnGenerations = { started: 0, watched: 0 };
  for (;;) {
    const state = await job.read();
    if (hasSucceeded(state)) {
      if (!(await hasLostItsResult(job, state, own))) return resultOf(job, state, own);
      // There is nothing to end, and nothing is begun.
      job.context.signal.throwIfAborted();
    } else if (job.context.signal.aborted) {
      if (job.context.leaveOnAbort()) throw job.context.signal.reason;
      await cancelJob(job);
      continue;
    }
    if (state.kind === 'running' && isOutdated(job, state)) {
      await job.decide(state, 'retry', 'outdated');
      await job.end(state.pid, state);
      continue;
    }
    if (state.kind === 'running') {
      own.watched = state.generation;
      await watchTool(job, own.started === state.generation ? own.ended : undefined);
      continue;
    }
    // Children that outlived their tool would hold its lock for ever.
    if (state.kind === 'gone' && state.pid !== null) await job.end(state.pid, state);
    const lock = await job.takeLock();
    if (lock === null) continue;
    try {
      await actOn(job, await job.read(), lock, own);
    } finally {
      await lock.release();
    }
  }
}

/** Decides what a state leads to, and does it. Called with the job's lock. */
async function actOn(job: Job, state: JobState, lock: HeldLock, own: OwnGenerations): Promise<void> {
  switch (state.kind) {
    case 'running':
      return;
    case 'none':
    case 'recorded':
      await job.request.prepare?.();
      return start(job, state.generation, lock, own);
    case 'gone':
      if (state.verdict === null && (await job.request.resultIsThere?.()) === true) return job.assumeSuccess(state);
      if (state.verdict?.reason === 'stalled' && own.watched === state.generation)
        throw await retryableFailure(job, state);
      return startAgain(job, state, lock, own);
    case 'ended':
      return actOnExit(job, state, lock, own);
  }
}

async function actOnExit(job: Job, state: Ended, lock: HeldLock, own: OwnGenerations): Promise<void> {
  crashPoint('job:after-exit', job.request.step, job.tool);
  const verdict = await classifyExit(job, state);
  if (verdict === 'ok') {
    if (await hasLostItsResult(job, state, own)) await startAgain(job, state, lock, own);
    return;
  }
  if (state.pid !== null) await job.end(state.pid, state);
  if (verdict === 'fail') throw await finalFailure(job, state, 'by-exit');
  // A failure that this attempt saw goes to Temporal, which waits and tries again. A recorded one: this is that next try.
  if (own.watched === state.generation) throw await retryableFailure(job, state);
  return startAgain(job, state, lock, own);
}

/** A success recorded before this attempt counts only while its result is still there. */
async function hasLostItsResult(
  { request }: Job,
  { generation, record }: Ended,
  { watched }: OwnGenerations,
): Promise<boolean> {
  if (watched === generation) return false;
  if ((await request.resultIsGone?.()) === true) return true;
  return request.resultIn !== undefined && record?.resultIn !== (await request.resultIn());
}

async function classifyExit(job: Job, state: Ended): Promise<VerdictRecord['verdict']> {
  if (state.verdict !== null) return state.verdict.verdict;
  const exit = exitOf(state);
  const known = (await job.request.classifyExit?.(exit)) ?? (exit.code === 0 ? 'ok' : 'retry');
  const verdict = known === 'passing' ? 'retry' : known;
  await job.decide(state, verdict, known === 'passing' ? 'passing' : 'judged');
  return verdict;
}

async function startAgain(
  job: Job,
  state: Extract<JobState, { kind: 'ended' | 'gone' }>,
  lock: HeldLock,
  own: OwnGenerations,
): Promise<void> {
  const counted = await countedStarts(job.directory, state.generation);
  if (counted >= (job.request.maxStarts ?? DEFAULT_MAX_STARTS)) throw await finalFailure(job, state, 'too-often');
  if (job.request.onGone === 'restart') await job.request.cleanUp?.();
  await start(job, state.generation + 1, lock, own);
}

async function start(job: Job, generation: number, jobLock: HeldLock, own: OwnGenerations): Promise<void> {
  const { context, request, key, tool } = job;
  const { stateDir, operationId, planDigest } = context;
  // Cleaning up may have taken long: what was cancelled meanwhile is not started.
  if (context.signal.aborted) return;
  const { ended } = await launch({
    stateDir,
    jobDirectory: job.directory,
    generation,
    jobLock,
    hostLocks: mergeLocks(context.locks ?? [], request.locks ?? []),
    about: {
      key,
      operationId,
      step: request.step,
      planDigest,
      tool,
      commandDigest: request.restartsOnChange ? commandDigest(job) : undefined,
      resultIn: await request.resultIn?.(),
      logsOnStdout: request.logsOnStdout,
    },
    argv: request.argv,
    mostOutputBytes: request.mostOutputBytes,
    user: userOf(job),
    env: request.env ?? {},
    cwd: request.cwd ?? '/',
  });
  own.ended = ended;
  own.started = generation;
  own.watched = generation;
}

/** Whether a tool that restarts when its configuration changes runs with an older one. */
function isOutdated(job: Job, { record }: JobState): boolean {
  return job.request.restartsOnChange === true && record !== null && record.commandDigest !== commandDigest(job);
}

function commandDigest(job: Job): string {
  const { argv, env = {}, cwd = '/' } = job.request;
  return createHash('sha256')
    .update(JSON.stringify([argv, Object.entries(env).sort(), cwd, userOf(job)?.name ?? null]))
    .digest('hex');
}

function userOf({ context, request: { user = 'inherit' } }: Job): OsUser | null {
  if (user === 'inherit') return context.user;
  return user === 'worker' ? null : user;
}

function resultOf(job: Job, state: Ended, own: OwnGenerations): JobResult {
  crashPoint('job:before-return', job.request.step, job.tool);
  return {
    ...exitOf(state),
    key: job.key,
    starts: state.starts,
    startedAt: state.pid?.startedAt ?? state.record?.createdAt ?? state.exit.finishedAt,
    finishedAt: state.exit.finishedAt,
    attached: own.started !== state.generation,
  };
}

/**
 * Ends a job whose operation was cancelled: the tool and its children are ended, what they left is removed, and only
 * then is it said. Returns only where the job had succeeded already: its output may be in use, and stays.
 * @throws RepriseError `job-cancelled`
 */
async function cancelJob(job: Job): Promise<void> {
  for (;;) {
    const state = await job.read();
    if (hasSucceeded(state)) return;
    // Said before the tool is told: one that then still ends with 0 must not count, its output is removed.
    if (state.kind === 'running') await job.decide(state, 'retry', 'cancelled');
    if ('pid' in state && state.pid !== null) await job.end(state.pid, state);
    crashPoint('job:after-cancel', job.request.step, job.tool);
    const lock = await job.takeLock();
    if (lock === null) continue;
    try {
      const settled = await job.read();
      if (settled.kind === 'running') continue;
      if (hasSucceeded(settled)) return;
      if (settled.kind === 'ended' || settled.kind === 'gone') await job.decide(settled, 'retry', 'cancelled');
      if (settled.starts > 0) await job.request.cleanUp?.();
      throw new RepriseError(
        'job-cancelled',
        `${job.tool} was ended because its operation was cancelled`,
        'Start a new operation if it is still wanted.',
        { key: job.key, starts: settled.starts },
      );
    } finally {
      await lock.release();
    }
  }
}
