import { Context } from '@temporalio/activity';
import { tsToMs } from '@temporalio/common/lib/time.js';
import { RepriseError } from '../../domain/errors.js';

/**
 * By how many milliseconds this host's clock is ahead of Temporal's (behind: negative): the server notes when it hands
 * an attempt to a worker. Null where it cannot be told, as in an activity without a workflow. Called first thing in an
 * activity: what passes before counts as a difference.
 * @throws RepriseError `temporal-unreachable`
 */
export async function clockAhead(): Promise<number | null> {
  const here = Date.now();
  const { info, client } = Context.current();
  if (!info.workflowExecution) return null;
  const { workflowId, runId } = info.workflowExecution;
  const { raw } = await client.workflow
    .getHandle(workflowId, runId)
    .describe()
    .catch((error: unknown) => {
      throw new RepriseError(
        'temporal-unreachable',
        `Temporal did not tell its time: ${String(error)}`,
        'it is asked again',
      );
    });
  const started = raw.pendingActivities?.find(({ activityId }) => activityId === info.activityId)?.lastStartedTime;
  return started ? here - tsToMs(started) : null;
}
