import { markdownSentence, markdownText } from '../../domain/text/markdown.js';
import type { RotateInput, RotateOutput } from '../api.js';
import { refuseWhileLocked, underLock, withClusterLock } from '../lock/with-cluster-lock.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities } from '../operation/activity-proxies.js';
import { failureNotice } from '../operation/notifications.js';
import { type Operation, openOperation, policyFacts } from '../operation/open-operation.js';
import { failureOf, isCancelled } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';

/** Removes the backups that retention no longer keeps, each with its reason; refuses while another holds the lock. */
export function rotate(input: RotateInput): Promise<RotateOutput> {
  return openOperation('rotate', input, (operation, facts) => {
    const { cluster, order } = input;
    const { engine, repository } = policyFacts(facts, cluster, order.policy);
    const claim = { kind: 'rotation' as const, policy: order.policy, engine, repository };
    return withHostSlot(operation, 'heavy', () =>
      withClusterLock(operation, claim, () => rotateLocked(operation, order), {
        giveWay: async (holder) => refuseWhileLocked(cluster, holder),
      }),
    );
  });
}

async function rotateLocked(operation: Operation, order: RotateInput['order']): Promise<RotateOutput> {
  const { status, notifications } = operation;
  const rotation = await removeExpired(operation, order).catch(async (error: unknown) => {
    if (!isCancelled(error)) await notifications.notify(failureNotice('rotation', order.policy, failureOf(error)));
    throw error;
  });
  await notifyRefused(operation, order.policy, rotation);
  const { refused, removed } = rotation;
  status.show(
    'completed',
    null,
    refused
      ? `**Refused:** ${markdownSentence(refused.reason)}`
      : `**Removed:** ${markdownText(removed.join(', ') || 'nothing')}`,
  );
  return rotation;
}

/** The rotation of one policy, as one phase. */
export function removeExpired(operation: Operation, order: RotateInput['order']): Promise<RotateOutput> {
  const { status, host } = operation;
  return status.phase('rotate', () =>
    runStep(operation, 'rotate', () =>
      underLock(operation, (step) =>
        heavyActivities(host, 'remove the backups that retention no longer keeps').rotateBackups({ ...step, order }),
      ),
    ),
  );
}

export async function notifyRefused(
  { notifications }: Operation,
  policy: string,
  { refused }: RotateOutput,
): Promise<void> {
  if (!refused) return;
  const { reason, hint } = refused;
  await notifications.notify(failureNotice('rotation', policy, { code: 'rotation-refused', message: reason, hint }));
}
