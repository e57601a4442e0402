import { CancellationScope } from '@temporalio/workflow';
import type { StepInput } from '../../activities/api.js';
import type { LockClaim, LockHolder } from '../../domain/operation/locks.js';
import { controlActivities } from '../operation/activity-proxies.js';
import { refusal } from '../operation/operation-status.js';

/** Runs with the cluster locked; `busy` decides when another operation holds it (a backup gives way, a recovery waits). */
export async function withClusterLock<T>(
  { cluster, operationId, workflowId }: StepInput,
  claim: LockClaim,
  run: () => Promise<T>,
  busy: (holder: LockHolder) => Promise<T | 'again'>,
): Promise<T> {
  // Registered before the claim: a claim that was granted but whose answer was lost is released too.
  try {
    for (;;) {
      const answer = await controlActivities.acquireLock({ cluster, request: { ...claim, operationId, workflowId } });
      if (answer.granted) return await run();
      const instead = await busy(answer.holder);
      if (instead !== 'again') return instead;
    }
  } finally {
    await CancellationScope.nonCancellable(() => controlActivities.releaseLock({ cluster, operationId }));
  }
}

/** For work that somebody asked for and that does not wait. @throws `lock-held` */
export function refuseWhileLocked(cluster: string, { kind, policy, since, workflowId }: LockHolder): never {
  throw refusal(
    'lock-held',
    `${kind} of policy ${policy} holds ${cluster} since ${since}`,
    `wait for ${workflowId}: reprise watch ${workflowId}`,
  );
}
