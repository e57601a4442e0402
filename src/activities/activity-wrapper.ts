import { ApplicationFailure, Context } from '@temporalio/activity';
import type { z } from 'zod';
import { RepriseError, fromSystemError, isRepriseError, isRetryable } from '../domain/errors.js';
import { readOrder } from '../domain/operation/orders.js';
import type { JobView, Progress } from '../domain/operation/progress.js';
import type { HeartbeatDetails } from '../domain/operation/status.js';
import { watchWork } from '../files/work-signs.js';
import { crashPoint } from '../process/jobs/crash-points.js';
import { redact } from '../domain/text/redact.js';
import { durationInWords } from '../domain/text/text.js';

/** What an activity's body gets from Temporal. */
export interface ActivityRun {
  /** Name of the activity. */
  readonly name: string;
  /** Seconds by which this host's clock is ahead of Temporal's, including the time this attempt waited for a worker. */
  readonly aheadSeconds: number;
  readonly signal: AbortSignal;
  /** True when the abort must leave running jobs alone: everything but a cancellation that somebody asked for. */
  readonly leaveOnAbort: () => boolean;
  readonly report: (progress: Progress | undefined, job?: JobView) => void;
  /** What the attempt before this one kept last: up to there it was done. */
  readonly cursor: string | undefined;
  /** Keeps it for the next attempt, as far as a heartbeat still leaves. */
  readonly keep: (cursor: string) => void;
  /** Called once when this attempt ends, with the result of one that succeeded. What it throws fails the attempt. */
  readonly atEnd: (ended: (end: AttemptEnd) => Promise<void>) => void;
}

/** What the host's config says of its activities. */
export interface ActivityLimits {
  /** A body that is no job and reports no progress for so many seconds is stalled. */
  readonly stallSeconds: number;
}

export type AttemptEnd = { readonly ok: true; readonly result: unknown } | { readonly ok: false };

/** At most this long between two heartbeats; with a shorter time-out, a quarter of it. */
const BEAT_MS = 2000;

/** What only shows that it goes on when it is asked is asked at least so often. */
const LONGEST_BETWEEN_SIGNS_MS = 60_000;

/** An activity as a worker runs it; `limits` are given where it is bound to its host. */
export type WrappedActivity<I, O> = (input: I, limits?: ActivityLimits) => Promise<O>;

/**
 * Wraps an activity: heartbeats while it runs, errors in the form workflows and people understand, crash points for
 * the chaos suite. A body without progress for the time of its limits has stalled: its attempt ends with `step-stalled`, whatever
 * still hangs. The context is captured first: in an abort listener `Context.current()` throws.
 */
export function wrapActivity<I, O>(
  name: string,
  body: (input: I, run: ActivityRun) => Promise<O>,
): WrappedActivity<I, O> {
  return async (input, limits) => {
    const context = Context.current();
    const carried = (input as { readonly cursor?: string } | undefined)?.cursor;
    const { cursor = carried } = (context.info.heartbeatDetails ?? {}) as HeartbeatDetails;
    let details: HeartbeatDetails = { cursor };
    const endings: ((end: AttemptEnd) => Promise<void>)[] = [];
    const stall = new StallWatch(name, limits?.stallSeconds);
    const beat = setInterval(
      () => {
        context.heartbeat(details);
        stall.check();
      },
      beatEvery(context.info.heartbeatTimeoutMs, limits?.stallSeconds),
    );
    const run: ActivityRun = {
      name,
      aheadSeconds: (Date.now() - context.info.currentAttemptScheduledTimestampMs) / 1000,
      signal: AbortSignal.any([context.cancellationSignal, stall.signal]),
      leaveOnAbort: () => context.cancellationDetails?.cancelRequested !== true,
      report: (progress, job) => {
        stall.progressed(progress, job !== undefined);
        details = { progress, job: job ?? details.job, cursor: details.cursor };
        // What still hangs in an attempt that was given up may come back: nobody listens to it.
        if (stall.reason === undefined) context.heartbeat(details);
      },
      cursor,
      keep: (next) => {
        stall.moved();
        details = { ...details, cursor: next };
      },
      atEnd: (ended) => void endings.push(ended),
    };
    try {
      crashPoint(`activity:${name}:before`);
      const watched = watchWork({ moved: () => stall.moved(), everyMs: stall.askEveryMs }, () => body(input, run));
      const result = await Promise.race([watched, stall.stalled]);
      for (const ended of endings.splice(0)) await ended({ ok: true, result });
      crashPoint(`activity:${name}:after`);
      return result;
    } catch (error) {
      for (const ended of endings) await ended({ ok: false }).catch(() => undefined);
      if (context.cancellationSignal.aborted) throw context.cancellationSignal.reason;
      throw toFailure(stall.reason ?? error, details.cursor);
    } finally {
      clearInterval(beat);
    }
  };
}

/** Notices that a body makes no progress. One that watches a job never stalls: the job has a rule of its own. */
class StallWatch {
  private readonly abort = new AbortController();
  private movedAt = performance.now();
  private seen = '';
  /** Rejects when the body has stalled. */
  readonly stalled: Promise<never>;

  constructor(
    private readonly name: string,
    private readonly seconds: number | undefined,
  ) {
    this.stalled = new Promise<never>((_, reject) =>
      this.signal.addEventListener('abort', () => reject(this.reason as RepriseError)),
    );
    this.stalled.catch(() => undefined);
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  get reason(): RepriseError | undefined {
    return this.abort.signal.reason as RepriseError | undefined;
  }

  /** Several times before it would count as stalled. */
  get askEveryMs(): number {
    return Math.min(LONGEST_BETWEEN_SIGNS_MS, (this.seconds ?? Infinity) * 100);
  }

  moved(): void {
    this.movedAt = performance.now();
  }

  progressed(progress: Progress | undefined, watchesJob: boolean): void {
    const sign = `${progress?.phase} ${progress?.done}`;
    if (watchesJob || sign !== this.seen) this.moved();
    this.seen = sign;
  }

  check(): void {
    if (this.seconds === undefined || performance.now() - this.movedAt < this.seconds * 1000) return;
    this.abort.abort(
      new RepriseError(
        'step-stalled',
        `the step made no progress for ${durationInWords(this.seconds)} (${this.name})`,
        'See whether the disks, mounts and servers that it uses answer. If the worker still hangs in it, restart the worker. A step that is only slow needs a longer hosts.NAME.timeouts.stall.',
      ),
    );
  }
}

const beatEvery = (timeoutMs = Infinity, stallSeconds = Infinity): number =>
  Math.min(BEAT_MS, timeoutMs / 4, stallSeconds * 250);

/**
 * Id of the workflow that scheduled this activity, as the Temporal server says and not as the input claims; null for an
 * activity without a workflow, undefined outside of any.
 */
export function callingWorkflow(): string | null | undefined {
  try {
    return Context.current().info.workflowExecution?.workflowId ?? null;
  } catch {
    return undefined;
  }
}

/** Reads the order of a step before anything is done: it comes from outside. */
export function withOrder<Order, I extends { readonly order: Order }, O>(
  schema: z.ZodType<Order>,
  body: (input: I, run: ActivityRun) => Promise<O>,
): (input: I, run: ActivityRun) => Promise<O> {
  return async (input, run) => body({ ...input, order: readOrder(schema, input.order) }, run);
}

/**
 * Code, hint and retryability travel in the failure; nothing secret does. `cursor`: where the next attempt goes on, for a
 * workflow that makes it an activity of its own.
 */
export function toFailure(error: unknown, cursor?: string): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  const known = isRepriseError(error) ? error : fromSystemError(error);
  if (known !== undefined) {
    return ApplicationFailure.create({
      message: redact(known.message),
      type: known.code,
      nonRetryable: !isRetryable(known),
      details: [{ hint: known.hint, ...(cursor === undefined ? {} : { cursor }) }],
    });
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return ApplicationFailure.create({ message: redact(message), type: 'internal', nonRetryable: true });
}
