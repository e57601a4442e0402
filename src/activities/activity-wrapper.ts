import { ApplicationFailure, Context } from '@temporalio/activity';
import type { z } from 'zod';
import { errorTable, fromSystemError, isRepriseError } from '../domain/errors.js';
import { readOrder } from '../domain/operation/orders.js';
import type { JobView, Progress } from '../domain/operation/progress.js';
import type { HeartbeatDetails } from '../domain/operation/status.js';
import { crashPoint } from '../process/jobs/crash-points.js';
import { redact } from '../domain/text/redact.js';

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

export type AttemptEnd = { readonly ok: true; readonly result: unknown } | { readonly ok: false };

/** At most this long between two heartbeats; with a shorter time-out, a quarter of it. */
const BEAT_MS = 2000;

/**
 * Wraps an activity: heartbeats while it runs, errors in the form workflows and people understand, crash points for
 * the chaos suite. The context is captured first: in an abort listener `Context.current()` throws.
 */
export function wrapActivity<I, O>(
  name: string,
  body: (input: I, run: ActivityRun) => Promise<O>,
): (input: I) => Promise<O> {
  return async (input) => {
    const context = Context.current();
    const { cursor } = (context.info.heartbeatDetails ?? {}) as HeartbeatDetails;
    let details: HeartbeatDetails = { cursor };
    const endings: ((end: AttemptEnd) => Promise<void>)[] = [];
    const beat = setInterval(() => context.heartbeat(details), beatEvery(context.info.heartbeatTimeoutMs));
    const run: ActivityRun = {
      name,
      aheadSeconds: (Date.now() - context.info.currentAttemptScheduledTimestampMs) / 1000,
      signal: context.cancellationSignal,
      leaveOnAbort: () => context.cancellationDetails?.cancelRequested !== true,
      report: (progress, job = details.job) => {
        details = { progress, job, cursor: details.cursor };
        context.heartbeat(details);
      },
      cursor,
      keep: (next) => void (details = { ...details, cursor: next }),
      atEnd: (ended) => void endings.push(ended),
    };
    try {
      crashPoint(`activity:${name}:before`);
      const result = await body(input, run);
      for (const ended of endings.splice(0)) await ended({ ok: true, result });
      crashPoint(`activity:${name}:after`);
      return result;
    } catch (error) {
      for (const ended of endings) await ended({ ok: false }).catch(() => undefined);
      if (context.cancellationSignal.aborted) throw context.cancellationSignal.reason;
      throw toFailure(error);
    } finally {
      clearInterval(beat);
    }
  };
}

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

const beatEvery = (timeoutMs: number | undefined): number =>
  timeoutMs === undefined ? BEAT_MS : Math.min(BEAT_MS, timeoutMs / 4);

/** Reads the order of a step before anything is done: it comes from outside. */
export function withOrder<Order, I extends { readonly order: Order }, O>(
  schema: z.ZodType<Order>,
  body: (input: I, run: ActivityRun) => Promise<O>,
): (input: I, run: ActivityRun) => Promise<O> {
  return async (input, run) => body({ ...input, order: readOrder(schema, input.order) }, run);
}

/** Code, hint and retryability travel in the failure; nothing secret does. */
export function toFailure(error: unknown): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  const known = isRepriseError(error) ? error : fromSystemError(error);
  if (known !== undefined) {
    return ApplicationFailure.create({
      message: redact(known.message),
      type: known.code,
      nonRetryable: !errorTable[known.code].retryable,
      details: [{ hint: known.hint }],
    });
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return ApplicationFailure.create({ message: redact(message), type: 'internal', nonRetryable: true });
}
