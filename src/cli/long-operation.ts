import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { follow } from '../client/follow-operation.js';
import type { StartedOperation } from '../client/start.js';
import { isFinal, statusOf } from '../client/status.js';
import type { StatusView } from '../client/status.js';
import type { Cli } from './cli-context.js';
import type { CommonOptions } from './define-command.js';
import type { OperationState } from '../domain/operation/status.js';
import { besideOrBelow, type Screen } from './terminal/tables.js';
import { ProgressDisplay } from './terminal/progress.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import type { ApprovablePlan } from '../domain/plan/plan.js';
import { waitingPlan } from '../client/decide.js';

/** Printed by `--detach`. */
export interface Detached {
  readonly workflowId: string;
  readonly webUi: string;
  readonly follow: string;
}

/** Where an operation is seen, and the command that follows it. */
export async function detached(cli: Cli, session: TemporalSession, workflowId: string): Promise<Detached> {
  return { workflowId, webUi: await operationLink(session, workflowId), follow: cli.command('watch', workflowId) };
}

export function detachedText(view: Detached, { columns }: Screen = {}): string {
  return `started ${view.workflowId}\n  watch it:  ${view.follow}\n${besideOrBelow('  Web UI:', '    ', view.webUi, columns)}`;
}

/**
 * Waits for the result with progress on stderr; Ctrl-C and `--timeout` end the waiting, not the operation. `plan` is
 * text that people wait for too, shown between the lines once it is there. `unshown`: a state that this very command ends.
 */
export async function waitFor<T>(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  options: CommonOptions & { readonly unshown?: OperationState },
  plan?: Promise<string | null>,
): Promise<T> {
  const { workflowId } = operation;
  if (cli.showsProgress) {
    const link = await operationLink(session, workflowId);
    cli.say(cli.terminal.paint('dim', besideOrBelow(workflowId, '  ', link, cli.progressScreen.columns), 'err'));
  }
  const display = new ProgressDisplay(cli.terminal, (line) => cli.say(line), cli.progressScreen.zone);
  const onStatus = (view: StatusView): void =>
    cli.showsProgress && view.state !== options.unshown ? display.update(view) : undefined;
  void plan?.then((text) => {
    if (text === null || !cli.showsProgress) return;
    display.clear();
    cli.say(text);
  });
  return interruptible(async (signal) => {
    try {
      return await follow<T>(session, operation.handle, {
        onStatus,
        followCommand: cli.command('watch', workflowId),
        timeoutMs: milliseconds(options),
        signal,
      });
    } finally {
      display.clear();
    }
  });
}

/**
 * Waits with progress until an operation that goes on has come so far that `look` finds what people wait for. `leave`: what to type,
 * where somebody no longer waits and it continues.
 * @returns null where it has ended well without that
 * @throws what it failed with; `timeout`, `interrupted`: it goes on
 */
export function waitUntilSeen<T>(
  cli: Cli,
  session: TemporalSession,
  { workflowId, handle }: StartedOperation,
  options: CommonOptions,
  { look, leave, plan }: { look: () => Promise<T | null>; leave: string; plan?: Promise<string | null> },
): Promise<T | null> {
  const display = new ProgressDisplay(cli.terminal, (line) => cli.say(line), cli.progressScreen.zone);
  const ends = milliseconds(options);
  const begun = performance.now();
  void plan?.then((text) => {
    if (text === null || !cli.showsProgress) return;
    display.clear();
    cli.say(text);
  });
  return interruptible(async (signal) => {
    try {
      for (;;) {
        const found = await look().catch(() => null);
        if (found !== null) return found;
        const status = await statusOf(session, workflowId, { jobs: false });
        if (isFinal(status.state) && status.finishedAt !== null) {
          // Its failure is the answer.
          await handle.result();
          return null;
        }
        if (cli.showsProgress) display.update(status);
        if (signal.aborted) throw new RepriseError('interrupted', `stopped waiting for ${workflowId}`, leave);
        if (ends !== undefined && performance.now() - begun > ends)
          throw new RepriseError('timeout', `${workflowId} did not come so far within --timeout`, leave);
        await sleep(500, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      display.clear();
    }
  });
}

const INTERRUPTED = 130;

/** Runs with a signal that Ctrl-C aborts; a second Ctrl-C ends the program at once. */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const abort = (): void => {
    if (interruption.signal.aborted) process.exit(INTERRUPTED);
    interruption.abort();
  };
  // Not `once`: a program that runs would end the process where no listener is left (npm signal-exit, of execa).
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  try {
    return await run(interruption.signal);
  } finally {
    process.removeListener('SIGINT', abort);
    process.removeListener('SIGTERM', abort);
  }
}

export function milliseconds({ timeout }: CommonOptions): number | undefined {
  return timeout === undefined ? undefined : timeout * 1000;
}

/** `--detach` waits so long for the plan, or for the worker that makes it; the operation does not depend on it. */
const PLAN_WAIT_MS = 60_000;

/** The plan once it is made; null when it is not in time, or the operation ended without one. */
export async function planWhenMade<P extends ApprovablePlan>(
  session: TemporalSession,
  workflowId: string,
  isOurs: (plan: ApprovablePlan) => plan is P,
  withinMs = PLAN_WAIT_MS,
): Promise<P | null> {
  const begun = performance.now();
  while (performance.now() < begun + withinMs) {
    const plan = await waitingPlan(session, workflowId).catch(() => null);
    if (plan !== null && isOurs(plan)) return plan;
    const { state } = await statusOf(session, workflowId, { jobs: false });
    if (isFinal(state) || (state === 'waiting-worker' && performance.now() > begun + PLAN_WAIT_MS)) return null;
    await sleep(500);
  }
  return null;
}

/** People who wait at a terminal see the plan as soon as it is there. */
export async function planToShow<P extends ApprovablePlan>(
  session: TemporalSession,
  workflowId: string,
  isOurs: (plan: ApprovablePlan) => plan is P,
  textOf: (plan: P) => string,
  withinMs?: number,
): Promise<string | null> {
  const plan = await planWhenMade(session, workflowId, isOurs, withinMs).catch(() => null);
  return plan === null ? null : `\n${textOf(plan)}\n`;
}
