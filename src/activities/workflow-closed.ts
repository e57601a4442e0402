import type { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { isClosedStatus } from '../domain/operation/executions.js';

/** A workflow that an operation belongs to; without the execution, whichever is the latest. */
export interface Owner {
  readonly workflowId: string;
  readonly firstRunId: string | null;
}

/** Whether the workflow has ended; null where Temporal does not know, and then everything is kept. */
export type HasClosed = (owner: Owner) => Promise<boolean | null>;

/** Asks Temporal. One that is paused, not found, or out of reach has not ended. */
export function closedByTemporal(client: Client): HasClosed {
  return async ({ workflowId, firstRunId }) => {
    try {
      const { status, raw } = await client.workflow.getHandle(workflowId).describe();
      const latest = raw.workflowExecutionInfo?.firstRunId;
      // The id was given to a later execution: the one that is asked for has ended before.
      if (firstRunId !== null && latest && latest !== firstRunId) return true;
      return isClosedStatus(status.name);
    } catch {
      return null;
    }
  };
}

/** The same for an activity; one that runs without a worker knows no Temporal. */
export function closedAsToldBy(context: Context): HasClosed {
  try {
    return closedByTemporal(context.client);
  } catch {
    return () => Promise.resolve(null);
  }
}
