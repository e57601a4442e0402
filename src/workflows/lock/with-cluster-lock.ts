import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import type { LockHolder, LockKind } from '../api.js';
import { controlActivities, waitActivities } from '../operation/activity-proxies.js';
import type { OperationStatus } from '../operation/operation-status.js';

/** What a workflow claims while it holds a cluster. */
export interface ClusterLockRequest {
  readonly cluster: string;
  readonly operationId: string;
  readonly kind: LockKind;
  readonly policy: string;
  readonly engine: string;
  readonly repository: string;
}

/** Runs with the cluster held; `busy` decides when another holds it (a backup gives way, a recovery waits). */
export async function withClusterLock<T>(
  claim: ClusterLockRequest,
  run: () => Promise<T>,
  busy: (holder: LockHolder) => Promise<T | 'again'>,
): Promise<T> {
  const { cluster, ...request } = claim;
  const { operationId } = claim;
  // Registered before the claim: a claim that was granted but whose answer was lost is given back too.
  try {
    for (;;) {
      const answer = await controlActivities.acquireLock({
        cluster,
        request: { ...request, workflowId: workflowInfo().workflowId },
      });
      if (answer.granted) return await run();
      const instead = await busy(answer.holder);
      if (instead !== 'again') return instead;
    }
  } finally {
    await CancellationScope.nonCancellable(() => controlActivities.releaseLock({ cluster, operationId }));
  }
}

/** Waits until a worker of the host polls, and says so meanwhile: a time-out would not tell what is missing. */
export async function waitForHost(work: OperationStatus, host: string): Promise<void> {
  if (await controlActivities.hostAnswers({ host })) return;
  work.show('waiting-worker', `a worker on host "${host}": start one there with \`reprise worker --host ${host}\``);
  await waitActivities(`a worker on host ${host}`).awaitHost({ host });
  work.show('running');
}

/** Operation id where the starter gave none: schedules put their time into the workflow id. */
export function operationIdOf(given: string | undefined): string {
  const info = workflowInfo();
  return given ?? `${info.workflowId}@${info.startTime.toISOString()}`;
}
