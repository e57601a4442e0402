import { workflowInfo } from '@temporalio/workflow';
import type { VerifyMediaInput, VerifyMediaOutput } from '../api.js';
import { operationIdOf, waitForHost } from '../lock/with-cluster-lock.js';
import { controlActivities, heavyActivities, retryLostWorker } from '../operation/activity-proxies.js';
import { OperationStatus, runOperation } from '../operation/operation-status.js';

/** Reads the media of a cluster and says what is wrong with them; changes nothing. */
export async function verifyMedia({ cluster, operationId, order }: VerifyMediaInput): Promise<VerifyMediaOutput> {
  const work = new OperationStatus('verify-media', cluster);
  return runOperation(work, async () => {
    const { host } = await controlActivities.describeCluster({ cluster });
    await waitForHost(work, host);
    const step = { cluster, operationId: operationIdOf(operationId), workflowId: workflowInfo().workflowId, order };
    const verdict = await work.phase('read the media', () =>
      retryLostWorker(() => heavyActivities(host, `verify the media ${order.media}`).verifyMedia(step)),
    );
    work.show(
      'completed',
      null,
      `**${verdict.problems === 0 ? 'Sound' : `${verdict.problems} problems`}:** ${verdict.objects} objects`,
    );
    return verdict;
  });
}
