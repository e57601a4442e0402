import { markdownCode, markdownText } from '../text/markdown.js';
import { formatTarget } from '../target/target.js';
import type { DrillOutcome, DrillPlan } from './drill.js';

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

/** The plan for the Web UI's details (Markdown). */
export function drillDetails({ place, restores, unrestorable = [], notTested, cluster }: DrillPlan): string {
  return [
    `**Drill of ${markdownText(cluster)}** on host ${markdownText(place.host)}, directory ${markdownCode(place.dataDir)}, port ${place.port}`,
    list([
      ...restores.map((one) => markdownText(restoreLine(one))),
      ...unrestorable.map(({ policy, engine, reason }) =>
        markdownText(`${policy} (${engine}) cannot be restored: ${reason}`),
      ),
    ]),
    ...notTestedPart(notTested),
  ].join('\n\n');
}

/** One restore of a plan, in one line. */
export function restoreLine({ policy, engine, target, chosen, backups }: DrillPlan['restores'][number]): string {
  return `${policy} (${engine}) to ${formatTarget(target)}, ${chosenWords[chosen]}, from ${backups.map(({ id }) => id).join(', ')}`;
}

const chosenWords: Readonly<Record<DrillPlan['restores'][number]['chosen'], string>> = {
  asked: 'as asked',
  latest: 'the latest there is',
  random: 'chosen by chance',
  'same-as': 'which another engine reached',
};

/** What people are to look at and to send (Markdown). */
export function signOffDetails(plan: DrillPlan, connection: string, by: readonly string[], until: string): string {
  return [
    `**Sign off what was restored**, by ${markdownText(by.join(' or '))}, until ${until}`,
    `Staging: ${markdownCode(connection)}`,
    `Send the signal ${markdownCode('sign-off')}: ${markdownCode('{"verdict":"pass","by":"<your name>","remarks":"<what you saw>"}')}, or ${markdownCode('"verdict":"fail"')}; ${markdownCode('"keep":"4h"')} keeps staging so long.`,
    drillDetails(plan),
  ].join('\n\n');
}

/** What a drill came to (Markdown). */
export function outcomeDetails({
  verdict,
  reason,
  restores,
  checks,
  signOff,
  evidence,
  notTested,
}: DrillOutcome): string {
  const failed = checks.filter(({ status }) => status === 'failed');
  return [
    `**Verdict: ${verdict}**${reason === null ? '' : `: ${markdownText(reason)}`}`,
    list([
      ...restores.map(({ policy, reached, rtoSeconds }) =>
        markdownText(`${policy}: restored to ${reached} in ${rtoSeconds.toFixed(1)} s`),
      ),
      `${checks.length} checks, ${failed.length} failed`,
      signOff === null ? 'nobody signed it off' : markdownText(`signed off by ${signOff.by}: ${signOff.verdict}`),
      evidence === null ? 'no evidence was archived' : `evidence: ${markdownCode(evidence.path)}`,
    ]),
    ...notTestedPart(notTested),
  ].join('\n\n');
}

function notTestedPart(notTested: DrillPlan['notTested']): readonly string[] {
  if (notTested.length === 0) return [];
  const lines = notTested.map(({ kind, name, reason }) => markdownText(`${kind} ${name}: ${reason}`));
  return [`**Not tested:**\n\n${list(lines)}`];
}
