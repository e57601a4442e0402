import { Context } from '@temporalio/activity';
import { RepriseError } from '../domain/errors.js';
import {
  type KnownGrant,
  type LockKnowledge,
  type ShownGrant,
  forgetGrants,
  refusingGrant,
  rememberGrant,
} from '../domain/operation/lock-grants.js';
import type { LockClaim } from '../domain/operation/locks.js';
import { waitForLock } from '../process/jobs/file-lock.js';
import { operationsInUse } from '../process/jobs/supervisor.js';
import { readGrants, writeGrants } from '../records/lock-grants.js';
import { wrapActivity } from './activity-wrapper.js';
import type { HostActivities, StepInput } from './api.js';
import type { ClusterContext } from './cluster-context.js';
import { hostOf } from './config-lookup.js';
import type { HostDependencies } from './dependencies.js';

/** Whoever writes the record of grants is done within milliseconds. */
const RECORD_TIMEOUT_MS = 30_000;

/**
 * The host's own record of the cluster lock. A lock workflow may be terminated while an operation holds the lock, and an
 * operation may be reset to before it released it: then two believe that they hold the cluster, and the host knows better.
 */
export function grantActivities(deps: HostDependencies): Pick<HostActivities, 'releaseGrant' | 'describeLock'> {
  return {
    releaseGrant: wrapActivity('releaseGrant', async ({ cluster, operationId }) => {
      // Not what the input says: whoever calls it by hand releases nothing for another.
      const workflowId = Context.current().info.workflowExecution?.workflowId ?? '';
      await forgetGrantsOf(hostOf(deps).stateDir, cluster, { operationId, workflowId });
    }),
    describeLock: wrapActivity('describeLock', async ({ cluster }) => describeLock(hostOf(deps).stateDir, cluster)),
  };
}

/** What an operation held whose workflow has ended. */
export function forgetGrantsOf(
  stateDir: string,
  cluster: string,
  holder: { readonly operationId: string; readonly workflowId: string },
): Promise<void> {
  return changeGrants(stateDir, cluster, (known) => forgetGrants(known, holder, new Date().toISOString()));
}

/**
 * Records the grant that a step shows, and refuses the step where the lock was lost: to a later holder that conflicts, or
 * because it was released. The claim is the host's own, of its plan or its configuration.
 * @throws RepriseError `lock-lost`
 */
export async function requireGrant(
  { host: { stateDir }, cluster: { name } }: ClusterContext,
  { operationId, workflowId, lock }: StepInput,
  claim: LockClaim,
): Promise<void> {
  const shown = { claim, operationId, workflowId, grant: lock ?? null };
  const accept = (known: readonly KnownGrant[]): readonly KnownGrant[] => {
    const refusing = refusingGrant(known, shown);
    if (refusing) throw lockLost(name, shown, refusing);
    return rememberGrant(known, shown);
  };
  const known = await readGrants(stateDir, name);
  if (accept(known) !== known) await changeGrants(stateDir, name, accept);
}

async function changeGrants(
  stateDir: string,
  cluster: string,
  change: (known: readonly KnownGrant[]) => readonly KnownGrant[],
): Promise<void> {
  const write = async (): Promise<void> => {
    const known = await readGrants(stateDir, cluster);
    const next = change(known);
    if (next !== known) await writeGrants(stateDir, cluster, next);
  };
  const signal = AbortSignal.timeout(RECORD_TIMEOUT_MS);
  await waitForLock(stateDir, `grants-${cluster}`, write, { signal, timeoutMs: RECORD_TIMEOUT_MS });
}

/** Who is under way by what this host knows, and the token above which the next grant has to be. */
async function describeLock(stateDir: string, cluster: string): Promise<LockKnowledge> {
  const known = await readGrants(stateDir, cluster);
  const running = await operationsInUse(stateDir, 0);
  return {
    active: known
      .map((grant) => ({ ...grant, running: running.has(grant.operationId) }))
      .filter((grant) => grant.running || grant.releasedAt === null),
    lastToken: Math.max(0, ...known.map(({ token }) => token)),
  };
}

function lockLost(cluster: string, shown: ShownGrant, refusing: KnownGrant): RepriseError {
  const isOwn = refusing.operationId === shown.operationId;
  return new RepriseError(
    'lock-lost',
    isOwn
      ? `operation ${shown.operationId} has released the lock of ${cluster}`
      : `operation ${shown.operationId} does not hold the lock of ${cluster} any more: ${refusing.workflowId} holds it for ${refusing.kind} since ${refusing.since}`,
    'the operation takes the lock again and repeats the step; see who holds it: reprise status',
    { operationId: refusing.operationId, workflowId: refusing.workflowId },
  );
}
