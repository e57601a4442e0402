import { Context } from '@temporalio/activity';
import { type Client, WithStartWorkflowOperation } from '@temporalio/client';
import { type Workflow, WorkflowNotFoundError } from '@temporalio/common';
import { type LeaseOwner, type LeaseRequest, noLeases } from '../../domain/operation/lease.js';
import type { LockAnswer, LockGrant, LockView, OwnedClaim } from '../../domain/operation/locks.js';
import { OPEN_EXECUTIONS } from '../../domain/operation/executions.js';
import {
  CONTROL_QUEUE,
  lockWorkflowId,
  queryNames,
  searchAttributes,
  updateNames,
  workflowTypes,
} from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ControlActivities, LockedOperations } from '../api.js';
import { firstClosed, isClosed, openExecution } from './executions.js';

/** A workflow whose worker is busy answers within this time; one that is paused does not answer. */
const QUERY_MS = 5000;
/** Workflows that lock their cluster. */
const LOCKING = [
  workflowTypes.backup,
  workflowTypes.rotate,
  workflowTypes.adopt,
  workflowTypes.recover,
  workflowTypes.media,
];

type LockActivities = Pick<
  ControlActivities,
  'acquireLock' | 'releaseLock' | 'lockedOperations' | 'awaitClosed' | 'recoveryHolds'
>;

/** The cluster lock as activities: they carry requests to its workflow, and look at executions. */
export function lockActivities(): LockActivities {
  return {
    acquireLock: wrapActivity('acquireLock', async ({ cluster, request, waits, lost }) =>
      acquire(Context.current().client, cluster, { claim: request, waits, lost }),
    ),
    releaseLock: wrapActivity('releaseLock', async ({ cluster, owner }) =>
      release(Context.current().client, cluster, owner),
    ),
    lockedOperations: wrapActivity('lockedOperations', async ({ cluster, known }) =>
      lockedOperations(Context.current().client, cluster, known),
    ),
    awaitClosed: wrapActivity('awaitClosed', async ({ owners }) => firstClosed(owners)),
    recoveryHolds: wrapActivity('recoveryHolds', async ({ cluster }) =>
      recoveryHolds(Context.current().client, cluster),
    ),
  };
}

async function acquire(client: Client, cluster: string, asked: LeaseRequest<OwnedClaim>): Promise<LockAnswer> {
  for (;;) {
    const answer = await ask(client, cluster, asked);
    if (answer.granted || !(await isClosed(client, answer.holder))) return answer;
    // Its workflow ended without releasing the lock.
    const { workflowId, runId } = answer.holder;
    await tryRelease(client, cluster, { workflowId, runId });
  }
}

async function ask(client: Client, cluster: string, asked: LeaseRequest<OwnedClaim>): Promise<LockAnswer> {
  const startWorkflowOperation = await startOf(client, cluster);
  return client.workflow.executeUpdateWithStart<Workflow, LockAnswer, [LeaseRequest<OwnedClaim>]>(updateNames.acquire, {
    args: [asked],
    startWorkflowOperation,
  });
}

/** Used where the workflow of the lock does not run. */
async function startOf(client: Client, cluster: string): Promise<WithStartWorkflowOperation<Workflow>> {
  return new WithStartWorkflowOperation(workflowTypes.lock, {
    workflowId: lockWorkflowId(cluster),
    taskQueue: CONTROL_QUEUE,
    args: [{ cluster, state: (await endedIdle(client, cluster)) ? noLeases : undefined }],
    priority: priorityOf(workflowTypes.lock),
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `who holds ${cluster}`,
  });
}

/** The lock ends by itself when nobody holds it. Ended in any other way, or never seen, it asks who is under way. */
async function endedIdle(client: Client, cluster: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(lockWorkflowId(cluster)).describe();
    return status.name === 'COMPLETED';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** With a grant and without the lock's workflow, that is started again: it asks who is under way, and tells those who wait. */
async function release(client: Client, cluster: string, owner: LeaseOwner & { token?: number }): Promise<void> {
  if ((await tryRelease(client, cluster, owner)) || owner.token === undefined) return;
  await client.workflow.executeUpdateWithStart<Workflow, void, [LeaseOwner & { token?: number }]>(updateNames.release, {
    args: [owner],
    startWorkflowOperation: await startOf(client, cluster),
  });
}

/** False where the lock's workflow does not run. */
async function tryRelease(client: Client, cluster: string, owner: LeaseOwner & { token?: number }): Promise<boolean> {
  try {
    await client.workflow.getHandle(lockWorkflowId(cluster)).executeUpdate<void, [LeaseOwner]>(updateNames.release, {
      args: [owner],
    });
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Asked of each operation itself. `known`: owners that a host names; the list of the server lags by about a second. */
async function lockedOperations(
  client: Client,
  cluster: string,
  known: readonly LeaseOwner[],
): Promise<LockedOperations> {
  const ids = new Set(known.map(({ workflowId }) => workflowId));
  const types = LOCKING.map((type) => `'${type}'`).join(', ');
  const query = `${searchAttributes.cluster} = '${cluster}' AND WorkflowType IN (${types}) AND ${OPEN_EXECUTIONS}`;
  for await (const { workflowId } of client.workflow.list({ query })) ids.add(workflowId);
  const asked = (await Promise.all([...ids].map((workflowId) => viewOf(client, workflowId)))).flat();
  return {
    held: asked.flatMap(({ view }) => view?.grant ?? []),
    waiting: asked.flatMap(({ owner, view }) => (view?.waits ? [owner] : [])),
    silent: asked.flatMap(({ owner, view }) => (view === null ? [owner] : [])),
  };
}

/** What an open operation says; null where it does not answer. */
async function viewOf(
  client: Client,
  workflowId: string,
): Promise<readonly { readonly owner: LeaseOwner; readonly view: LockView | null }[]> {
  const owner = await openExecution(client, workflowId);
  if (owner === null) return [];
  const { connection, workflow } = client;
  const view = await connection
    .withDeadline(Date.now() + QUERY_MS, () => workflow.getHandle(workflowId).query<LockView>(queryNames.lock))
    .catch(() => null);
  return [{ owner, view }];
}

async function recoveryHolds(client: Client, cluster: string): Promise<boolean> {
  const recoveries = (await holdersOf(client, cluster)).filter(({ kind }) => kind === 'recovery');
  // One whose workflow was terminated holds nothing any more.
  const closed = await Promise.all(recoveries.map((holder) => isClosed(client, holder)));
  return closed.includes(false);
}

async function holdersOf(client: Client, cluster: string): Promise<readonly LockGrant[]> {
  try {
    return await client.workflow.getHandle(lockWorkflowId(cluster)).query<readonly LockGrant[]>(queryNames.holders);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return [];
    throw error;
  }
}
