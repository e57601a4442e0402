import { mediaVerificationOrder } from '../../domain/operation/orders.js';
import { verifyAll } from '../../media/verify.js';
import type { HostActivities } from '../api.js';
import type { HostDependencies } from '../dependencies.js';
import { withOrder, wrapActivity } from '../activity-wrapper.js';
import { mediaOf, openPlace } from './places.js';
import { openClusterContext, record } from '../cluster-context.js';

/** Media read and looked at; nothing is changed. */
export function mediaVerifying(deps: HostDependencies): Pick<HostActivities, 'verifyMedia'> {
  return {
    verifyMedia: wrapActivity(
      'verifyMedia',
      withOrder(mediaVerificationOrder, async (step, run) => {
        const session = await openClusterContext(deps, step.cluster);
        const media = mediaOf(session, step.order.media);
        const verdict = await verifyAll(openPlace(session, media), {
          ...{ concurrency: media.concurrency, sample: step.order.sample, signal: run.signal },
          report: (done) => run.report({ phase: 'verify', done, unit: 'files' }),
        });
        const text = `media ${media.name}: ${verdict.objects} objects, ${verdict.read} read whole (${verdict.unchecked} without a checksum to compare with), ${verdict.decoded} images decoded, ${verdict.problems} problems`;
        await record(session, step, 'verify-media', {
          kind: 'journal',
          workflowId: step.workflowId,
          step: 'verify',
          text,
        });
        return verdict;
      }),
    ),
  };
}
