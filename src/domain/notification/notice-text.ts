// Longer than 400 lines: the words of every notice, which are read and changed together.
import { shortDigest } from '../approval/approval-policy.js';
import type { Notice, NoticeFacts } from './notices.js';
import { rpoInWords } from '../plan/recovery-figures.js';
import type { Plan } from '../plan/plan.js';
import { planText } from '../plan/plan-text.js';
import { formatTableName, tableCommand, parseTableName } from '../table/table-name.js';
import { formatTarget } from '../target/target.js';
import { clipBytes, durationInWords, shellWord, visible } from '../text/text.js';

/** What a person reads. */
export interface NoticeText {
  /** One line, 150 bytes at the most. */
  readonly subject: string;
  /** Plain text, lines ending in `\n`. */
  readonly text: string;
}

/** Languages a notification can be written in: one entry each. */
const languages = { en: english };

/**
 * Words of a notification, for somebody woken by it: what, which cluster, since when, what is waited for, what to type.
 * `link`: page of the work in the Web UI, null where there is none.
 */
export function noticeText(notice: Notice, link: string | null, language: keyof typeof languages = 'en'): NoticeText {
  return languages[language](notice, link);
}

/** One short line for the journal: what people were told of. */
export function noticeTitle({ cluster, facts }: Pick<Notice, 'cluster' | 'facts'>): string {
  switch (facts.kind) {
    case 'failed':
      return failedTitle(cluster, facts);
    case 'skipped':
      return skippedTitle(cluster, facts);
    case 'paused':
      return pausedTitle(cluster, facts);
    case 'approval':
      return `approval needed until ${facts.plan.approveBy.replace(/:\d\d(\.\d+)?Z$/, 'Z')}: ${cluster}, ${approvedInWords(facts.plan.binding)}, plan ${shortDigest(facts.plan)}`;
    case 'ended':
      return `plan ${facts.plan.slice(0, 12)} of ${cluster} needs no approval any more`;
    case 'watch':
      return watchTitle(cluster, facts);
    case 'incident':
      return incidentTitle(cluster, facts);
    case 'recovered':
      return `recovered: ${cluster}, to ${facts.reached}`;
    case 'run':
      return `${facts.work} of ${cluster} has ${facts.state === 'started' ? 'begun' : facts.state}`;
    case 'test':
      return `test for ${facts.contact}`;
    default:
      return proofTitle(cluster, facts);
  }
}

/** What shows whether backups and repairs are good. */
type ProofFacts = Extract<
  NoticeFacts,
  { kind: 'drill' | 'sign-off' | 'daily-check' | 'suspicion' | 'repair-sign-off' | 'table-volume' }
>;

function proofTitle(cluster: string | null, facts: ProofFacts): string {
  switch (facts.kind) {
    case 'drill':
    case 'sign-off':
      return drillTitle(cluster, facts);
    case 'repair-sign-off':
      return repairSignOffTitle(cluster, facts);
    case 'table-volume':
      return `rows of ${facts.table} in ${facts.database} of ${cluster} change more than usual after its repair`;
    case 'suspicion':
      return suspicionTitle(cluster, facts);
    case 'daily-check':
      return dailyTitle(cluster, facts);
  }
}

const signOffStage: Readonly<Record<Extract<NoticeFacts, { kind: 'sign-off' }>['stage'], string>> = {
  asked: 'to do',
  reminder: 'reminder',
  escalation: 'nobody has answered',
};

function drillTitle(cluster: string | null, facts: Extract<NoticeFacts, { kind: 'drill' | 'sign-off' }>): string {
  if (facts.kind === 'sign-off')
    return `${signOffStage[facts.stage]}: sign off the drill of ${cluster} until ${facts.until.slice(0, 16)}Z`;
  const { state } = facts;
  if (state === 'overdue') return `the restore drill of ${cluster} is overdue`;
  return `the restore drill of ${cluster} ${state === 'failed' ? 'failed' : 'came to no verdict'}`;
}

function repairSignOffTitle(
  cluster: string | null,
  { stage, by, table, until }: Extract<NoticeFacts, { kind: 'repair-sign-off' }>,
): string {
  const of = `the repair of ${table} of ${cluster}`;
  if (stage === 'failed') return `${by.join(', ')} signed ${of} off as failed: it waits for a person`;
  if (stage === 'unanswered') return `nobody signed off ${of}: its table is opened`;
  return `${signOffStage[stage]}: sign off ${of} until ${until.slice(0, 16)}Z`;
}

function dailyTitle(cluster: string | null, { found, over }: Extract<NoticeFacts, { kind: 'daily-check' }>): string {
  const [first, ...others] = found;
  if (first === undefined)
    return `${cluster}: ${over.length === 1 ? 'a finding is' : `${over.length} findings are`} over`;
  return `${cluster}: ${first.message}${others.length === 0 ? '' : `, and ${others.length} more`}`;
}

function suspicionTitle(cluster: string | null, { tables, more }: Extract<NoticeFacts, { kind: 'suspicion' }>): string {
  const [first] = tables;
  const count = tables.length + more;
  const others = count > 1 ? `, and ${count - 1} more` : '';
  return `suspicious rows on ${cluster}: ${first === undefined ? '' : `${formatTableName(first.table)} of ${first.database}`}${others}`;
}

function skippedTitle(cluster: string | null, { policy, due }: Extract<NoticeFacts, { kind: 'skipped' }>): string {
  return `backup ${policy} of ${cluster}${due === null ? '' : ` of ${due.slice(0, 16)}Z`} was skipped`;
}

function failedTitle(cluster: string | null, { what, policy, code }: Extract<NoticeFacts, { kind: 'failed' }>): string {
  if (what === 'WAL') return `WAL of ${cluster} for policy ${policy ?? '?'} is not archived (${code})`;
  if (what === 'watch') return `the watch of ${cluster} cannot look (${code})`;
  return `${what}${policy === null ? '' : ` ${policy}`} of ${cluster} failed (${code})`;
}

function watchTitle(cluster: string | null, { state, until }: Extract<NoticeFacts, { kind: 'watch' }>): string {
  if (state === 'resumed') return `the watch of ${cluster} looks again`;
  return `the watch of ${cluster} is paused${until === null ? '' : ` until ${until.slice(0, 16)}Z`}`;
}

function approvedInWords({ method, accepts, target }: Plan['binding']): string {
  if (method === 'restart') return 'restart';
  return accepts === undefined ? `recovery to ${formatTarget(target)}` : 'errors that the restore left';
}

function pausedTitle(cluster: string | null, { step, event }: Extract<NoticeFacts, { kind: 'paused' }>): string {
  if (step !== undefined) return `step "${step}" on ${cluster} fails: it is repeated or waits for a person`;
  return event === 'failure'
    ? `a step of the recovery of ${cluster} failed: it waits for a person`
    : `the recovery of ${cluster} waits for an inspection of the recovered data`;
}

function english(notice: Notice, link: string | null): NoticeText {
  const title = noticeTitle(notice);
  const shown = link === null ? [] : [`Web UI   ${link}`];
  const parts = [
    sentence(title),
    body(notice),
    [`At       ${notice.at}`, `Workflow ${notice.workflowId}`, ...shown].join('\n'),
  ];
  return {
    subject: clipBytes(visible(`[reprise] ${title}`), 150),
    text: `${parts.map((part) => part.split('\n').map(visible).join('\n')).join('\n\n')}\n`,
  };
}

function body(notice: Notice): string {
  const { facts, workflowId } = notice;
  switch (facts.kind) {
    case 'failed':
      return lines([
        ['Since', facts.since],
        ['Reason', facts.reason],
        ['Next', facts.hint ?? nextAfter[facts.what]],
        ['Type', commandsAfter(notice, facts).join('\n')],
      ]);
    case 'skipped':
      return lines([
        ['Due', facts.due],
        ['Reason', facts.reason],
        ['Type', `reprise status ${workflowId}`],
      ]);
    case 'paused':
      return lines([
        ['Waits', facts.waitingFor],
        ['Type', `reprise status ${workflowId}`],
      ]);
    case 'approval':
      return planText(facts.plan);
    case 'ended':
      return lines([
        ['Found', facts.text],
        ['Next', 'nothing: the plan is closed'],
        ['Type', `reprise status ${workflowId}`],
      ]);
    case 'watch':
      return watchBody(notice.cluster, facts);
    case 'incident':
      return incidentBody(notice, facts);
    case 'recovered':
      return lines([
        ['Took', durationInWords(facts.rtoSeconds)],
        ['Lost', facts.rpoSeconds === 0 ? 'nothing' : rpoInWords(facts)],
        ['Report', facts.report],
        ['Type', `reprise incident report ${workflowId}`],
      ]);
    case 'run':
      return '';
    case 'test':
      return lines([
        ['By', facts.by],
        ['Next', 'nothing: if you read this, Reprise can reach you'],
      ]);
    default:
      return ofProof(notice, facts);
  }
}

function incidentTitle(
  cluster: string | null,
  { scenario, table, state }: Extract<NoticeFacts, { kind: 'incident' }>,
): string {
  return `incident ${scenario} of ${cluster}${table === undefined ? '' : `, ${table}`}: ${state}`;
}

function incidentBody({ workflowId }: Notice, facts: Extract<NoticeFacts, { kind: 'incident' }>): string {
  return lines([
    ['Since', facts.since],
    ['Found', facts.text],
    ['By', facts.by],
    ['Next', (facts.table === undefined ? nextOfIncident : nextOfTableIncident)[facts.state]],
    ['Type', commandsOfIncident(workflowId, facts)],
  ]);
}

function commandsOfIncident(workflowId: string, { state, table }: Extract<NoticeFacts, { kind: 'incident' }>): string {
  if (state !== 'suspected') return `reprise incident show ${workflowId}`;
  const first = table === undefined ? 'reprise status' : `reprise incident confirm ${workflowId}`;
  return `${first}\nreprise incident dismiss ${workflowId} --reason "..."`;
}

/** What to type for each table: the first three, because each has three lines. */
function suspicionBody(cluster: string, { policy, tables, more }: Extract<NoticeFacts, { kind: 'suspicion' }>): string {
  const typed = tables.slice(0, 3).flatMap(({ database, table, before }) => {
    const [c, d, t] = [cluster, database, formatTableName(table)].map(shellWord);
    return [
      tableCommand('history', { cluster, database, table }),
      ...(before === '' ? [] : [`reprise backup hold ${shellWord(before)} --reason "the rows as they were"`]),
      `reprise incident start table-corruption --cluster ${c} --database ${d} --table ${t}`,
    ];
  });
  return lines([
    ['Policy', policy],
    ...tables.map(({ database, table, text }): [string, string] => [
      'Found',
      `${formatTableName(table)} of ${database}: ${text}`,
    ]),
    ['More', more === 0 ? null : `${more} tables more`],
    ['Next', 'see whether this was meant: nothing is changed, and the backup is good; the backup before has the rows'],
    ['Type', typed.join('\n')],
  ]);
}

function ofProof(notice: Notice, facts: ProofFacts): string {
  if (facts.kind === 'daily-check') return dailyBody(notice.cluster, facts);
  if (facts.kind === 'suspicion') return suspicionBody(notice.cluster ?? '', facts);
  if (facts.kind === 'repair-sign-off') return repairSignOffBody(notice, facts);
  if (facts.kind === 'table-volume') return volumeBody(notice, facts);
  return facts.kind === 'drill' ? drillBody(notice, facts) : signOffBody(notice, facts);
}

function drillBody(
  { cluster, workflowId }: Notice,
  { state, reason, hint, dueAt }: Extract<NoticeFacts, { kind: 'drill' }>,
): string {
  const first = state === 'overdue' ? 'reprise schedule list' : `reprise drill show ${workflowId}`;
  return lines([
    ['Reason', reason],
    ['Next', hint ?? 'find the cause, then run a drill that passes: only that closes the entry of the register'],
    ['Until', dueAt ?? null],
    ['Type', `${first}\nreprise drill run ${cluster}`],
  ]);
}

function dailyBody(cluster: string | null, { found, over }: Extract<NoticeFacts, { kind: 'daily-check' }>): string {
  return lines([
    ...found.flatMap(({ message, fix, since }): [string, string | null][] => [
      ['Found', message],
      ['Since', since],
      ['Next', fix],
    ]),
    ...over.map((message): [string, string] => ['Over', message]),
    ['Type', `reprise check ${cluster}`],
  ]);
}

function signOffBody(
  { workflowId }: Notice,
  { by, connection, until }: Extract<NoticeFacts, { kind: 'sign-off' }>,
): string {
  const type = (verdict: string): string => `reprise sign-off ${workflowId} --verdict ${verdict} --remarks "..."`;
  return lines([
    ['By', by.join(', ')],
    ['Staging', connection],
    ['Until', until],
    ['Next', 'look at what was restored: after this time the drill ends without a verdict'],
    ['Type', `${type('pass')}\n${type('fail')}`],
  ]);
}

function repairSignOffBody(
  { workflowId }: Notice,
  { stage, by, database, table, undo, until }: Extract<NoticeFacts, { kind: 'repair-sign-off' }>,
): string {
  const type = (verdict: string): string => `reprise sign-off ${workflowId} --verdict ${verdict} --remarks "..."`;
  const asked = { next: 'look at the rows: after this time the table is opened', type: [type('pass'), type('fail')] };
  const other = {
    failed: {
      next: 'take the repair back, or keep it; the table is opened when it is continued, or after this time',
      type: [undo, `reprise continue ${workflowId}`],
    },
    unanswered: {
      next: 'nothing was undone; where the rows are not good, take the repair back',
      type: [`reprise incident report ${workflowId}`, undo],
    },
  };
  const { next, type: commands } = stage === 'failed' || stage === 'unanswered' ? other[stage] : asked;
  return lines([
    ['By', by.join(', ')],
    ['Table', `${table} in ${database}`],
    ['Until', until],
    ['Next', next],
    ['Type', commands.join('\n')],
  ]);
}

function volumeBody(
  { cluster, workflowId }: Notice,
  { database, table, found }: Extract<NoticeFacts, { kind: 'table-volume' }>,
): string {
  const [of, named] = [shellWord(database), shellWord(table)];
  const history = tableCommand('history', { cluster: cluster ?? '', database, table: parseTableName(table) });
  return lines([
    ['Found', found],
    ['Next', 'see which transaction changed the rows; stop the batch that did, if it is wrong'],
    [
      'Type',
      `reprise wal transactions ${cluster} --database ${of} --table ${named} --from -1h\n${history}\nreprise continue ${workflowId}`,
    ],
  ]);
}

function watchBody(cluster: string | null, facts: Extract<NoticeFacts, { kind: 'watch' }>): string {
  const isPaused = facts.state === 'paused';
  return lines([
    ['By', facts.by],
    ['Reason', facts.reason],
    ['Next', isPaused ? 'nobody is told if the cluster fails meanwhile' : null],
    ['Type', isPaused ? `reprise cluster watch resume ${cluster} --reason "..."` : `reprise status watch/${cluster}`],
  ]);
}

const nextOfIncident: Readonly<Record<Extract<NoticeFacts, { kind: 'incident' }>['state'], string>> = {
  suspected: 'nothing is changed yet: a plan is made, and waits for its approval; if this is a false alarm, dismiss it',
  confirmed: 'stop the applications that write to it; reprise status shows what its recovery waits for',
  undecided: 'it waits for a person: plan again (reprise continue) or close it (reprise incident close)',
  closed: 'nothing: the incident is closed',
  dismissed: 'nothing: it was dismissed as a false alarm, and nothing was changed',
};

const nextOfTableIncident: typeof nextOfIncident = {
  suspected: 'nothing is changed yet: look at the figures in reprise status, then confirm it or dismiss it',
  confirmed: 'find out what did the damage, and choose a repair: reprise status shows the commands',
  undecided: 'it waits for a person: choose another repair (reprise status shows the commands), or close it',
  closed: 'nothing: the incident is closed',
  dismissed: 'nothing: it was dismissed as a false alarm, and nothing was changed',
};

/** Where the failure itself names no next step. */
const nextAfter: Readonly<Record<Extract<NoticeFacts, { kind: 'failed' }>['what'], string>> = {
  backup: 'older backups are unchanged; run it again when the cause is corrected',
  rotation: 'nothing was removed that retention keeps; see what it would remove',
  recovery: 'nothing was deleted; see which old data is kept',
  'media recovery': 'no version of an object was removed; see what is still different',
  'table repair': 'rows are as they were, or as approved, never in between; see how far it came',
  'table freeze':
    'whether the table takes writes is in its journal; what is left frozen is opened by the worker of its host',
  watch: 'nobody will be told if the cluster fails; the watch looks again by itself when the cause is corrected',
  'daily check': 'nobody is told of missed backups until it runs again; a look by hand says what it would have',
  WAL: 'if the host is lost, all later changes are lost too; archiving is retried automatically',
};

function commandsAfter(
  { cluster, workflowId }: Notice,
  { what, policy }: Extract<NoticeFacts, { kind: 'failed' }>,
): string[] {
  const chosen = policy === null ? '' : ` --policy ${policy}`;
  if (what === 'backup') return [`reprise backup run ${cluster}${chosen}`];
  if (what === 'rotation') return [`reprise rotate ${cluster}${chosen} --dry-run`];
  if (what === 'WAL' || what === 'watch') return [`reprise status ${workflowId}`, 'reprise check'];
  if (what === 'daily check') return [`reprise check ${cluster}`];
  if (what === 'media recovery' || what === 'table repair' || what === 'table freeze')
    return [`reprise status ${workflowId}`];
  return [`reprise status ${workflowId}`, `reprise kept list --cluster ${cluster}`];
}

/** `Name     value`, further lines of a value below it; what is not known is left out. */
function lines(pairs: readonly (readonly [string, string | null])[]): string {
  return pairs
    .filter((pair): pair is readonly [string, string] => pair[1] !== null && pair[1] !== '')
    .map(([name, value]) => `${name.padEnd(9)}${value.split('\n').join(`\n${' '.repeat(9)}`)}`)
    .join('\n');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
