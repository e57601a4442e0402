import type { ActivityHandle, ActivityOptions } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import type { Progress } from '../domain/operation/progress.js';
import type { HeartbeatDetails } from '../domain/operation/status.js';
import type { TemporalSession } from './connect.js';
import { rejectWithoutPoller } from './pollers.js';

/** gRPC's code where a server does not know the call, or has it turned off. */
const GRPC_UNIMPLEMENTED = 12;

export interface StandaloneActivity {
  readonly name: string;
  readonly input: unknown;
  readonly options: ActivityOptions;
  /** Ends the waiting; the activity is given up. */
  readonly interruption?: AbortSignal | undefined;
  /** Called with how far it is, as its heartbeats say. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Runs one activity without a workflow: it is in no list of workflows.
 * @throws RepriseError `host-without-worker` when no worker polls its queue; `interrupted`; what the activity failed with otherwise.
 */
export async function runStandalone<T>(
  session: TemporalSession,
  { name, input, options, interruption, onProgress }: StandaloneActivity,
): Promise<T> {
  const handle = await session.client.activity.start<T>(name, { ...options, args: [input] });
  const ended = new AbortController();
  const answer = session.connection
    .withAbortSignal(ended.signal, () => handle.result())
    .finally(() => ended.abort()) as Promise<T>;
  const alone = rejectWithoutPoller(session, options.taskQueue, () => hasStarted(handle), ended.signal);
  // All are observed below; the losers' rejections must not count as unhandled.
  for (const promise of [answer, alone]) promise.catch(() => undefined);
  if (onProgress !== undefined) void followProgress(handle, onProgress, ended.signal);
  try {
    return await Promise.race([answer, alone, ...(interruption ? [interrupted(interruption, ended.signal)] : [])]);
  } catch (error) {
    if (!ended.signal.aborted) await handle.terminate('nobody waits for it any more').catch(() => undefined);
    throw error;
  } finally {
    ended.abort();
  }
}

const PROGRESS_MS = 1000;

/** Until the end; what cannot be read now is read the next time. */
async function followProgress(
  handle: ActivityHandle,
  onProgress: (progress: Progress) => void,
  ended: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(PROGRESS_MS, undefined, { signal: ended }).catch(() => undefined);
    if (ended.aborted) return;
    const progress = await progressOf(handle).catch(() => undefined);
    if (progress !== undefined && !ended.aborted) onProgress(progress);
  }
}

async function progressOf(handle: ActivityHandle): Promise<Progress | undefined> {
  const description = await handle.describe({ includeHeartbeatDetails: true });
  if (!description.hasHeartbeatDetails) return undefined;
  return (await description.getHeartbeatDetails<HeartbeatDetails>())?.progress;
}

/** Whether this server runs no activities without a workflow: those before 1.31 do not, and others may have it turned off. */
export function lacksStandaloneActivities(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  return code === GRPC_UNIMPLEMENTED || cause?.code === GRPC_UNIMPLEMENTED;
}

/** Never resolves; rejects when the person who asked interrupts. */
export function interrupted(interruption: AbortSignal, ended: AbortSignal): Promise<never> {
  return new Promise<never>((_, reject) => {
    const stop = (): void =>
      reject(
        new RepriseError('interrupted', 'stopped waiting for the answer', 'run the command again: nothing was changed'),
      );
    if (interruption.aborted) stop();
    interruption.addEventListener('abort', stop, { signal: ended });
  });
}

async function hasStarted(handle: ActivityHandle): Promise<boolean> {
  return (await handle.describe()).lastStartedTime !== undefined;
}

/** What ended so long ago nobody waits for any more. */
const FORGOTTEN_MS = 60_000;
const MOST_AT_ONCE = 100;
const TRIES = 3;
const PAUSE_MS = 60;

/**
 * Removes activities that have ended: these, and earlier ones whose ids begin so. Only what the server lists as ended: one that is
 * removed before stays in that list for ever. What it lists later, or may not be removed, the next call or the retention removes.
 */
export async function removeEnded(session: TemporalSession, prefix: string, ids: readonly string[]): Promise<void> {
  const left = new Set(ids);
  for (let tries = 0; tries < TRIES && left.size > 0; tries++) {
    if (tries > 0) await sleep(PAUSE_MS);
    const ended = await listEnded(session, prefix, [...left]).catch(() => []);
    await Promise.all(ended.map((id) => remove(session, id)));
    for (const id of ended) left.delete(id);
  }
}

async function listEnded({ client }: TemporalSession, prefix: string, ids: readonly string[]): Promise<string[]> {
  const before = new Date(Date.now() - FORGOTTEN_MS).toISOString();
  const own = ids.map((id) => `'${id}'`).join(', ');
  const query = `ActivityId STARTS_WITH '${prefix}' AND ExecutionStatus != 'Running' AND (ActivityId IN (${own}) OR CloseTime < '${before}')`;
  const found: string[] = [];
  for await (const { activityId } of client.activity.list(query)) {
    if (found.length >= MOST_AT_ONCE) break;
    found.push(activityId);
  }
  return found;
}

async function remove({ connection, settings }: TemporalSession, activityId: string): Promise<void> {
  await connection.workflowService
    .deleteActivityExecution({ namespace: settings.namespace, activityId })
    .catch(() => undefined);
}
