import { ActivityFailure, ApplicationFailure, continueAsNew, sleep, workflowInfo } from '@temporalio/workflow';
import type { ArchiveInput } from './api.js';
import { control, receiving } from './proxies.js';
import { Work, concluded, isCancelled, sentence } from './work.js';

/** A fault that no attempt by itself mends, such as a missing right, is tried again at this pace: somebody may have mended it. */
const PAUSE = '1m';

/**
 * Keeps the WAL of one policy being received, for ever: the activity sits on the host, beside a program that outlives it.
 * It ends only by a cancellation, which ends the program too.
 */
export async function archive(input: ArchiveInput): Promise<void> {
  const { cluster, policy } = input;
  const work = new Work('archive', cluster);
  return concluded(work, async () => {
    for (;;) {
      if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof archive>({ cluster, policy });
      work.show('running', null, `WAL of ${cluster} is received for policy ${policy}`);
      try {
        const { host } = await control.describeCluster({ cluster });
        await receiving(host).receiveWal({ cluster, policy });
      } catch (error) {
        if (isCancelled(error) || !(error instanceof ActivityFailure)) throw error;
        work.show('running', null, `WAL of ${cluster} is not received: ${sentence(error)}`);
        const final = error.cause instanceof ApplicationFailure && error.cause.nonRetryable === true;
        await sleep(final ? PAUSE : '1s', { summary: 'receiving was interrupted; it starts again' });
      }
    }
  });
}
