import { workflowInfo } from '@temporalio/workflow';
import type { VerifyInput, VerifyOutput } from '../api.js';
import { operationIdOf, waitForHost } from '../lock/with-cluster-lock.js';
import { controlActivities, heavyActivities, hostActivities, retryLostWorker } from '../operation/activity-proxies.js';
import { OperationStatus, runOperation, refusal } from '../operation/operation-status.js';

/** Proves one backup: read whole, or restored into a scratch server and compared. A failed proof quarantines it. */
export async function verifyBackup(input: VerifyInput): Promise<VerifyOutput> {
  const work = new OperationStatus('verify', input.cluster);
  return runOperation(work, async () => {
    const { cluster, order } = input;
    const { backupId, restore } = order;
    const step = { cluster, operationId: operationIdOf(input.operationId), workflowId: workflowInfo().workflowId };
    const { host } = await controlActivities.describeCluster({ cluster });
    await waitForHost(work, host);
    const verdict = await work.phase(restore ? 'restore into a scratch server' : 'read the whole backup', () =>
      retryLostWorker(() =>
        heavyActivities(host, `${restore ? 'restore' : 'verify'} ${backupId}`).proveBackup({ ...step, order }),
      ),
    );
    const [backup] = await hostActivities(host, 'read the catalogue').readBackups({ ...step, backupIds: [backupId] });
    if (!backup) throw refusal('not-found', `${backupId} is gone`, `reprise backup list ${cluster}`);
    work.show('completed', null, `**${verdict.ok ? 'Proven' : 'Not proven'}:** ${verdict.detail}`);
    return { backup, ok: verdict.ok, detail: verdict.detail };
  });
}
