import { ActivityFailure, ApplicationFailure, TimeoutFailure } from '@temporalio/workflow';
import { Retries, RETRY_FOR_SECONDS } from '../../domain/operation/retries.js';
import type { Decision } from '../../domain/plan/plan.js';
import { withoutHostSlot } from '../lock/with-host-slot.js';
import { stepLimitsOf } from './activity-proxies.js';
import type { Operation } from './open-operation.js';
import { failureOf, isCancelled, sentence } from './operation-status.js';
import type { AfterWait, StepPeople } from './step-people.js';

/** Where the next attempt of a step goes on, as far as the last one has said. */
export interface ResumePoint {
  readonly cursor?: string;
}

/**
 * One step of an operation, tried again while it fails for a reason that may pass: with pauses that grow to 5 minutes, within
 * the hours that its host's config gives, and people are told early. Used for every activity that does an operation's work.
 */
export class RepeatedStep {
  private readonly retries: Retries;
  private isTold = false;
  private resume: ResumePoint = {};

  constructor(
    private readonly operation: Operation,
    private readonly name: string,
    private readonly accepts: readonly Decision['kind'][] = [],
    private readonly people: StepPeople = operation.people,
  ) {
    this.retries = new Retries(stepLimitsOf(operation.host), Date.now());
  }

  /**
   * Runs it until it succeeds, or fails for good: by its own failure, after its time, or because people decided so.
   * @returns its result, or the decision that ended a wait
   */
  async run<T>(
    attempt: (resume: ResumePoint) => Promise<T>,
  ): Promise<{ readonly result: T } | { readonly decision: Decision }> {
    for (;;) {
      try {
        const result = await attempt(this.resume);
        if (this.isTold) this.operation.status.show('running');
        return { result };
      } catch (error) {
        this.resume = resumePointOf(error) ?? this.resume;
        const pauseMs = mayPass(error) ? this.retries.failed(Date.now()) : null;
        if (pauseMs === null || this.people.rejectedBecause !== null) throw error;
        const next = await this.wait(error, pauseMs);
        if (next === 'rejected') throw error;
        if (typeof next === 'object') return { decision: next };
      }
    }
  }

  private async wait(error: unknown, pauseMs: number): Promise<AfterWait> {
    const { operation, name, accepts, people } = this;
    const { status, notifications, step } = operation;
    const now = Date.now();
    const isLong = this.retries.isLong(now);
    const waitingFor = `step "${name}" fails and is tried again at ${minute(now + pauseMs)}, until ${minute(this.retries.until)}: ${sentence(error)} — \`reprise continue ${step.workflowId}\` tries it now, \`reprise reject ${step.workflowId} --reason ...\` ends it`;
    status.show(isLong ? 'paused' : 'running', waitingFor);
    const telling = isLong && !this.isTold;
    this.isTold ||= isLong;
    const [next] = await Promise.all([
      people.afterFailure(`"${name}" failed (${failureOf(error).code}): tried again`, accepts, pauseMs),
      telling
        ? notifications.notify({ kind: 'paused', event: 'failure', action: operation.action, step: name, waitingFor })
        : undefined,
    ]);
    status.show('running');
    return next;
  }
}

/**
 * A step of an operation that has no plan: where it loses its worker again and again, or hangs, it waits for a person, and after
 * the time of its retries the operation fails; whatever else fails for good fails it at once.
 */
export async function runStep<T>(
  operation: Operation,
  name: string,
  attempt: (resume: ResumePoint) => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      const done = await new RepeatedStep(operation, name).run(attempt);
      if ('result' in done) return done.result;
    } catch (error) {
      if (isCancelled(error) || !needsPerson(error) || operation.people.rejectedBecause !== null) throw error;
      if ((await askAboutStep(operation, name, error)) !== 'again') throw error;
    }
  }
}

async function askAboutStep(operation: Operation, name: string, error: unknown): Promise<AfterWait> {
  const { status, notifications, people, host, step, action } = operation;
  const { workflowId } = step;
  const waitMs = (stepLimitsOf(host).retryForSeconds ?? RETRY_FOR_SECONDS) * 1000;
  const waitingFor = `step "${name}" failed: ${sentence(error)} — \`reprise continue ${workflowId}\` tries it again, \`reprise reject ${workflowId} --reason ...\` ends it; it ends by itself at ${minute(Date.now() + waitMs)}`;
  status.show('paused', waitingFor);
  const [next] = await Promise.all([
    withoutHostSlot(operation, () => people.afterFailure(`"${name}" failed: continue or reject`, [], waitMs)),
    notifications.notify({ kind: 'paused', event: 'failure', action, step: name, waitingFor }),
  ]);
  status.show('running');
  return next;
}

/** Whether the failure of an activity may be over at its next attempt. */
function mayPass(error: unknown): boolean {
  return (
    error instanceof ActivityFailure && error.cause instanceof ApplicationFailure && error.cause.nonRetryable !== true
  );
}

/** It may be repeated, but it has shown that repeating alone does not help. */
function needsPerson(error: unknown): boolean {
  const { code } = failureOf(error);
  return code === 'worker-lost' || code === 'step-stalled';
}

/** The last cursor of the attempt that failed: in its failure, or in the last heartbeat of a worker that was lost. */
function resumePointOf(error: unknown): ResumePoint | undefined {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  const said =
    cause instanceof TimeoutFailure
      ? cause.lastHeartbeatDetails
      : cause instanceof ApplicationFailure
        ? cause.details?.[0]
        : undefined;
  const { cursor } = (said ?? {}) as ResumePoint;
  return cursor === undefined ? undefined : { cursor };
}

const minute = (at: number): string => `${new Date(at).toISOString().slice(0, 16)}Z`;
