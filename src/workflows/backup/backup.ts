import { defineSearchAttributeKey } from '@temporalio/common';
import { CancellationScope, log, patched, workflowInfo } from '@temporalio/workflow';
import type { OrderedStep } from '../../activities/api.js';
import type { VerificationOrder } from '../../domain/operation/orders.js';
import type { BackupInput, BackupOutput, RotateOutput } from '../api.js';
import { withClusterLock, operationIdOf, waitForHost } from '../lock/with-cluster-lock.js';
import {
  fewTriesHostActivities,
  controlActivities,
  heavyActivities,
  hostActivities,
  retryLostWorker,
} from '../operation/activity-proxies.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import { OperationStatus, runOperation, failureOf, isCancelled, refusal } from '../operation/operation-status.js';

/** A start that the server makes in time comes within seconds. */
const LATE_MS = 60_000;
const SCHEDULED = defineSearchAttributeKey('TemporalScheduledStartTime', 'DATETIME');

const NO_ROTATION: RotateOutput = {
  keep: [],
  remove: [],
  removed: [],
  refused: {
    reason: 'this run makes up for a start that was missed, and nothing is removed because of that',
    hint: 'the next run in time rotates; or: reprise rotate',
  },
};

/** Back up, prove, rotate: in that order, so that nothing goes before its successor is proven (B1–B4, P1). */
export async function backup(input: BackupInput): Promise<BackupOutput> {
  const work = new OperationStatus('backup', input.cluster);
  return runOperation(work, async () => {
    const { cluster, requester, order } = input;
    const { policy } = order;
    const step = { cluster, operationId: operationIdOf(input.operationId), workflowId: workflowInfo().workflowId };
    const startedAt = workflowInfo().startTime.toISOString();

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

    const skip = async (code: 'policy-disabled' | 'lock-held', reason: string): Promise<BackupOutput> => {
      await hostActivities(host, 'note why nothing was done').recordSkipped({ ...step, policy, reason });
      work.show('completed', null, `**Skipped:** ${reason}`);
      return { backups: [], skipped: { code, reason } };
    };
    if (!facts.enabled) return skip('policy-disabled', `policy ${policy} of ${cluster} is disabled (enabled: false)`);

    const claim = {
      cluster,
      operationId: step.operationId,
      kind: 'backup' as const,
      policy,
      engine: facts.engine,
      repository: facts.repository,
    };
    const run = async (): Promise<BackupOutput> => {
      const ordered = { ...step, requester, order, startedAt };
      try {
        await work.phase('check before the backup', () =>
          heavyActivities(host, 'check before the backup', 5).preflightBackup(ordered),
        );
        const made = await work.phase('back up', () =>
          retryLostWorker(() => heavyActivities(host, `back up ${cluster} with ${facts.engine}`).runBackup(ordered)),
        );
        if (facts.proof !== 'none') {
          const restore = facts.proof === 'restore';
          for (const backupId of made) {
            await work.phase(`prove ${backupId}`, () => prove(host, { ...step, order: { backupId, restore } }));
          }
        }
        const rotation = startedLate()
          ? NO_ROTATION
          : await work.phase('rotate', () =>
              retryLostWorker(() =>
                heavyActivities(host, 'remove what retention lets go').rotateBackups({
                  ...step,
                  order: { policy },
                }),
              ),
            );
        if (rotation.refused && rotation !== NO_ROTATION)
          await teller.notify(
            failureNotice('rotation', policy, {
              code: 'rotation-refused',
              message: rotation.refused.reason,
              hint: rotation.refused.hint,
            }),
          );
        const backups = await hostActivities(host, 'read the catalogue').readBackups({ ...step, backupIds: made });
        work.show('completed', null, summaryOf(made, rotation));
        return { backups, rotation };
      } catch (error) {
        const failure = failureOf(error);
        const { code, message } = failure;
        // First, because the record may have to wait for a host that is gone.
        if (!isCancelled(error)) await teller.notify(failureNotice('backup', policy, failure));
        const noted = CancellationScope.nonCancellable(() =>
          fewTriesHostActivities(host, 'note the failure').recordFailed({ ...step, policy, code, reason: message }),
        );
        // Where even the record cannot be written, the failure itself is what people must see.
        await noted.catch(() => log.warn('the failure could not be recorded'));
        throw error;
      }
    };
    return withClusterLock(claim, run, (holder) =>
      skip(
        'lock-held',
        `${holder.kind} of policy ${holder.policy} holds ${cluster} since ${holder.since} (${holder.workflowId})`,
      ),
    );
  });
}

/** Made up for by a backfill or after an outage: such runs come in a row, and let nothing go (F27). */
function startedLate(): boolean {
  const { typedSearchAttributes, startTime } = workflowInfo();
  const due = typedSearchAttributes.get(SCHEDULED);
  return due !== undefined && startTime.getTime() - due.getTime() > LATE_MS && patched('late-starts-do-not-rotate');
}

async function prove(host: string, step: OrderedStep<VerificationOrder>): Promise<void> {
  const { backupId } = step.order;
  const verdict = await retryLostWorker(() => heavyActivities(host, `prove ${backupId}`).proveBackup(step));
  if (!verdict.ok)
    throw refusal(
      'backup-corrupt',
      `${backupId} did not stand its proof: ${verdict.detail}`,
      'it is quarantined; older backups were kept',
    );
}

function summaryOf(made: readonly string[], rotation: RotateOutput): string {
  const removed = rotation.removed.length > 0 ? `removed ${rotation.removed.join(', ')}` : 'nothing removed';
  return `**Made:** ${made.join(', ')}\n\n**Rotation:** ${rotation.refused ? `${rotation === NO_ROTATION ? 'none' : 'refused'}: ${rotation.refused.reason}` : removed}`;
}
