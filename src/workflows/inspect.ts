import { ActivityFailure, TimeoutFailure, patched } from '@temporalio/workflow';
import { mergeInspectionResults } from '../domain/operation/inspections.js';
import { type Inspection, listsEverything } from '../domain/operation/inspections.js';
import type { AskInput } from './api.js';
import { fewTriesHostActivities as briefly, controlActivities, scanActivities } from './operation/activity-proxies.js';

/**
 * One question of the command line to the hosts that own the data: neither the command line nor the control worker
 * opens a repository or a database. Answers of several hosts come as one.
 */
export async function inspect(input: AskInput): Promise<unknown> {
  const { question } = input;
  const hosts = await controlActivities.hostsOf({ question });
  return mergeInspectionResults(await Promise.all(hosts.map((host) => askOne(host, question))));
}

/** A host that has just died still seems to have a worker: then one that its clusters can be recovered onto is asked. */
async function askOne(host: string, question: Inspection): Promise<unknown> {
  const asking = listsEverything(question) ? scanActivities : briefly;
  try {
    return await asking(host, `answer "${question.kind}"`).answer({ question, host });
  } catch (error) {
    const neverTaken =
      error instanceof ActivityFailure &&
      error.cause instanceof TimeoutFailure &&
      error.cause.timeoutType === 'SCHEDULE_TO_START';
    if (!neverTaken || !patched('ask-another-host')) throw error;
    const [other] = await controlActivities.hostsOf({ question, without: host });
    if (other === undefined || other === host) throw error;
    return asking(other, `answer "${question.kind}" in place of ${host}`).answer({ question, host: other });
  }
}
