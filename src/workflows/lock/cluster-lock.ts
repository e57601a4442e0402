import type { LockKnowledge } from '../../domain/operation/lock-grants.js';
import { type LeaseOwner, sameOwner } from '../../domain/operation/lease.js';
import { type LockGrant, type OwnedClaim, clusterLockRule } from '../../domain/operation/locks.js';
import type { LockInput } from '../api.js';
import { controlActivities, hostActivitiesFor } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild } from '../operation/continue-as-new.js';
import { ranOutOfTime } from '../operation/until-recorded.js';
import { LeaseServer, type UnderWay } from './lease-server.js';

/**
 * Who holds the lock of a cluster, for what, since when, and who waits for it. One workflow per cluster; it ends when nobody holds
 * it for some minutes, and the next request starts it again. Tokens grow over restarts and over a lost Temporal server, because
 * they start from the clock.
 */
export async function clusterLock({ cluster, state }: LockInput): Promise<void> {
  const server = new LeaseServer<OwnedClaim>(clusterLockRule, state, () => operationsUnderWay(cluster));
  const ended = await server.serve();
  if (ended !== 'idle') await continueOnCurrentBuild<typeof clusterLock>({ cluster, state: ended.continueWith });
}

/**
 * Who holds the cluster is asked of the operations themselves. For one that does not answer, because it is paused, its host knows
 * which grant it has shown; with the host dead too, it counts as holding everything until it answers or is closed.
 */
async function operationsUnderWay(cluster: string): Promise<UnderWay<OwnedClaim>> {
  const recorded = await askHosts(cluster);
  const grants = recorded.flatMap(({ active }) => active);
  const known = grants.map(({ workflowId, runId }) => ({ workflowId, runId }));
  const { held, waiting, silent } = await controlActivities.lockedOperations({ cluster, known });
  const assumed = silent.flatMap((owner): readonly LockGrant[] => {
    const shown = grants.filter((grant) => sameOwner(grant, owner) && grant.releasedAt === null);
    if (shown.length > 0) return shown;
    return recorded.length > 0 ? [] : [everything(owner)];
  });
  return {
    held: [...held, ...assumed],
    waiting,
    lastToken: Math.max(0, ...recorded.map(({ lastToken }) => lastToken)),
  };
}

/** What the hosts of a cluster have recorded, of those that answer. */
async function askHosts(cluster: string): Promise<readonly LockKnowledge[]> {
  const { host, targetHosts } = await controlActivities.describeCluster({ cluster });
  const hosts = [...new Set([host, ...Object.values(targetHosts ?? {})])];
  return (await Promise.all(hosts.map((host) => askHost(host, cluster)))).flat();
}

/** One that is only busy answers later, and is waited for; one whose worker is gone is not. */
async function askHost(host: string, cluster: string): Promise<readonly LockKnowledge[]> {
  while (await controlActivities.hostAnswers({ host })) {
    try {
      return [await hostActivitiesFor(host, 'look up which operation is under way', '1m').describeLock({ cluster })];
    } catch (error) {
      if (!ranOutOfTime(error)) return [];
    }
  }
  return [];
}

function everything(owner: LeaseOwner): LockGrant {
  const since = new Date().toISOString();
  return { ...owner, operationId: '', kind: 'recovery', policy: '*', engine: '*', repository: '*', since, token: 0 };
}
