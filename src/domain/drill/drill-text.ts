import { UNFILLED_REMARKS } from '../approval/parse-decisions.js';
import { signalNames, updateNames } from '../operation/names.js';
import { markdownBlock, markdownCode, markdownText } from '../text/markdown.js';
import { formatTarget } from '../target/target.js';
import { clipBytes, durationInWords } from '../text/text.js';
import type { DrillCheck, DrillOutcome, DrillPlan, DrillRestored } from './drill.js';

/** So many entries of a list are shown: Temporal takes 20 kB of details, and the evidence has them all. */
const MOST_SHOWN = 12;
const LONGEST_LINE = 400;

function list(lines: readonly string[]): string {
  const more = lines.length - MOST_SHOWN;
  return [...lines.slice(0, MOST_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])]
    .map((line) => `- ${line}`)
    .join('\n');
}

const line = (text: string): string => markdownText(clipBytes(text, LONGEST_LINE));

/** The plan for the Web UI's details (Markdown). */
export function drillDetails({ place, restores, unrestorable = [], notTested, cluster }: DrillPlan): string {
  return [
    `**Drill of ${markdownText(cluster)}** on host ${markdownText(place.host)}, directory ${markdownCode(place.dataDir)}, port ${place.port}`,
    list([
      ...restores.map((one) => line(restoreLine(one))),
      ...unrestorable.map(({ policy, engine, reason }) => line(`${policy} (${engine}) cannot be restored: ${reason}`)),
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

/** The JSON that a person pastes into the Web UI, laid out as the Web UI does it: there it moves nothing under the first click. */
export const signOffJson = JSON.stringify({ verdict: 'pass', by: '<your name>', remarks: UNFILLED_REMARKS }, null, 2);

/** What is asked of people, and what the drill has found so far. */
export interface AskedSignOff {
  /** As psql takes it, on the staging host. */
  readonly connection: string;
  readonly by: readonly string[];
  /** UTC ISO-8601. */
  readonly until: string;
  readonly restored: readonly DrillRestored[];
  readonly checks: readonly DrillCheck[];
}

/** What people are to look at and to send (Markdown). */
export function signOffDetails(plan: DrillPlan, { connection, by, until, restored, checks }: AskedSignOff): string {
  const { cluster, workflowId, place } = plan;
  const whose = markdownText(by.join(' or '));
  return [
    `### Sign off what was restored of ${markdownText(cluster)}`,
    `**${whose} says until ${until.slice(0, 16).replace('T', ' ')} UTC whether it is good.** Without an answer the drill ends as incomplete.`,
    `**Found so far:** ${countsOf(checks)}; more below.`,
    `**Look at it** on host ${markdownText(place.host)}: ${markdownCode(`psql ${quoted(connection)}`)}`,
    `**To sign off on this page:** More Actions → Send an Update → ${markdownCode(updateNames.signOff)}, with this as Data; fill in your name and what you saw:`,
    markdownBlock(signOffJson, 'json'),
    `Where it is not good: ${markdownCode('"verdict": "fail"')}. One line more, ${markdownCode('"keep": "4h"')}, keeps staging so long afterwards. The result is shown in the same dialog. (The signal ${markdownCode(signalNames.signOff)} takes the same JSON, but returns no result.)`,
    `**Or type:** ${markdownCode(`reprise sign-off ${workflowId} --verdict pass --by NAME --remarks "..."`)}`,
    '**What was restored and checked:**',
    list([
      ...restored.map((one) => line(restoredLine(one))),
      ...checks
        .filter(({ status }) => status === 'skipped')
        .map(({ name, policy, detail }) => line(`skipped: ${name} of ${policy}: ${detail}`)),
    ]),
    drillDetails(plan),
  ].join('\n\n');
}

/** For a shell: nothing in it is expanded. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function countsOf(checks: readonly DrillCheck[]): string {
  const count = (status: DrillCheck['status']): number => checks.filter((one) => one.status === status).length;
  return `${checks.length === 1 ? '1 check' : `${checks.length} checks`}: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}

function restoredLine({ policy, reached, rtoSeconds }: DrillRestored): string {
  return `${policy}: restored to ${reached} in ${durationInWords(rtoSeconds)}`;
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
  return [
    `**Verdict: ${verdict}**${reason === null ? '' : `: ${markdownText(reason)}`}`,
    list([
      ...restores.map((one) => line(restoredLine(one))),
      countsOf(checks),
      signOff === null ? 'nobody signed it off' : markdownText(`signed off by ${signOff.by}: ${signOff.verdict}`),
      evidence === null ? 'no evidence was archived' : `evidence: ${markdownCode(evidence.path)}`,
    ]),
    ...notTestedPart(notTested),
  ].join('\n\n');
}

function notTestedPart(notTested: DrillPlan['notTested']): readonly string[] {
  if (notTested.length === 0) return [];
  const lines = notTested.map(({ kind, name, reason }) => line(`${kind} ${name}: ${reason}`));
  return [`**Not tested:**\n\n${list(lines)}`];
}
