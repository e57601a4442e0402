import { ActivityFailure, ApplicationFailure, TemporalFailure, sleep, workflowInfo } from '@temporalio/workflow';
import { markdownSentence } from '../../domain/text/markdown.js';
import type { ArchiveInput } from '../api.js';
import { controlActivities, receiveActivities } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild, isNewRunDue } from '../operation/continue-as-new.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import { waitForHost } from '../operation/wait-for-host.js';
import { OperationStatus, runOperation, failureOf, isCancelled, sentence } from '../operation/operation-status.js';

/** Pause after a failure that no retry removes, such as a missing privilege: a person may have corrected it. */
const RETRY_AFTER_MS = 60_000;
/** Pauses double up to this long. */
const LONGEST_PAUSE_MS = 5 * 60_000;

/**
 * Keeps the WAL of one policy being received, for ever: the activity stays on the host, beside a program that outlives
 * it. It ends only by a cancellation, which ends the program too. People are told of a failure once, until it is over.
 */
export async function receiveWal(input: ArchiveInput): Promise<void> {
  const status = new OperationStatus('archive', input.cluster);
  return runOperation(status, () => new WalReceiving(input, status).run());
}

class WalReceiving {
  private told: boolean;
  private trouble: string;
  /** Failures in a row. */
  private failures = 0;
  readonly notifications: Notifications;

  constructor(
    private readonly input: ArchiveInput,
    readonly status: OperationStatus,
  ) {
    const { cluster } = input;
    const { workflowId, runId } = workflowInfo();
    // With the run's id, so that messages of this run are not taken for those of an earlier one.
    this.notifications = new Notifications({ cluster, operationId: `${workflowId}@${runId}`, workflowId });
    this.told = input.told === true;
    this.trouble = `WAL of ${cluster} waits on its host`;
  }

  async run(): Promise<void> {
    const { cluster, policy } = this.input;
    for (;;) {
      if (isNewRunDue())
        await continueOnCurrentBuild<typeof receiveWal>({ cluster, policy, ...(this.told ? { told: true } : {}) });
      this.show();
      try {
        await this.receive();
      } catch (error) {
        if (isCancelled(error) || !(error instanceof TemporalFailure)) throw error;
        await this.interrupted(error);
      }
    }
  }

  private show(): void {
    const { cluster, policy } = this.input;
    const received = `WAL of ${cluster} is received for policy ${policy}`;
    this.status.show('running', null, markdownSentence(this.told ? this.trouble : received));
  }

  private async receive(): Promise<void> {
    const { cluster, policy } = this.input;
    const facts = await controlActivities.describeCluster({ cluster });
    this.notifications.configure(facts);
    if (await waitForHost(facts.host, this)) this.show();
    const ended = await receiveActivities(facts.host).receiveWal({
      cluster,
      policy,
      ...(this.told ? { waits: true } : {}),
    });
    this.failures = 0;
    if (ended?.waits !== true) this.told = false;
  }

  private async interrupted(error: TemporalFailure): Promise<void> {
    const { cluster, policy } = this.input;
    this.trouble = `WAL of ${cluster} is not received: ${sentence(error)}`;
    this.status.show('running', null, markdownSentence(this.trouble));
    const isFinal =
      error instanceof ActivityFailure &&
      error.cause instanceof ApplicationFailure &&
      error.cause.nonRetryable === true;
    const failure = failureOf(error);
    if (isFinal && !this.told) {
      this.told = true;
      this.notifications.configureUnknown();
      await this.notifications.notify(failureNotice('WAL', policy, failure, new Date()));
    }
    await sleep(this.pauseMs(isFinal && failure.code !== 'wal-not-archived'), {
      summary: 'receiving was interrupted; it starts again',
    });
  }

  /** WAL that waits on the host is tried again at once, then less often; the receiving program is still running there. */
  private pauseMs(needsPerson: boolean): number {
    const firstMs = needsPerson ? RETRY_AFTER_MS : 1_000;
    return Math.min(firstMs * 2 ** Math.min(this.failures++, 20), LONGEST_PAUSE_MS);
  }
}
