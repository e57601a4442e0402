import { log } from '@temporalio/workflow';
import type { ClusterFacts } from '../../activities/api.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import { controlActivities, noticeActivities } from './activity-proxies.js';
import type { Operation } from './open-operation.js';
import { isCancelled } from './operation-status.js';

type State = Extract<NoticeFacts, { kind: 'run' }>['state'];

/** A service that does not answer for so long misses the signal: a later one would only tell it something wrong. */
const TRY_FOR_MS = 60_000;

/**
 * Tells the services of `heartbeat` notifiers that a run begins, and how it ended: the dead man's switch, where silence is noticed
 * outside. It never fails the run, and delays its end by a minute at the most. What was skipped or cancelled is no success and no
 * failure: nothing is told, so that the silence counts.
 * @param work the policy, or `drill`
 * @param stateOf how a result counts; null: it was skipped
 */
export async function withHeartbeats<T>(
  operation: Operation,
  { tells }: Pick<ClusterFacts, 'tells'>,
  work: string,
  run: () => Promise<T>,
  stateOf: (result: T) => Exclude<State, 'started'> | null,
): Promise<T> {
  if (tells?.includes('run') !== true) return run();
  const begun = tell(operation, work, 'started');
  const end = async (state: State | null): Promise<void> => {
    // In this order: a start after the end would count as a run that hangs.
    await begun;
    if (state !== null) await tell(operation, work, state);
  };
  try {
    const result = await run();
    await end(stateOf(result));
    return result;
  } catch (error) {
    await end(isCancelled(error) ? null : 'failed');
    throw error;
  }
}

async function tell({ step }: Operation, work: string, state: State): Promise<void> {
  const { cluster, operationId, workflowId } = step;
  const facts: NoticeFacts = { kind: 'run', work, state };
  const notice = { cluster, operationId, workflowId, key: `run-${state}`, at: new Date().toISOString(), facts };
  try {
    const deliveries = await controlActivities.deliveriesOf({ notice });
    await Promise.all(
      deliveries.map((delivery) =>
        noticeActivities(`heartbeat of ${work}: ${state}, to ${delivery.notifier}`, TRY_FOR_MS).sendNotice({
          notice,
          delivery,
        }),
      ),
    );
  } catch (error) {
    log.warn('a heartbeat was not sent', { work, state, reason: String(error) });
  }
}
