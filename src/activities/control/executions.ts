import { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { isClosedStatus } from '../../domain/operation/executions.js';
import type { LeaseOwner } from '../../domain/operation/lease.js';

/** A long poll that fails says little: the next one waits a moment. */
const AFTER_FAILURE_MS = 1000;
/** `HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT` */
const CLOSE_EVENT = 2;

/** Whether the workflow of this id has not ended. One that the server does not know has. */
export async function isWorkflowOpen(client: Client, workflowId: string): Promise<boolean> {
  const latest = await latestOf(client, workflowId);
  return latest !== null && !latest.isClosed;
}

/**
 * Whether this execution is over, with all its runs: Reset and continue-as-new begin another run of the same one. What is
 * paused, unreachable or of an unknown status is not.
 */
export async function isClosed(client: Client, { workflowId, runId }: LeaseOwner): Promise<boolean> {
  return isOver(await latestOf(client, workflowId), runId);
}

/** The open execution of this id; null where there is none. */
export async function openExecution(client: Client, workflowId: string): Promise<LeaseOwner | null> {
  const latest = await latestOf(client, workflowId);
  return latest === null || latest.isClosed ? null : { workflowId, runId: latest.firstRunId };
}

/** The first of these executions that is closed; waits for it with long polls of the server. */
export async function firstClosed(owners: readonly LeaseOwner[]): Promise<LeaseOwner> {
  const { client, cancellationSignal } = Context.current();
  const found = new AbortController();
  const signal = AbortSignal.any([cancellationSignal, found.signal]);
  const cancelled = new Promise<never>((_, fail) => {
    cancellationSignal.addEventListener('abort', () => fail(cancellationSignal.reason as Error), { once: true });
  });
  try {
    return await Promise.race([...owners.map((owner) => untilClosed(client, owner, signal)), cancelled]);
  } finally {
    found.abort();
  }
}

async function untilClosed(client: Client, owner: LeaseOwner, signal: AbortSignal): Promise<LeaseOwner> {
  while (!signal.aborted) {
    const latest = await latestOf(client, owner.workflowId).catch(() => undefined);
    if (latest !== undefined && isOver(latest, owner.runId)) return owner;
    const polled = latest && (await closeOf(client, owner.workflowId, latest.runId, signal).catch(() => false));
    if (!polled) await sleep(AFTER_FAILURE_MS, undefined, { signal }).catch(() => undefined);
  }
  throw signal.reason;
}

/** One long poll: it returns when the run has closed, or after the server's own limit of some seconds. */
async function closeOf(
  { connection, options: { namespace } }: Client,
  workflowId: string,
  runId: string,
  signal: AbortSignal,
): Promise<true> {
  await connection.withAbortSignal(signal, () =>
    connection.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId, runId },
      waitNewEvent: true,
      historyEventFilterType: CLOSE_EVENT,
    }),
  );
  return true;
}

interface LatestRun {
  readonly runId: string;
  readonly firstRunId: string;
  readonly isClosed: boolean;
}

/** Where a later execution has the id, this one was closed before. */
function isOver(latest: LatestRun | null, firstRunId: string): boolean {
  return latest === null || latest.isClosed || (latest.firstRunId !== '' && latest.firstRunId !== firstRunId);
}

async function latestOf(client: Client, workflowId: string): Promise<LatestRun | null> {
  try {
    const { runId, status, raw } = await client.workflow.getHandle(workflowId).describe();
    const firstRunId = raw.workflowExecutionInfo?.firstRunId ?? '';
    return { runId, firstRunId, isClosed: isClosedStatus(status.name) };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}
