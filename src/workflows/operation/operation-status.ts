import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ApplicationFailure,
  ContinueAsNew,
  TimeoutFailure,
  defineQuery,
  isCancellation,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { queryNames, searchAttributes } from '../../domain/operation/names.js';
import { timeoutInWords } from '../../domain/operation/time-outs.js';
import { markdownSentence, markdownText } from '../../domain/text/markdown.js';
import type { PhaseTime, OperationState, OperationStatusView } from '../../domain/operation/status.js';

const stateKey = defineSearchAttributeKey(searchAttributes.state, 'KEYWORD');
const clusterKey = defineSearchAttributeKey(searchAttributes.cluster, 'KEYWORD');
const kindKey = defineSearchAttributeKey(searchAttributes.kind, 'KEYWORD');

/** State, phases and details of one workflow, shown in three places that must agree: query, search attribute, details. */
export class OperationStatus {
  private state: OperationState = 'running';
  private waitingFor: string | null = null;
  private details = '';
  private readonly phases: { name: string; startedAt: number; seconds: number | null }[] = [];
  private shown: OperationState | null = null;
  plan: string | null = null;
  /** The state that an operation leaves which ended before its end. */
  left = '';

  constructor(
    private readonly kind: OperationStatusView['kind'],
    private readonly cluster: string,
  ) {
    setHandler(defineQuery<OperationStatusView>(queryNames.status), () => this.status(), {
      description: 'state, phase and what is waited for',
    });
    this.show('running');
  }

  status(): OperationStatusView {
    return {
      kind: this.kind,
      cluster: this.cluster,
      state: this.state,
      waitingFor: this.waitingFor,
      plan: this.plan,
      // Within a phase others begin and end: what is under way is the innermost that has not ended.
      phase: (this.phases.findLast(({ seconds }) => seconds === null) ?? this.phases.at(-1))?.name ?? 'starting',
      phases: this.times(),
    };
  }

  times(): readonly PhaseTime[] {
    return this.phases.map(({ name, startedAt, seconds }) => ({
      name,
      startedAt: new Date(startedAt).toISOString(),
      seconds,
    }));
  }

  /** Moves to a state; `details` (Markdown) is what the Web UI's User Metadata tab shows. */
  show(state: OperationState, waitingFor: string | null = null, details?: string): void {
    this.state = state;
    this.waitingFor = waitingFor;
    if (details !== undefined) this.details = details;
    if (this.shown !== state) {
      upsertSearchAttributes([
        { key: stateKey, value: state },
        { key: clusterKey, value: this.cluster },
        { key: kindKey, value: this.kind },
      ]);
      this.shown = state;
    }
    this.render();
  }

  /** Other details (Markdown), whatever the state is. */
  describe(details: string): void {
    this.details = details;
    this.render();
  }

  /** Shows what is waited for beside the work, unless something else is waited for already. */
  async whileWaiting<T>(waitingFor: string, work: () => Promise<T>): Promise<T> {
    this.waitingFor ??= waitingFor;
    this.render();
    try {
      return await work();
    } finally {
      if (this.waitingFor === waitingFor) this.waitingFor = null;
      this.render();
    }
  }

  /** Runs one phase of the runbook and keeps its time. */
  async phase<T>(name: string, step: () => Promise<T>): Promise<T> {
    const entry = { name, startedAt: Date.now(), seconds: null as number | null };
    this.phases.push(entry);
    this.render();
    try {
      return await step();
    } finally {
      entry.seconds = (Date.now() - entry.startedAt) / 1000;
      this.render();
    }
  }

  /** Seconds spent in phases of this name. */
  seconds(name: string): number {
    return this.phases.filter((phase) => phase.name === name).reduce((sum, phase) => sum + (phase.seconds ?? 0), 0);
  }

  private render(): void {
    const lines = this.phases
      .slice(-30)
      .map(
        ({ name, seconds }) => `- ${markdownText(name)}: ${seconds === null ? 'running' : `${seconds.toFixed(1)} s`}`,
      );
    const steps = lines.length > 0 ? `\n\n**Steps so far:**\n\n${lines.join('\n')}` : '';
    const waiting = this.waitingFor ? `\n\n**Waiting for:** ${markdownSentence(this.waitingFor)}` : '';
    setCurrentDetails(`**State:** ${this.state}${waiting}${this.details ? `\n\n${this.details}` : ''}${steps}`);
  }
}

/** Ends a workflow in the state that fits how it ended; the failure itself goes on unchanged. */
export async function runOperation<T>(status: OperationStatus, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    if (isCancellation(error)) status.show('cancelled', null, markdownSentence(status.left) || undefined);
    else status.show('failed', null, [sentence(error), status.left].map(markdownSentence).join('\n\n').trim());
    throw error;
  }
}

export { isCancellation as isCancelled };

/** Code, message and hint of what an activity or child workflow failed with: those of its deepest cause. */
export function failureOf(error: unknown): { code: string; message: string; hint: string | undefined } {
  let cause: unknown = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  if (cause instanceof ApplicationFailure) {
    const [first] = (cause.details ?? []) as { hint?: string }[];
    return { code: cause.type ?? 'internal', message: cause.message, hint: first?.hint };
  }
  if (isCancellation(cause)) return { code: 'job-cancelled', message: 'the operation was cancelled', hint: undefined };
  if (cause instanceof TimeoutFailure) return timeoutInWords(cause.timeoutType, cause.message);
  return { code: 'internal', message: cause instanceof Error ? cause.message : String(cause), hint: undefined };
}

export function sentence(error: unknown): string {
  const { code, message, hint } = failureOf(error);
  return `${message} (${code})${hint ? ` HINT: ${hint}` : ''}`;
}

/** `BY: REASON` of a rejection, for the details (Markdown). */
export const rejectedText = (because: string): string => `**Rejected** by ${markdownText(because)}.`;

/** The only way a workflow refuses: an `ApplicationFailure` with one of the codes of the error table. */
export function refusal(code: string, message: string, hint?: string): ApplicationFailure {
  const failure = ApplicationFailure.create({ type: code, message, nonRetryable: true, details: [{ hint }] });
  // The Web UI shows message and stack. A refusal is no defect whose place somebody looks for: what to do next is.
  failure.stack = hint === undefined ? '' : `HINT: ${hint}`;
  return failure;
}
