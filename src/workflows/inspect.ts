import { ActivityFailure, TimeoutFailure, patched } from '@temporalio/workflow';
import { mergeAnswers } from '../domain/operation/merge-inspections.js';
import { type Question, listsEverything } from '../domain/operation/inspections.js';
import type { AskInput } from './api.js';
import { ask as briefly, control, looks } from './operation/activity-proxies.js';

/**
 * One question of the command line to the hosts that own the data: neither the command line nor the control worker
 * opens a repository or a database. Answers of several hosts come as one.
 */
export async function ask(input: AskInput): Promise<unknown> {
  const { question } = input;
  const hosts = await control.hostsOf({ question });
  return mergeAnswers(await Promise.all(hosts.map((host) => askOne(host, question))));
}

/** A host that has just died still seems to have a worker: then one that its clusters can be recovered onto is asked. */
async function askOne(host: string, question: Question): Promise<unknown> {
  const asking = listsEverything(question) ? looks : briefly;
  try {
    return await asking(host, `answer "${question.kind}"`).answer({ question, host });
  } catch (error) {
    const neverTaken =
      error instanceof ActivityFailure &&
      error.cause instanceof TimeoutFailure &&
      error.cause.timeoutType === 'SCHEDULE_TO_START';
    if (!neverTaken || !patched('ask-another-host')) throw error;
    const [other] = await control.hostsOf({ question, without: host });
    if (other === undefined || other === host) throw error;
    return asking(other, `answer "${question.kind}" in place of ${host}`).answer({ question, host: other });
  }
}
