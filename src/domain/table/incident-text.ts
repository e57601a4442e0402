import type { TableIncidentOrder } from '../operation/orders.js';
import { markdownBlock, markdownCode, markdownTable, markdownText } from '../text/markdown.js';
import { clipBytes, shellWord } from '../text/text.js';
import type { TableSurvey, TableSuspects } from './incident.js';
import { formatTableName, tableWords } from './table-name.js';

/** What an incident of a table knows so far; null: not yet looked for. */
export interface TableIncidentFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: TableIncidentOrder;
  /** UTC ISO-8601. */
  readonly discoveredAt: string;
  readonly cause: string | null;
  readonly survey: TableSurvey | null;
  readonly suspects: TableSuspects | null;
  /** Workflow that blocks the writes; null: none does. */
  readonly hold: string | null;
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
export function suspectsText({ transactions: [worst, ...others], problem, from, to }: TableSuspects): string {
  const range = `from ${from} to ${to}`;
  const found =
    worst === undefined
      ? `no transaction that touched the table was found ${range}`
      : `transaction ${worst.xid}, committed at ${worst.committedAt}, did most: ${damageOf(worst)}; ${others.length} others ${range}`;
  return problem === null ? found : `${found}; ${problem}`;
}

function damageOf({ inserted, updated, deleted, actions }: TableSuspects['transactions'][number]): string {
  return [...actions, `${deleted} rows deleted, ${updated} changed, ${inserted} inserted`].join(', ');
}

/** Figures and commands, for the Web UI's details (Markdown). `stage`: which commands come next. */
export function tableIncidentDetails(facts: TableIncidentFacts, stage: 'confirm' | 'choose'): string {
  const { order, discoveredAt, cause, survey, suspects } = facts;
  return [
    `### ${markdownText(`Rows of ${incidentTable(order)} are suspected to be wrong`)}`,
    `- **discovered:** ${markdownText(discoveredAt)}\n- **cause:** ${markdownText(clipBytes(cause ?? 'not entered yet', 500))}`,
    survey === null ? 'The rows are being compared with those of the backups.' : surveyDetails(survey),
    suspects === null ? 'The WAL is being read.' : suspectsDetails(suspects),
    ...(facts.hold === null ? [] : [holdDetails(facts.hold)]),
    `**To type next:**\n\n${markdownBlock((stage === 'confirm' ? confirmCommands : repairCommands)(facts).join('\n'), 'sh')}`,
  ].join('\n\n');
}

function surveyDetails({ history, rowsNow, suspicion, problems }: TableSurvey): string {
  const rows = history.map(({ at, policy, rows: count, change, suspicion: then }) => [
    at,
    markdownText(policy),
    String(count),
    change === null ? '–' : signed(change),
    then === null ? '' : '**suspicious**',
  ]);
  const last = history.at(-1);
  const change = rowsNow === null || last === undefined ? '–' : signed(rowsNow - last.rows);
  rows.push([
    'now',
    'production',
    rowsNow === null ? 'not known' : String(rowsNow),
    change,
    suspicion === null ? '' : '**suspicious**',
  ]);
  return [
    markdownTable(['when', 'backup', 'rows', 'change', ''], rows),
    ...problems.map((problem) => `- ⚠ ${markdownText(clipBytes(problem, 500))}`),
  ].join('\n\n');
}

const signed = (change: number): string => (change > 0 ? `+${change}` : String(change));

function suspectsDetails({ transactions, problem, from, to }: TableSuspects): string {
  const rows = transactions.map(({ xid, committedAt, deleted, updated, inserted, actions }) => [
    xid,
    committedAt,
    String(deleted),
    String(updated),
    String(inserted),
    actions.map(markdownText).join(', '),
  ]);
  return [
    `Transactions that touched it, from ${from} to ${to}:`,
    rows.length === 0
      ? 'none was found'
      : markdownTable(['xid', 'committed', 'deleted', 'changed', 'inserted', 'table'], rows),
    ...(problem === null ? [] : [`- ⚠ ${markdownText(clipBytes(problem, 500))}`]),
  ].join('\n\n');
}

function holdDetails(workflowId: string): string {
  return `Writes to the table are blocked by ${markdownCode(workflowId)} once its plan is approved: ${markdownCode(`reprise approve ${shellWord(workflowId)} --reason "..."`)}. You may go on without it.`;
}

function confirmCommands({ workflowId }: TableIncidentFacts): readonly string[] {
  const id = shellWord(workflowId);
  return [
    `reprise incident confirm ${id} --reason "..."`,
    `reprise incident dismiss ${id} --reason "..."`,
    `reprise incident note ${id} --cause "..."`,
  ];
}

function repairCommands({ cluster, workflowId, order, suspects, survey }: TableIncidentFacts): readonly string[] {
  const { database, table } = order;
  const words = tableWords(cluster, database, table);
  const worst = suspects?.transactions[0];
  const good = survey?.history.findLast(({ suspicion }) => suspicion === null);
  const xid = worst?.xid ?? 'NUMBER';
  const id = shellWord(workflowId);
  return [
    `reprise wal transactions ${shellWord(cluster)} --database ${shellWord(database)} --table ${shellWord(formatTableName(table))} --from ${suspects?.from ?? '-2h'}`,
    `reprise table locate ${words} --min-rows ${good?.rows ?? 'COUNT'}`,
    `reprise table compare ${words} ${worst === undefined ? '--to TIME' : `--to before-xid:${worst.xid}`}`,
    `reprise table blast-radius ${words} --xid ${xid}`,
    `reprise table repair ${words} --xid ${xid} --incident ${id}`,
    `reprise incident close ${id} --reason "..."`,
  ];
}
