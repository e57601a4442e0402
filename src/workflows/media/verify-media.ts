import { workflowInfo } from '@temporalio/workflow';
import type { VerifyMediaInput, VerifyMediaOutput } from '../api.js';
import { untilHostAnswers } from '../lock/with-cluster-lock.js';
import { control, heavy, outlasting } from '../operation/activity-proxies.js';
import { Work, concluded } from '../operation/operation-status.js';

/** Reads the media of a cluster and says what is wrong with them; changes nothing. */
export async function verifyMedia({
  cluster,
  operationId,
  media,
  sample,
}: VerifyMediaInput): Promise<VerifyMediaOutput> {
  const work = new Work('verify-media', cluster);
  return concluded(work, async () => {
    const { host } = await control.describeCluster({ cluster });
    await untilHostAnswers(work, host);
    const step = { cluster, operationId, workflowId: workflowInfo().workflowId, media, sample };
    const verdict = await work.phase('read the media', () =>
      outlasting(() => heavy(host, `verify the media ${media}`).verifyMedia(step)),
    );
    work.show(
      'completed',
      null,
      `**${verdict.problems === 0 ? 'Sound' : `${verdict.problems} problems`}:** ${verdict.objects} objects`,
    );
    return verdict;
  });
}
