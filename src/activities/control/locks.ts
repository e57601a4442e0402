import { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { LeaseOwner } from '../../domain/operation/lease.js';
import type { LockView, OwnedClaim } from '../../domain/operation/locks.js';
import { lockWorkflowId, queryNames, searchAttributes, workflowTypes } from '../../domain/operation/names.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ControlActivities, LeasedOperations } from '../api.js';
import type { LockGrant } from '../../domain/operation/locks.js';
import { firstClosed, isClosed } from './executions.js';
import { type LeaseResource, acquireLease, askOperations, leaseHolders, releaseLease } from './leases.js';

/** Workflows that lock their cluster. */
const LOCKING = [
  workflowTypes.backup,
  workflowTypes.rotate,
  workflowTypes.adopt,
  workflowTypes.recover,
  workflowTypes.media,
  workflowTypes.repairTable,
];

type LockActivities = Pick<
  ControlActivities,
  'acquireLock' | 'releaseLock' | 'lockedOperations' | 'awaitClosed' | 'recoveryHolds'
>;

/** The cluster lock as activities: they carry requests to its workflow, and look at executions. */
export function lockActivities(): LockActivities {
  return {
    acquireLock: wrapActivity('acquireLock', async ({ cluster, request, waits, lost }) =>
      acquireLease<OwnedClaim>(Context.current().client, lockOf(cluster), { claim: request, waits, lost }),
    ),
    releaseLock: wrapActivity('releaseLock', async ({ cluster, owner }) =>
      releaseLease(Context.current().client, lockOf(cluster), owner),
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

const lockOf = (cluster: string): LeaseResource => ({
  workflowType: workflowTypes.lock,
  workflowId: lockWorkflowId(cluster),
  input: { cluster },
  summary: `who holds ${cluster}`,
});

async function lockedOperations(
  client: Client,
  cluster: string,
  known: readonly LeaseOwner[],
): Promise<LeasedOperations<LockGrant>> {
  const where = `${searchAttributes.cluster} = '${cluster}'`;
  const asked = await askOperations<LockView>(client, { types: LOCKING, where, query: queryNames.lock, known });
  return {
    held: asked.flatMap(({ view }) => view?.grant ?? []),
    waiting: asked.flatMap(({ owner, view }) => (view?.waits ? [owner] : [])),
    silent: asked.flatMap(({ owner, view }) => (view === null ? [owner] : [])),
  };
}

async function recoveryHolds(client: Client, cluster: string): Promise<boolean> {
  // As the lock knows them, also one that was terminated; of one that was deleted, as the operations say.
  const known = await leaseHolders<OwnedClaim>(client, lockOf(cluster));
  const holders = known ?? (await lockedOperations(client, cluster, [])).held;
  const recoveries = holders.filter(({ kind }) => kind === 'recovery');
  // One whose workflow was terminated holds nothing any more.
  const closed = await Promise.all(recoveries.map((holder) => isClosed(client, holder)));
  return closed.includes(false);
}
