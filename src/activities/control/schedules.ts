import { Context } from '@temporalio/activity';
import { type Client, type ScheduleDescription, ScheduleNotFoundError } from '@temporalio/client';
import type { ClusterConfig } from '../../domain/config.js';
import { type Finding, problem } from '../../domain/findings.js';
import { archiveWorkflowId, scheduleId, watchWorkflowId } from '../../domain/operation/names.js';
import { owedUntil, scheduleProblem, type ScheduleState, schedulesOf } from '../../domain/operation/schedules.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ControlActivities } from '../api.js';
import { clusterOf } from '../config-lookup.js';
import type { ControlDependencies } from '../dependencies.js';
import { isWorkflowOpen } from './executions.js';

/** What the configuration has run by itself, as the Temporal server knows it. */
export function scheduleActivities(
  deps: ControlDependencies,
): Pick<ControlActivities, 'isScheduled' | 'lookAtSchedules'> {
  return {
    isScheduled: wrapActivity('isScheduled', async ({ cluster, policy }) => {
      const found = await describeIfThere(Context.current().client, scheduleId(cluster, policy));
      return found !== undefined && !found.state.paused;
    }),
    lookAtSchedules: wrapActivity('lookAtSchedules', async ({ cluster: name, now: at }) => {
      const { client } = Context.current();
      const [cluster, now] = [clusterOf(deps.config, name), new Date(at)];
      const found: Finding[] = [];
      for (const one of schedulesOf(deps.config, cluster)) {
        const description = await describeIfThere(client, scheduleId(name, one.policy));
        const state = description === undefined ? null : stateOf(description);
        const wrong = scheduleProblem(name, one, { state, dueAt: deps.lastRun(one.schedule, owedUntil(one, now)) });
        if (wrong !== null) found.push(wrong);
      }
      return [...found, ...(await missingWorkflows(client, cluster, deps.receivingPolicies(name)))];
    }),
  };
}

function stateOf({ state, info }: ScheduleDescription): ScheduleState {
  return {
    paused: state.paused,
    note: state.note || null,
    lastRun: info.recentActions.at(-1)?.takenAt.toISOString() ?? null,
    since: (info.lastUpdatedAt ?? info.createdAt).toISOString(),
    isRunning: info.runningActions.length > 0,
    missedRuns: info.numActionsMissedCatchupWindow,
  };
}

/** The watch, and what receives WAL, run all the time: somebody may have ended them. */
async function missingWorkflows(
  client: Client,
  { name, watch }: ClusterConfig,
  receiving: readonly string[],
): Promise<readonly Finding[]> {
  const wanted = [
    ...(watch === undefined
      ? []
      : [{ id: watchWorkflowId(name), words: `${name} is not watched: nobody is told when it fails` }]),
    ...receiving.map((policy) => ({
      id: archiveWorkflowId(name, policy),
      words: `WAL of ${name} is not received for policy ${policy}`,
    })),
  ];
  const found = await Promise.all(
    wanted.map(async ({ id, words }) =>
      (await isWorkflowOpen(client, id))
        ? []
        : [problem(id, `${words}, because the workflow ${id} does not run`, 'reprise schedule apply')],
    ),
  );
  return found.flat();
}

async function describeIfThere(client: Client, id: string): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(id).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}
