import { mergeAnswers } from '../domain/answers.js';
import type { AskInput } from './api.js';
import { ask as asking, control } from './proxies.js';

/**
 * One question of the command line to the hosts that own the data: neither the command line nor the control worker
 * opens a repository or a database. Answers of several hosts come as one.
 */
export async function ask(input: AskInput): Promise<unknown> {
  const { question } = input;
  const hosts = await control.hostsOf({ question });
  return mergeAnswers(await Promise.all(hosts.map((host) => asking(host, `answer "${question.kind}"`).answer({ question, host }))));
}
