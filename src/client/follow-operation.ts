import type { WorkflowHandle } from '@temporalio/client';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import type { TemporalSession } from './connect.js';
import { isFinal, statusOf } from './status.js';
import type { StatusView } from './status.js';

export interface FollowOptions {
  /** Called with every status: each `everyMs`, else each second, and less often when it takes long. */
  readonly onStatus: (view: StatusView) => void | Promise<void>;
  readonly everyMs?: number;
  /** The command that follows it again, where it needs more than the id. */
  readonly followCommand?: string;
  /** Stops watching; the operation goes on. */
  readonly timeoutMs?: number | undefined;
  /** Why it is no use to wait on, by its status; null: it is. */
  readonly giveUp?: ((view: StatusView) => RepriseError | null) | undefined;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/**
 * Waits for the result of an operation while showing its progress. The operation goes on whatever happens here.
 * @throws `timeout` (exit 124), `interrupted` (exit 130), each with the command to follow it again; what `giveUp` says; else what the
 * operation failed with.
 */
export async function follow<T>(session: TemporalSession, handle: WorkflowHandle, options: FollowOptions): Promise<T> {
  const stop = new AbortController();
  // Every renewal of the long poll listens once more.
  setMaxListeners(0, stop.signal);
  // Its long poll ends with the following.
  const result = session.connection
    .withAbortSignal(stop.signal, () => handle.result() as Promise<T>)
    .finally(() => stop.abort());
  const givenUp = new AbortController();
  const onStatus = async (view: StatusView): Promise<void> => {
    await options.onStatus(view);
    const isLateRecord = isFinal(view.state) && view.finishedAt === null && view.waitingFor !== null;
    const why = isLateRecord ? decided(view) : (options.giveUp?.(view) ?? null);
    if (why !== null) givenUp.abort(why);
  };
  const showing = showStatus(session, handle.workflowId, { ...options, onStatus }, stop.signal);
  const ended = Promise.race([result, stopped(handle.workflowId, options, stop.signal), aborted(givenUp.signal)]);
  try {
    return await ended;
  } finally {
    stop.abort();
    result.catch(() => undefined);
    await showing;
  }
}

/** It was decided and only its record waits for a host: a person need not wait for that. */
function decided({ workflowId, state, waitingFor }: StatusView): RepriseError {
  return new RepriseError(
    'approval-refused',
    `${workflowId} is ${state}; ${waitingFor}`,
    `see it: reprise status ${workflowId}`,
  );
}

function aborted(signal: AbortSignal): Promise<never> {
  const never = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  never.catch(() => undefined);
  return never;
}

/** Shows an operation until it ends; returns its last view. */
export async function watchOperation(
  session: TemporalSession,
  workflowId: string,
  options: FollowOptions,
): Promise<StatusView> {
  const stop = new AbortController();
  const gone = stopped(workflowId, options, stop.signal);
  gone.catch(() => undefined);
  const startedAt = performance.now();
  try {
    for (;;) {
      const view = await Promise.race([statusOf(session, workflowId, { jobs: false }), gone]);
      await options.onStatus(view);
      if (isFinal(view.state)) return view;
      await Promise.race([sleep(options.everyMs ?? pauseMs(startedAt)), gone]);
    }
  } finally {
    stop.abort();
  }
}

async function showStatus(
  session: TemporalSession,
  workflowId: string,
  options: FollowOptions,
  stop: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  while (!stop.aborted) {
    try {
      // Its requests end with the following.
      const look = (): Promise<StatusView> => statusOf(session, workflowId, { jobs: false });
      const view = await session.connection.withAbortSignal(stop, look);
      if (!stop.aborted) await options.onStatus(view);
    } catch {
      // A status that cannot be read is no failure of the operation: the result decides.
    }
    await sleep(options.everyMs ?? pauseMs(startedAt), undefined, { signal: stop }).catch(() => undefined);
  }
}

/** Until the next look: a second within the first minute, five after five minutes. Temporal Cloud counts every look. */
function pauseMs(startedAt: number): number {
  return Math.min(Math.max((performance.now() - startedAt) / 60, 1000), 5000);
}

/** Rejects when the time is over or a person interrupts. */
function stopped(workflowId: string, options: FollowOptions, stop: AbortSignal): Promise<never> {
  const back = `the operation continues; follow it again: \`${options.followCommand ?? `reprise watch ${workflowId}`}\``;
  return new Promise<never>((_, reject) => {
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => reject(new RepriseError('timeout', `${workflowId} did not end within --timeout`, back)),
            options.timeoutMs,
          );
    const interrupt = (): void => reject(new RepriseError('interrupted', `stopped watching ${workflowId}`, back));
    if (options.signal.aborted) interrupt();
    options.signal.addEventListener('abort', interrupt);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', interrupt);
    });
  });
}
