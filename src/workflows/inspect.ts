import { ActivityFailure, TimeoutFailure } from '@temporalio/workflow';
import { type Inspection, joinAnswers, listsEverything } from '../domain/operation/inspections.js';
import type { InspectInput } from './api.js';
import { controlActivities, quickHostActivities, scanActivities } from './operation/activity-proxies.js';

/**
 * One inspection of the command line, on the hosts that own the data, where the server runs no activities without a workflow.
 * Results of several hosts come as one; what is too long for one payload stays on its host, to be read in pages.
 */
export async function inspect(input: InspectInput): Promise<unknown> {
  const { question } = input;
  const hosts = await controlActivities.hostsOf({ question });
  const answers = await Promise.all(hosts.map((host) => inspectOn(host, question, hosts)));
  return joinAnswers(answers);
}

/** A host that has just died still seems to have a worker: then one that its clusters can be recovered onto is asked, where `asked` has none. */
async function inspectOn(host: string, question: Inspection, asked: readonly string[]): Promise<unknown> {
  const activities = listsEverything(question) ? scanActivities : quickHostActivities;
  try {
    return await activities(host, `inspect: ${question.kind}`).answer({ question, host });
  } catch (error) {
    const neverStarted =
      error instanceof ActivityFailure &&
      error.cause instanceof TimeoutFailure &&
      error.cause.timeoutType === 'SCHEDULE_TO_START';
    if (!neverStarted) throw error;
    const others = await controlActivities.hostsOf({ question, without: host });
    const other = others.find((one) => !asked.includes(one));
    if (other === undefined) throw error;
    return activities(other, `inspect: ${question.kind}, instead of host ${host}`).answer({ question, host: other });
  }
}
