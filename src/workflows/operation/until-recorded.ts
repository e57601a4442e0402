import { RetryState } from '@temporalio/common';
import { ActivityFailure, TimeoutFailure } from '@temporalio/workflow';
import type { HostActivities } from '../../activities/api.js';
import { hostActivities, hostActivitiesFor } from './activity-proxies.js';
import type { Notifications } from './notifications.js';
import type { OperationStatus } from './operation-status.js';

interface Recording {
  readonly host: string;
  readonly status: OperationStatus;
  readonly notifications: Notifications;
}

/** After so long people are told that a record is waited for. */
const TOLD_AFTER = '1m';

/**
 * A fact that is kept on the host: what records it is repeated until it succeeds. People are told where that takes long, because
 * the operation waits for it. `giveUpAfter`: for a line without which the operation had better go on.
 */
export async function untilRecorded<T>(
  { host, status, notifications }: Recording,
  summary: string,
  record: (activities: HostActivities) => Promise<T>,
  giveUpAfter?: '10m',
): Promise<T> {
  try {
    return await record(hostActivitiesFor(host, summary, TOLD_AFTER));
  } catch (error) {
    if (!ranOutOfTime(error)) throw error;
  }
  const waitingFor = `"${summary}" on host ${host}, which is tried again: see that its worker runs and that the repository of the catalogue answers (\`reprise doctor\`)`;
  await notifications.notify({ kind: 'paused', event: 'failure', step: summary, waitingFor });
  const activities =
    giveUpAfter === undefined ? hostActivities(host, summary) : hostActivitiesFor(host, summary, giveUpAfter);
  return status.whileWaiting(waitingFor, () => record(activities));
}

/** An activity that might have succeeded later: no worker took it, or its attempts failed for a reason that passes. */
export function ranOutOfTime(error: unknown): boolean {
  return (
    error instanceof ActivityFailure &&
    (error.cause instanceof TimeoutFailure || error.retryState === RetryState.TIMEOUT)
  );
}
