import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { toRepriseError } from '../client/errors.js';
import { follow, type FollowOptions } from '../client/follow-operation.js';
import type { StartedOperation } from '../client/start.js';
import { isFinal, statusOf } from '../client/status.js';
import type { StatusView } from '../client/status.js';
import type { Cli } from './cli-context.js';
import type { CommonOptions } from './define-command.js';
import type { OperationState } from '../domain/operation/status.js';
import { besideOrBelow, type Screen } from './terminal/tables.js';
import { ProgressDisplay } from './terminal/progress.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRepriseError, RepriseError } from '../domain/errors.js';
import { isClosedStatus } from '../domain/operation/executions.js';
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

/** How people wait: `unshown` is a state that this very command ends; `giveUp` says when it is no use to wait on. */
interface Waiting extends CommonOptions {
  readonly unshown?: OperationState;
  readonly giveUp?: FollowOptions['giveUp'];
}

/**
 * Waits for the result with progress on stderr; Ctrl-C and `--timeout` end the waiting, not the operation. `plan` is
 * text that people wait for too, shown between the lines once it is there.
 */
export async function waitFor<T>(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  options: Waiting,
  plan?: Promise<string | null>,
): Promise<T> {
  const { workflowId } = operation;
  if (cli.showsProgress) {
    const link = await operationLink(session, workflowId);
    cli.say(cli.terminal.paint('dim', besideOrBelow(workflowId, '  ', link, cli.progressScreen.columns), 'err'));
  }
  const shown = new ShownProgress(cli, options, plan);
  return interruptible(async (signal) => {
    try {
      return await follow<T>(session, operation.handle, {
        onStatus: (view) => shown.update(view),
        followCommand: cli.command('watch', workflowId),
        timeoutMs: milliseconds(options),
        giveUp: options.giveUp,
        signal,
      });
    } finally {
      shown.clear();
    }
  });
}

/** Progress of what is waited for, where it is shown; and once, when the waiting ends while no worker is there. */
class ShownProgress {
  private readonly display: ProgressDisplay;
  private isSaid = false;

  constructor(
    private readonly cli: Cli,
    private readonly options: Waiting,
    plan?: Promise<string | null>,
  ) {
    this.display = new ProgressDisplay(cli.terminal, (line) => cli.say(line), cli.progressScreen.zone);
    void plan?.then((text) => {
      if (text === null || !cli.showsProgress) return;
      this.clear();
      cli.say(text);
    });
  }

  update(view: StatusView): void {
    if (!this.cli.showsProgress || view.state === this.options.unshown) return;
    this.display.update(view);
    if (view.state !== 'waiting-worker' || this.isSaid) return;
    this.isSaid = true;
    this.clear();
    this.cli.say(this.untilWhen());
  }

  clear(): void {
    this.display.clear();
  }

  private untilWhen(): string {
    const { giveUp, timeout } = this.options;
    if (giveUp !== undefined)
      return `without a worker, this command gives up after ${WORKER_WAIT_MS / 1000} s (exit 5)`;
    const end = timeout === undefined ? '--timeout DURATION ends the waiting' : '--timeout ends the waiting';
    return `this command waits until a worker runs; ${end} (exit 124), Ctrl-C too: the operation stays`;
  }
}

/** Whoever only wants to see a plan waits so long for a worker. */
const WORKER_WAIT_MS = 30_000;
/** So long whoever stops waiting for a plan waits for the end of its planning; without a worker it does not come. */
const [CANCEL_MS, CANCEL_WITHOUT_WORKER_MS] = [60_000, 2_000];

/**
 * Waits for a workflow that makes a plan and does nothing else (`--dry-run`). Nobody needs it afterwards: it is cancelled where the waiting
 * ends, by Ctrl-C, `--timeout`, or because no worker runs. A second Ctrl-C ends the program at once.
 * @throws `interrupted`, `timeout`, `host-without-worker`: each says what became of it
 */
export async function waitForPlan<T>(
  cli: Cli,
  session: TemporalSession,
  operation: StartedOperation,
  options: CommonOptions,
): Promise<T> {
  try {
    return await waitFor<T>(cli, session, operation, { ...options, giveUp: withoutWorker() });
  } catch (error) {
    // What the planning failed with is no error of ours: it has ended.
    if (!isRepriseError(error)) throw error;
    throw await cancelPlanning(cli, operation, error);
  }
}

/** No worker was there for so long. */
export function withoutWorker(): NonNullable<FollowOptions['giveUp']> {
  let since: number | null = null;
  return ({ state, waitingFor }) => {
    since = state === 'waiting-worker' ? (since ?? performance.now()) : null;
    if (since === null || performance.now() - since < WORKER_WAIT_MS) return null;
    const message = `no worker has come within ${WORKER_WAIT_MS / 1000} s`;
    return new RepriseError('host-without-worker', message, `it waited for ${waitingFor ?? 'a worker'}`);
  };
}

/** What to tell whoever no longer waits: `why`, and whether the planning has ended. */
function cancelPlanning(
  cli: Cli,
  { workflowId, handle }: StartedOperation,
  { code, message, hint }: RepriseError,
): Promise<RepriseError> {
  const isWithoutWorker = code === 'host-without-worker';
  const told = (became: string, next: string): RepriseError =>
    new RepriseError(code, `${message}: its planning ${became}; nothing was changed`, isWithoutWorker ? hint : next);
  return interruptible(async (signal) => {
    if (cli.showsProgress) cli.say(`cancelling the planning ${workflowId}; Ctrl-C ends this command at once`);
    try {
      await handle.cancel();
    } catch (error) {
      const { code: found, message: problem } = toRepriseError(error);
      // One that has ended meanwhile cannot be cancelled.
      if (found === 'not-found') return told('has ended', 'run the command again');
      return told(
        `could not be cancelled (${problem})`,
        `see it: \`${cli.command('status', workflowId)}\`; it ends by itself when its plan is made`,
      );
    }
    const ends = performance.now() + (isWithoutWorker ? CANCEL_WITHOUT_WORKER_MS : CANCEL_MS);
    while (!signal.aborted && performance.now() < ends) {
      // What cannot be seen for a moment is looked at again.
      const seen = await handle.describe().catch(() => null);
      if (seen !== null && isClosedStatus(seen.status.name))
        return told('was cancelled', 'run the command again for the plan');
      await sleep(200, undefined, { signal }).catch(() => undefined);
    }
    return told('is being cancelled', `see its end: \`${cli.command('status', workflowId)}\``);
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
  const shown = new ShownProgress(cli, options, plan);
  const ends = milliseconds(options);
  const begun = performance.now();
  return interruptible(async (signal) => {
    const stopped = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null)));
    try {
      for (;;) {
        const status = await Promise.race([statusOf(session, workflowId, { jobs: false }), stopped]);
        if (status === null || signal.aborted)
          throw new RepriseError('interrupted', `stopped waiting for ${workflowId}`, leave);
        if (isFinal(status.state) && status.finishedAt !== null) {
          // Its failure is the answer.
          await handle.result();
          return null;
        }
        shown.update(status);
        // A worker that is not there does not answer.
        const looked = status.state === 'waiting-worker' ? null : look().catch(() => null);
        const found = await Promise.race([looked, stopped]);
        if (found !== null) return found;
        if (ends !== undefined && performance.now() - begun > ends)
          throw new RepriseError('timeout', `${workflowId} did not come so far within --timeout`, leave);
        await sleep(500, undefined, { signal }).catch(() => undefined);
      }
    } finally {
      shown.clear();
    }
  });
}

const INTERRUPTED = 130;

/**
 * Runs with a signal that Ctrl-C aborts; a second Ctrl-C ends the program at once. `timeout`: of a read that ends with it.
 * @throws RepriseError `timeout` where that time is over
 */
export async function interruptible<T>(
  run: (signal: AbortSignal) => Promise<T>,
  { timeout }: Pick<CommonOptions, 'timeout'> = {},
): Promise<T> {
  const interruption = new AbortController();
  const late = timeout === undefined ? null : AbortSignal.timeout(timeout * 1000);
  const abort = (): void => {
    if (interruption.signal.aborted) process.exit(INTERRUPTED);
    interruption.abort();
  };
  // Not `once`: a program that runs would end the process where no listener is left (npm signal-exit, of execa).
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  try {
    return await run(late === null ? interruption.signal : AbortSignal.any([interruption.signal, late]));
  } catch (error) {
    if (late?.aborted !== true || interruption.signal.aborted || toRepriseError(error).code !== 'interrupted')
      throw error;
    throw new RepriseError('timeout', 'there was no answer within --timeout', 'nothing was changed; give it more time');
  } finally {
    process.removeListener('SIGINT', abort);
    process.removeListener('SIGTERM', abort);
  }
}

export function milliseconds({ timeout }: CommonOptions): number | undefined {
  return timeout === undefined ? undefined : timeout * 1000;
}

/** `--detach` waits so long for the worker that makes the plan; the operation does not depend on it. */
const PLAN_WAIT_MS = 60_000;

/** The plan once it is made; null when it is not in time, or the operation ended without one. */
export async function planWhenMade<P extends ApprovablePlan>(
  session: TemporalSession,
  workflowId: string,
  isOurs: (plan: ApprovablePlan) => plan is P,
  withinMs = PLAN_WAIT_MS,
  onStatus: (view: StatusView) => void = () => undefined,
): Promise<P | null> {
  const begun = performance.now();
  while (performance.now() < begun + withinMs) {
    const plan = await waitingPlan(session, workflowId).catch(() => null);
    if (plan !== null && isOurs(plan)) return plan;
    const view = await statusOf(session, workflowId, { jobs: false });
    onStatus(view);
    if (isFinal(view.state)) return null;
    if (view.state === 'waiting-worker' && performance.now() > begun + PLAN_WAIT_MS) return null;
    await sleep(500);
  }
  return null;
}

/**
 * The plan for whoever uses `--detach`: it is waited for, and what is missing is said. Null where it is not made in time.
 * @throws what the operation failed with, where it is over without a plan: why it was refused is the answer
 */
export async function planBeforeDetaching<P extends ApprovablePlan>(
  cli: Cli,
  session: TemporalSession,
  { workflowId, handle }: StartedOperation,
  isOurs: (plan: ApprovablePlan) => plan is P,
  withinMs?: number,
): Promise<P | null> {
  let said: string | null = null;
  const sayMissing = ({ state, waitingFor }: StatusView): void => {
    if (state !== 'waiting-worker' || waitingFor === said || !cli.showsProgress) return;
    said = waitingFor;
    cli.say(`waiting for ${waitingFor}\nthis command waits ${PLAN_WAIT_MS / 1000} s for that; ${workflowId} stays`);
  };
  const plan = await planWhenMade(session, workflowId, isOurs, withinMs, sayMissing);
  if (plan === null && isFinal((await statusOf(session, workflowId, { jobs: false })).state)) await handle.result();
  return plan;
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
