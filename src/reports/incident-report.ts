import type { JournalLine, RecordedApproval, RecordedIncident, Refusal } from '../domain/backup/catalogue.js';
import { senderInWords } from '../domain/approval/approval-policy.js';
import { markdownCode, markdownTable, markdownText } from '../domain/text/markdown.js';
import type { Plan } from '../domain/plan/plan.js';
import { plannedMediaInWords } from '../domain/plan/planned-media.js';
import type { KeptItem, RecoveryOutcome } from '../domain/backup/records.js';
import { rpoInWords } from '../domain/plan/recovery-figures.js';
import { formatTarget } from '../domain/target/target.js';
import { durationInWords, sizeInWords } from '../domain/text/text.js';
import { timelineOf, whoSaid } from './timeline.js';

/** What an incident document is written from: records alone, so that it can be written again from the catalogue. */
export interface IncidentDocumentInput {
  readonly cluster: string;
  readonly operationId: string;
  /** Null where it never came to a plan (dismissed, or put right by hand). */
  readonly plan: Plan | null;
  /** Null where no recovery was completed. */
  readonly outcome: Omit<RecoveryOutcome, 'report'> | null;
  readonly journal: readonly JournalLine[];
  readonly approvals: readonly RecordedApproval[];
  readonly refusals: readonly Refusal[];
  /** Null for a recovery that somebody asked for without an incident. */
  readonly incident: RecordedIncident | null;
  /** Old data that this operation put aside and that is still there. */
  readonly kept: readonly KeptItem[];
  readonly language: 'en';
}

/**
 * The incident document in Markdown: what happened, who decided, what was lost, where the old data is. Times
 * are UTC. Names and reasons of others are shown as text, whatever they hold.
 */
export function incidentDocument(input: IncidentDocumentInput): string {
  const sections: readonly (readonly [string, string])[] = [
    ['What happened', summary(input)],
    ['Figures', figures(input)],
    ['Decision', decision(input)],
    ['What the plan warned of', warnings(input)],
    ['What was replaced, and where the old data is', oldData(input)],
    ['Phases', phases(input)],
    ['Checks', checks(input)],
    ['Timeline (UTC)', timelineOf(input)],
    ['To do', followUps(input)],
  ];
  const body = sections.filter(([, text]) => text !== '').map(([title, text]) => `## ${title}\n\n${text}`);
  const title = input.incident === null ? 'Recovery' : `Incident ${input.incident.scenario}`;
  return [`# ${markdownText(`${title}: ${input.cluster}`)}`, ...body].join('\n\n') + '\n';
}

function summary({ cluster, operationId, incident, plan, outcome }: IncidentDocumentInput): string {
  const rows: string[][] = [
    ['cluster', markdownCode(cluster)],
    ['operation', markdownCode(operationId)],
  ];
  const [first] = incident?.history ?? [];
  if (incident && first) {
    rows.push(
      ['opened', incident.openedAt],
      [
        'cause, and the layer that failed',
        markdownText(`${first.text}${first.toldBy === undefined ? '' : ` (${whoSaid(first.by, first.toldBy)})`}`),
      ],
    );
    rows.push(['state', `${markdownText(incident.state)}, since ${incident.updatedAt}`]);
  }
  if (plan) {
    rows.push(['requested by', markdownText(plan.binding.requester)], ['method', methodInWords(plan)]);
    rows.push([
      'from',
      plan.binding.backups.map(({ id, finishedAt }) => `${markdownCode(id)}, ended ${finishedAt}`).join('<br>') ||
        'no backup was needed',
    ]);
  }
  if (plan?.binding.media)
    rows.push([
      'media',
      `${markdownText(plan.binding.media.name)}, to ${plan.binding.media.instant}: ${plannedMediaInWords(plan.binding.media, sizeInWords)}`,
    ]);
  if (outcome?.place) rows.push(['recovered where', placeInWords(outcome.place)]);
  rows.push(['result', outcome ? resultInWords(outcome) : noRecovery(incident)]);
  return markdownTable(['fact', 'value'], rows);
}

function placeInWords({ into, host, port, dataDir }: NonNullable<RecoveryOutcome['place']>): string {
  const where = into === 'in-place' ? 'in place' : `beside, as ${markdownText(into)}`;
  return `${where}: host ${markdownCode(host)}, port ${port}${dataDir === null ? '' : `, ${markdownCode(dataDir)}`}`;
}

/** Where the cluster answered again, its incident says so. */
function noRecovery(incident: RecordedIncident | null): string {
  const last = incident?.state === 'closed' ? incident.history.at(-1)?.text : undefined;
  return `no recovery was completed${last === undefined ? '' : `: ${markdownText(last)}`}`;
}

function figures({ plan, outcome }: IncidentDocumentInput): string {
  if (!outcome) return '';
  const rows: string[][] = [
    ['target asked for', markdownCode(outcome.target.requested)],
    ['target reached', markdownCode(outcome.target.reached)],
    [
      'RTO: from the first failed check (or request) until the server is checked and accepts writes, without waiting for people',
      durationInWords(outcome.rtoSeconds),
    ],
    ['waiting for people', durationInWords(outcome.waitedForPeopleSeconds)],
    ['RTO as planned', predictionInWords(plan, outcome.rtoSeconds)],
    ['RPO', rpoWithBasis(outcome, plan?.binding.method)],
    ['last commit recovered', outcome.lastCommitAt ?? 'not known'],
    ['last WAL position recovered', outcome.lastLsn ?? 'not known'],
  ];
  return markdownTable(['figure', 'value'], rows);
}

/** With its error: what was predicted is held against what it came to. */
function predictionInWords(plan: Plan | null, measured: number): string {
  const { predictedRtoSeconds = null, predictedRto } = plan?.observed ?? {};
  if (predictedRtoSeconds === null) return 'not predicted: no restore had been measured on this host with this engine';
  const range = predictedRto ? `, at most ${durationInWords(predictedRto.p90)} in nine of ten cases` : '';
  const error = Math.round(((measured - predictedRtoSeconds) / Math.max(predictedRtoSeconds, 0.001)) * 100);
  return `${durationInWords(predictedRtoSeconds)}${range}; it took ${Math.abs(error)} % ${error < 0 ? 'less' : 'more'}`;
}

function rpoWithBasis(outcome: Omit<RecoveryOutcome, 'report'>, method: Plan['binding']['method'] | undefined): string {
  const { rpoSeconds } = outcome;
  const said = rpoInWords(outcome);
  if (outcome.leavesProduction || rpoSeconds === null) return said;
  if (rpoSeconds === 0) return `${said}: the last valid WAL record of the source was replayed`;
  const until =
    method === 'databases'
      ? 'when the databases were swapped'
      : 'the last instant at which the old server may have accepted writes';
  return `${said} (an upper bound: from the last recovered commit to ${until})`;
}

function decision({ plan, approvals, refusals }: IncidentDocumentInput): string {
  const short = (digest: string) => markdownCode(digest.slice(0, 12));
  const said = [
    ...approvals.map(({ at, digest, approval, assurance, sender }) => {
      const how = [assurance === 'signed' ? 'signed' : 'asserted, not signed', senderInWords(sender)]
        .filter((part) => part !== '')
        .map(markdownText)
        .join('; ');
      return {
        at,
        text: `${markdownText(approval.by)} approved plan ${short(digest)} (${how}). Reason: ${markdownText(approval.reason)}`,
      };
    }),
    ...refusals.map(({ at, by, digest, reason, code, sender }) => {
      const from = sender ? ` (${markdownText(senderInWords(sender))})` : '';
      return {
        at,
        text: `an approval of plan ${short(digest)} by ${markdownText(by)}${from} was refused (${markdownCode(code)}): ${markdownText(reason)}`,
      };
    }),
  ];
  const lines = said
    .sort((left, right) => Date.parse(left.at) - Date.parse(right.at))
    .map(({ at, text }) => `- ${at}: ${text}`);
  if (approvals.length === 0) lines.push('- No approval is recorded.');
  if (plan)
    lines.push(
      `- The plan: ${markdownCode(plan.digest)}, made ${plan.createdAt}, approval possible until ${plan.approveBy}.`,
    );
  return lines.join('\n');
}

function oldData({ plan, kept }: IncidentDocumentInput): string {
  const replaced = plan?.binding.replaces ?? [];
  const lines = replaced.map(({ what, keptAs }) =>
    keptAs === null
      ? `- Planned: ${markdownText(what)} is overwritten in place, and its content is lost.`
      : `- Planned: ${markdownText(what)} is kept as ${markdownCode(keptAs)}.`,
  );
  for (const { id, what, where, host, sizeBytes, beside } of kept) {
    const size = sizeBytes === null ? '' : `, ${sizeInWords(sizeBytes)}`;
    lines.push(
      `- ${markdownText(what)} is kept in ${markdownCode(where)} on host ${markdownCode(host)}${size}; to free its space: ${markdownCode(dropCommand({ id, beside }))}`,
    );
  }
  if (lines.length === 0) return 'Nothing was replaced.';
  if (kept.every(({ beside }) => beside !== undefined)) lines.push('- No old data of this operation is kept now.');
  else lines.push(`- ${markdownCode('reprise kept list')} shows what is kept. Closing an incident deletes nothing.`);
  return lines.join('\n');
}

function phases({ outcome }: IncidentDocumentInput): string {
  if (!outcome || outcome.phases.length === 0) return '';
  return markdownTable(
    ['phase', 'took'],
    outcome.phases.map(({ name, seconds }) => [markdownText(name), durationInWords(seconds)]),
  );
}

function checks({ outcome }: IncidentDocumentInput): string {
  if (!outcome) return '';
  if (outcome.checks.length === 0) return 'No check was configured: the recovered data was not verified.';
  const rows = outcome.checks.map(({ name, status, detail }) => [
    markdownText(name),
    status === 'failed' ? '**failed**' : status,
    markdownText(detail),
  ]);
  return markdownTable(['check', 'result', 'found'], rows);
}

function dropInWords({ id, beside }: KeptItem): string {
  if (beside === undefined) return `When the old data is no longer needed: ${markdownCode(dropCommand({ id }))}`;
  const stop = markdownCode(`reprise beside stop ${beside}`);
  return `When the copy is no longer needed: ${stop}, then ${markdownCode(dropCommand({ id, beside }))}`;
}

const dropCommand = ({ id, beside }: Pick<KeptItem, 'id' | 'beside'>): string =>
  beside === undefined ? `reprise kept drop ${id}` : `reprise beside drop ${beside}`;

/** What was known when it was decided. It asks for nothing any more. */
function warnings({ plan }: IncidentDocumentInput): string {
  return (plan?.observed.warnings ?? []).map((warning) => `- ${markdownText(warning)}`).join('\n');
}

function mayHaveLost(outcome: IncidentDocumentInput['outcome']): boolean {
  return outcome !== null && outcome.rpoSeconds !== 0 && outcome.leavesProduction !== true;
}

function followUps({ outcome, kept, incident }: IncidentDocumentInput): string {
  const lines: string[] = [];
  if (!outcome && incident?.state !== 'closed')
    lines.push('No recovery was completed: see the last step in the timeline, and decide how to continue.');
  for (const { name, status } of outcome?.checks ?? []) {
    if (status === 'failed') lines.push(`Examine the failed check ${markdownText(name)}.`);
    if (status === 'skipped') lines.push(`Do the skipped check ${markdownText(name)} by hand.`);
  }
  if (outcome && outcome.checks.length === 0) lines.push('Configure checks, so that the next recovery is verified.');
  if (mayHaveLost(outcome))
    lines.push('Tell the users which period may be lost. Enter that data again where possible.');
  lines.push(...kept.map(dropInWords));
  lines.push('Write down the probable cause and what would prevent it.');
  return lines.map((line) => `- [ ] ${line}`).join('\n');
}

function methodInWords({ binding }: Plan): string {
  const target = markdownCode(formatTarget(binding.target));
  switch (binding.method) {
    case 'restart':
      return 'restart: the data directory was intact';
    case 'data-directory':
      return `physical backup and WAL, to ${target}`;
    case 'databases':
      return `dumps restored beside the live databases and swapped in, to ${target}`;
  }
}

function resultInWords(outcome: Omit<RecoveryOutcome, 'report'>): string {
  const failed = outcome.checks.filter(({ status }) => status === 'failed').length;
  const state = failed === 0 ? 'recovered' : `recovered, but **${failed} of ${outcome.checks.length} checks failed**`;
  return `${state}; reached ${markdownCode(outcome.target.reached)}`;
}
