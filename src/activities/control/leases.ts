import { type Client, WithStartWorkflowOperation } from '@temporalio/client';
import { type Workflow, WorkflowNotFoundError } from '@temporalio/common';
import { RepriseError } from '../../domain/errors.js';
import { OPEN_EXECUTIONS } from '../../domain/operation/executions.js';
import {
  type Held,
  type LeaseAnswer,
  type LeaseClaim,
  type LeaseOwner,
  type LeaseRequest,
  noLeases,
} from '../../domain/operation/lease.js';
import { CONTROL_QUEUE, queryNames, updateNames } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { isClosed, openExecution } from './executions.js';

/** A workflow whose worker is busy answers within this time; one that is paused does not answer. */
const QUERY_MS = 5000;

/** What is leased, and by which workflow. */
export interface LeaseResource {
  readonly workflowType: string;
  readonly workflowId: string;
  /** Input of the workflow, without the state. */
  readonly input: object;
  readonly summary: string;
}

/** An owner, and the token up to which it releases what it was granted; absent: everything. */
export type Leaving = LeaseOwner & { readonly token?: number | undefined };

/** Asks for a lease; a holder whose execution is closed is no obstacle. */
export async function acquireLease<C extends LeaseClaim>(
  client: Client,
  resource: LeaseResource,
  asked: LeaseRequest<C>,
): Promise<LeaseAnswer<C>> {
  for (;;) {
    const startWorkflowOperation = await startOf(client, resource);
    const answer = await repeatable(
      client.workflow.executeUpdateWithStart<Workflow, LeaseAnswer<C>, [LeaseRequest<C>]>(updateNames.acquire, {
        args: [asked],
        startWorkflowOperation,
      }),
    );
    if (answer.granted || !(await isClosed(client, answer.holder))) return answer;
    // Its workflow ended without releasing it.
    const { workflowId, runId } = answer.holder;
    await tryRelease(client, resource, { workflowId, runId });
  }
}

/** With a grant and without the workflow that serves it, that is started again: it asks who is under way, and tells those who wait. */
export async function releaseLease(client: Client, resource: LeaseResource, owner: Leaving): Promise<void> {
  if ((await tryRelease(client, resource, owner)) || owner.token === undefined) return;
  await repeatable(
    client.workflow.executeUpdateWithStart<Workflow, void, [Leaving]>(updateNames.release, {
      args: [owner],
      startWorkflowOperation: await startOf(client, resource),
    }),
  );
}

/** A workflow refuses as `busy` an update that it could not replay: Temporal then repeats the activity that sent it. */
async function repeatable<T>(sent: Promise<T>): Promise<T> {
  try {
    return await sent;
  } catch (error) {
    const { cause } = error as { cause?: { type?: string; message?: string } };
    if (cause?.type === 'busy') throw new RepriseError('busy', cause.message ?? 'busy', 'it is sent again');
    throw error;
  }
}

/** Null where the server does not know the workflow. */
export async function leaseHolders<C>(
  client: Client,
  { workflowId }: LeaseResource,
): Promise<readonly Held<C>[] | null> {
  try {
    return await client.workflow.getHandle(workflowId).query<readonly Held<C>[]>(queryNames.holders);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** False where the workflow does not run. */
async function tryRelease(client: Client, { workflowId }: LeaseResource, owner: Leaving): Promise<boolean> {
  try {
    const handle = client.workflow.getHandle(workflowId);
    await repeatable(handle.executeUpdate<void, [Leaving]>(updateNames.release, { args: [owner] }));
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Used where the workflow does not run. */
async function startOf(client: Client, resource: LeaseResource): Promise<WithStartWorkflowOperation<Workflow>> {
  const { workflowType, workflowId, input, summary } = resource;
  return new WithStartWorkflowOperation(workflowType, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [{ ...input, state: (await endedIdle(client, workflowId)) ? noLeases : undefined }],
    priority: priorityOf(workflowType),
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: summary,
  });
}

/** It ends by itself when nobody holds it. Ended in any other way, or never seen, it asks who is under way. */
async function endedIdle(client: Client, workflowId: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    return status.name === 'COMPLETED';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** What an open operation says of a lease; null where it does not answer. */
export interface Asked<V> {
  readonly owner: LeaseOwner;
  readonly view: V | null;
}

/**
 * Asks each open operation of these workflow types itself. `where` narrows them down, and `known` are asked too: the list of the
 * server lags by about a second.
 */
export async function askOperations<V>(
  client: Client,
  {
    types,
    where,
    query,
    known,
  }: {
    readonly types: readonly string[];
    readonly where?: string;
    readonly query: string;
    readonly known: readonly LeaseOwner[];
  },
): Promise<readonly Asked<V>[]> {
  const ids = new Set(known.map(({ workflowId }) => workflowId));
  const conditions = [`WorkflowType IN (${types.map((type) => `'${type}'`).join(', ')})`, OPEN_EXECUTIONS];
  const listed = client.workflow.list({
    query: [...(where === undefined ? [] : [where]), ...conditions].join(' AND '),
  });
  for await (const { workflowId } of listed) ids.add(workflowId);
  const asked = await Promise.all([...ids].map((workflowId) => ask<V>(client, workflowId, query)));
  return asked.filter((one) => one !== null);
}

async function ask<V>(client: Client, workflowId: string, query: string): Promise<Asked<V> | null> {
  const owner = await openExecution(client, workflowId);
  if (owner === null) return null;
  const { connection, workflow } = client;
  const view = await connection
    .withDeadline(Date.now() + QUERY_MS, () => workflow.getHandle(workflowId).query<V>(query))
    .catch(() => null);
  return { owner, view };
}
