import { workflowInfo } from '@temporalio/workflow';
import type { RotateInput, RotateOutput } from '../api.js';
import { withClusterLock, operationIdOf, waitForHost } from '../lock/with-cluster-lock.js';
import { controlActivities, heavyActivities, retryLostWorker } from '../operation/activity-proxies.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import { OperationStatus, runOperation, failureOf, isCancelled, refusal } from '../operation/operation-status.js';

/** Removes what retention lets go, each with its reason; gives way to whoever holds the repository (B3, F29, F30). */
export async function rotate(input: RotateInput): Promise<RotateOutput> {
  const work = new OperationStatus('rotate', input.cluster);
  return runOperation(work, async () => {
    const { cluster, order } = input;
    const { policy } = order;
    const step = { cluster, operationId: operationIdOf(input.operationId), workflowId: workflowInfo().workflowId };
    const teller = new Notifications(step);
    const described = await controlActivities.describeCluster({ cluster });
    const { host, policies } = described;
    teller.configure(described);
    const facts = policies[policy];
    if (!facts)
      throw refusal(
        'not-found',
        `cluster ${cluster} has no backup policy "${policy}"`,
        `its policies: ${Object.keys(policies).join(', ')}`,
      );
    await waitForHost(work, host);

    const claim = {
      cluster,
      operationId: step.operationId,
      kind: 'rotation' as const,
      policy,
      engine: facts.engine,
      repository: facts.repository,
    };
    const run = async (): Promise<RotateOutput> => {
      const rotation = await work
        .phase('rotate', () =>
          retryLostWorker(() =>
            heavyActivities(host, 'remove what retention lets go').rotateBackups({ ...step, order }),
          ),
        )
        .catch(async (error: unknown) => {
          if (!isCancelled(error)) await teller.notify(failureNotice('rotation', policy, failureOf(error)));
          throw error;
        });
      if (rotation.refused)
        await teller.notify(
          failureNotice('rotation', policy, {
            code: 'rotation-refused',
            message: rotation.refused.reason,
            hint: rotation.refused.hint,
          }),
        );
      work.show(
        'completed',
        null,
        rotation.refused
          ? `**Refused:** ${rotation.refused.reason}`
          : `**Removed:** ${rotation.removed.join(', ') || 'nothing'}`,
      );
      return rotation;
    };
    return withClusterLock(claim, run, async (holder) => {
      throw refusal(
        'lock-held',
        `${holder.kind} of policy ${holder.policy} holds ${cluster} since ${holder.since}`,
        `wait for ${holder.workflowId}: reprise watch ${holder.workflowId}`,
      );
    });
  });
}
