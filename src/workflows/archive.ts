import { ActivityFailure, ApplicationFailure, continueAsNew, patched, sleep, workflowInfo } from '@temporalio/workflow';
import type { ArchiveInput } from './api.js';
import { controlActivities, receiveActivities } from './operation/activity-proxies.js';
import { Notifications, failureNotice } from './operation/notifications.js';
import { OperationStatus, runOperation, failureOf, isCancelled, sentence } from './operation/operation-status.js';

/** A fault that no attempt by itself mends, such as a missing right, is tried again at this pace: somebody may have mended it. */
const PAUSE = '1m';

/**
 * Keeps the WAL of one policy being received, for ever: the activity sits on the host, beside a program that outlives it.
 * It ends only by a cancellation, which ends the program too. People are told of a trouble once, until it is over.
 */
export async function archive(input: ArchiveInput): Promise<void> {
  const { cluster, policy } = input;
  const work = new OperationStatus('archive', cluster);
  const { workflowId, runId } = workflowInfo();
  // Each run's own: what an earlier run told is another message.
  const teller = new Notifications({ cluster, operationId: `${workflowId}@${runId}`, workflowId });
  return runOperation(work, async () => {
    let told = input.told === true;
    let trouble = `WAL of ${cluster} waits on its host`;
    for (;;) {
      if (workflowInfo().continueAsNewSuggested)
        await continueAsNew<typeof archive>({ cluster, policy, ...(told ? { told } : {}) });
      work.show('running', null, told ? trouble : `WAL of ${cluster} is received for policy ${policy}`);
      try {
        const facts = await controlActivities.describeCluster({ cluster });
        teller.configure(facts);
        const ended = await receiveActivities(facts.host).receiveWal({
          cluster,
          policy,
          ...(told ? { waits: true } : {}),
        });
        if (ended?.waits === true) continue;
        told = false;
      } catch (error) {
        if (isCancelled(error) || !(error instanceof ActivityFailure)) throw error;
        trouble = `WAL of ${cluster} is not received: ${sentence(error)}`;
        work.show('running', null, trouble);
        const final = error.cause instanceof ApplicationFailure && error.cause.nonRetryable === true;
        const failure = failureOf(error);
        if (final && !told && patched('archive-tells')) {
          told = true;
          await teller.notify(failureNotice('WAL', policy, failure, new Date()));
        }
        // What waits on the host is looked after at once, beside the program that goes on there.
        await sleep(final && failure.code !== 'wal-not-archived' ? PAUSE : '1s', {
          summary: 'receiving was interrupted; it starts again',
        });
      }
    }
  });
}
