import type { VerifyMediaInput, VerifyMediaOutput } from '../api.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities } from '../operation/activity-proxies.js';
import { openOperation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

/** Reads the media of a cluster and says what is wrong with them; changes nothing. */
export function verifyMedia(input: VerifyMediaInput): Promise<VerifyMediaOutput> {
  return openOperation('verify-media', input, async (operation) => {
    const { status, host, step } = operation;
    const { order } = input;
    const verdict = await status.phase('read the media', () =>
      withHostSlot(operation, 'heavy', () =>
        runStep(operation, 'read the media', () =>
          heavyActivities(host, `verify the media ${order.media}`).verifyMedia({ ...step, order }),
        ),
      ),
    );
    status.show(
      'completed',
      null,
      `**${verdict.problems === 0 ? 'Sound' : `${verdict.problems} problems`}:** ${verdict.objects} objects`,
    );
    return verdict;
  });
}
