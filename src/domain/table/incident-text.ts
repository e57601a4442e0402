import { personJson } from '../approval/approval-page.js';
import { signalNames } from '../operation/names.js';
import type { TableIncidentOrder } from '../operation/orders.js';
import { markdownBlock, markdownCode, markdownCommands, markdownText } from '../text/markdown.js';
import { clipBytes, shellWord, toTheSecond } from '../text/text.js';
import type { Suspect, TableSurvey, Suspects } from './incident.js';
import { formatTableName, tableCommand } from './table-name.js';

/** What people decide next; nothing while what they chose is carried out. */
export type IncidentStage = 'confirm' | 'choose' | 'work';

/** The stage that a state of an incident belongs to. */
export const STAGES = { suspected: 'confirm', paused: 'choose', running: 'work' } as const satisfies Readonly<
  Record<string, IncidentStage>
>;

/** What an incident of a table knows so far; null: not yet looked for. */
export interface TableIncidentFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: TableIncidentOrder;
  /** UTC ISO-8601. */
  readonly discoveredAt: string;
  readonly cause: string | null;
  readonly survey: TableSurvey | null;
  readonly suspects: Suspects | null;
  /** What blocks the writes; null: nothing was asked to. */
  readonly hold: TableHold | null;
}

/** The block of writes of an incident. */
export interface TableHold {
  readonly workflowId: string;
  /** The table takes no writes; else its plan waits for its approval. */
  readonly isBlocking: boolean;
  /** How it ended, in words; null: it has not. */
  readonly end: string | null;
}

/** `DATABASE schema.table`, for one line. */
export const incidentTable = ({ database, table }: Pick<TableIncidentOrder, 'database' | 'table'>): string =>
  `${database} ${formatTableName(table)}`;

/** What was found, in a sentence, for the records and for the people who are told. */
export function surveyText({ history, rowsNow, suspicion, problems }: TableSurvey): string {
  const last = history.at(-1);
  const now = rowsNow === null ? 'rows now: not known' : `${rowsNow} rows now`;
  const before = last === undefined ? 'no backup recorded its rows' : `${last.rows} in ${last.backupId} of ${last.at}`;
  return [suspicion === null ? `${now}; ${before}` : `suspicious: ${suspicion}`, ...problems].join('; ');
}

/** The same of the WAL. */
export function suspectsText({ transactions: [worst, ...others], problem, from, to }: Suspects): string {
  const range = `from ${from} to ${to}`;
  const found =
    worst === undefined
      ? `no transaction that touched the table was found ${range}`
      : `transaction ${worst.xid}, committed at ${worst.committedAt}, did most: ${damageOf(worst)}; ${others.length} others ${range}`;
  return problem === null ? found : `${found}; ${problem}`;
}

function damageOf({ inserted, updated, deleted, actions }: Suspect): string {
  return [...actions, `${deleted} rows deleted, ${updated} changed, ${inserted} inserted`].join(', ');
}

/** Figures and commands, for the Web UI's details (Markdown). `stage`: which commands come next. */
export function tableIncidentDetails(facts: TableIncidentFacts, stage: IncidentStage): string {
  const { order, discoveredAt, cause, survey, suspects } = facts;
  return [
    `### ${markdownText(`Rows of ${incidentTable(order)} are ${stage === 'confirm' ? 'suspected to be ' : ''}wrong`)}`,
    `- **discovered:** ${markdownText(discoveredAt)}\n- **cause:** ${markdownText(clipBytes(cause ?? 'not entered yet', 500))}`,
    survey === null ? 'The rows are being compared with those of the backups.' : surveyDetails(survey),
    suspects === null ? 'The WAL is being read.' : suspectsDetails(suspects),
    ...(facts.hold === null ? [] : [holdDetails(facts, facts.hold)]),
    ...(stage === 'confirm' ? confirmOnPage(facts.workflowId) : []),
    ...(stage === 'choose' ? repairOnPage(facts) : []),
  ].join('\n\n');
}

/** How a suspected incident is confirmed or dismissed (Markdown). */
export function confirmOnPage(workflowId: string): readonly string[] {
  const id = shellWord(workflowId);
  return [
    `**To decide on this page:** More Actions → Send a Signal → ${markdownCode(signalNames.confirm)} (it is real) or ${markdownCode(signalNames.dismiss)} (a false alarm), with this as Data; fill in your name and why:`,
    markdownBlock(personJson, 'json'),
    '**Or type:**',
    markdownCommands([
      ['it is real', `reprise incident confirm ${id} --reason "..."`],
      ['it is a false alarm', `reprise incident dismiss ${id} --reason "..."`],
      ['what caused it, for the report', `reprise incident note ${id} --cause "..."`],
    ]),
  ];
}

function surveyDetails({ history, rowsNow, suspicion, problems }: TableSurvey): string {
  const last = history.at(-1);
  const change = rowsNow === null || last === undefined ? null : rowsNow - last.rows;
  return [
    'Rows, by the backups and now:',
    [
      ...history.map(
        (one) =>
          `- **${toTheSecond(one.at)}, ${markdownText(one.policy)}:** ${one.rows} rows${changed(one.change, one.suspicion)}`,
      ),
      `- **now, production:** ${rowsNow === null ? 'not known' : `${rowsNow} rows`}${changed(change, suspicion)}`,
      ...problems.map((problem) => `- ⚠ ${markdownText(clipBytes(problem, 500))}`),
    ].join('\n'),
  ].join('\n\n');
}

function changed(change: number | null, suspicion: string | null): string {
  const signed = change === null ? '' : ` (${change > 0 ? '+' : ''}${change})`;
  return `${signed}${suspicion === null ? '' : ', **suspicious**'}`;
}

function suspectsDetails({ transactions, problem, from, to }: Suspects): string {
  return [
    `Transactions that touched it, from ${toTheSecond(from)} to ${toTheSecond(to)}:`,
    transactionList(transactions),
    ...(problem === null ? [] : [`- ⚠ ${markdownText(clipBytes(problem, 500))}`]),
  ].join('\n\n');
}

/** Transactions with what they did (Markdown). */
export function transactionList(transactions: readonly Suspect[]): string {
  if (transactions.length === 0) return 'none was found';
  return transactions
    .map((one) => `- **${one.xid}**, committed ${toTheSecond(one.committedAt)}: ${markdownText(damageOf(one))}`)
    .join('\n');
}

function holdDetails({ cluster, order }: TableIncidentFacts, { workflowId, isBlocking, end }: TableHold): string {
  const id = shellWord(workflowId);
  if (end !== null)
    return `Nothing of this incident blocks the writes to the table any more: ${markdownText(clipBytes(end, 500))}. To block them: ${markdownCode(tableCommand('freeze', { ...order, cluster }, '--reason "..."'))}.`;
  if (isBlocking)
    return `The table takes no writes: ${markdownCode(workflowId)} blocks them until this incident has ended. To open it sooner: ${markdownCode(`reprise table release ${id} --reason "..."`)}.`;
  return `Writes to the table are blocked by ${markdownCode(workflowId)} once its plan is approved: ${markdownCode(`reprise approve ${id} --reason "..."`)}. You may go on without it.`;
}

function repairOnPage({ cluster, workflowId, order, suspects, survey }: TableIncidentFacts): readonly string[] {
  const { database, table } = order;
  const named = { cluster, database, table };
  const worst = suspects?.transactions[0];
  const good = survey?.history.findLast(({ suspicion }) => suspicion === null);
  const xid = worst?.xid ?? 'NUMBER';
  const id = shellWord(workflowId);
  return [
    '**To type next:**',
    markdownCommands([
      [
        'which transactions touched it',
        `reprise wal transactions ${shellWord(cluster)} --database ${shellWord(database)} --table ${shellWord(formatTableName(table))} --from ${suspects?.from ?? '-2h'}`,
      ],
      ['when it went wrong', tableCommand('locate', named, `--min-rows ${good?.rows ?? 'COUNT'}`)],
      [
        'what differs',
        tableCommand('compare', named, worst === undefined ? '--to TIME' : `--to before-xid:${worst.xid}`),
      ],
      ['what each way back would lose', tableCommand('blast-radius', named, `--xid ${xid}`)],
      [
        'undo the transaction, and keep what came later; its plan has an approval of its own',
        tableCommand('repair', named, `--xid ${xid}`, `--incident ${id}`),
      ],
      ['what caused it, for the report', `reprise incident note ${id} --cause "..."`],
      ['end the incident without a repair', `reprise incident close ${id} --reason "..."`],
    ]),
  ];
}
