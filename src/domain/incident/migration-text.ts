import type { MigrationIncidentOrder } from '../operation/orders.js';
import type { Suspect, Suspects } from '../table/incident.js';
import { confirmOnPage, type IncidentStage, transactionList } from '../table/incident-text.js';
import { formatTableName, tableCommand } from '../table/table-name.js';
import { markdownCommands, markdownText } from '../text/markdown.js';
import { clipBytes, shellWord } from '../text/text.js';
import { LONGEST_MS, type MigrationFindings, type MigrationTime } from './migration.js';

/** What an incident of a migration knows so far; null: not yet. */
export interface MigrationFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: MigrationIncidentOrder;
  /** UTC ISO-8601. */
  readonly discoveredAt: string;
  readonly cause: string | null;
  readonly time: MigrationTime | null;
  readonly findings: MigrationFindings | null;
  readonly transactions: Suspects | null;
  /** Why the states could not be compared. */
  readonly problem: string | null;
  /** Tables that were put right. */
  readonly repaired: number;
}

/** When the migration was, in a sentence. */
export function migrationTimeText({ before, source, migrations, recordedIn, begun }: MigrationTime): string {
  if (source === 'operator')
    return `the state before the migration is that of ${before}, as was said when the incident was opened`;
  const names = migrations.map(({ name, at }) => `${name} (${at})`).join(', ');
  return `${recordedIn ?? 'the migration table'} has ${clipBytes(names, 500)}; the state before is looked at as of ${before}, ${begunText(begun)}`;
}

function begunText(begun: MigrationTime['begun']): string {
  switch (begun) {
    case 'recorded':
      return 'when it began, as it is recorded there';
    case 'wal':
      return 'before the first transaction in the WAL that dropped, truncated or rewrote a table';
    default:
      return `${LONGEST_MS / 60_000} minutes before it was recorded: where it took longer, name the time at which it began (--at)`;
  }
}

/** What the comparison found, in a sentence. */
export function findingsText(findings: MigrationFindings | null, problem: string | null): string {
  if (findings === null) return `the state before the migration could not be compared: ${problem ?? 'not known why'}`;
  const { changed, same, objects, moreObjects } = findings;
  const count = objects.length + moreObjects;
  return `${changed} tables have other numbers of rows, ${same} the same; ${count} ${count === 1 ? 'definition differs' : 'definitions differ'}${problem === null ? '' : `; ${problem}`}`;
}

/** Figures, and what to type, for the Web UI's details (Markdown). `stage`: which decisions come next. */
export function migrationDetails(facts: MigrationFacts, stage: IncidentStage): string {
  const { order, discoveredAt, cause, time, findings, transactions, problem, repaired } = facts;
  return [
    `### ${markdownText(`A migration of ${order.database} ${stage === 'confirm' ? 'is suspected to have gone' : 'went'} wrong`)}`,
    [
      `- **discovered:** ${markdownText(discoveredAt)}`,
      `- **cause:** ${markdownText(clipBytes(cause ?? 'not entered yet', 500))}`,
      `- **migration:** ${time === null ? 'being looked for' : markdownText(clipBytes(migrationTimeText(time), 800))}`,
      ...(repaired > 0 ? [`- **tables repaired:** ${repaired}`] : []),
    ].join('\n'),
    ...(findings === null ? [] : findingsDetails(findings)),
    ...(findings === null && problem === null && time !== null
      ? ['The state before it is being restored and compared with production.']
      : []),
    ...(transactions === null ? [] : [transactionsDetails(transactions)]),
    ...(problem === null ? [] : [`- ⚠ ${markdownText(clipBytes(problem, 500))}`]),
    ...(stage === 'confirm' ? confirmOnPage(facts.workflowId) : []),
    ...(stage === 'work' ? [] : ['**To type next:**', markdownCommands(commands(facts, stage))]),
  ].join('\n\n');
}

function findingsDetails({ tables, changed, same, objects, moreObjects }: MigrationFindings): readonly string[] {
  const count = (rows: number | null): string => (rows === null ? 'not there' : String(rows));
  const rows = tables
    .slice(0, 15)
    .map(
      ({ table, before, now }) =>
        `- **${markdownText(formatTableName(table))}:** ${count(before)} before, ${count(now)} now`,
    );
  const listed = objects.slice(0, 20).map((text) => `- ${markdownText(clipBytes(text, 200))}`);
  const more = objects.length - listed.length + moreObjects;
  return [
    `Rows: ${changed} tables have other numbers than before, ${same} the same.`,
    ...(rows.length === 0 ? [] : [rows.join('\n')]),
    objects.length === 0
      ? 'All definitions are as before.'
      : ['Definitions that differ:', '', ...listed, ...(more > 0 ? [`- and ${more} more`] : [])].join('\n'),
  ];
}

function transactionsDetails({ transactions, problem, from, to }: Suspects): string {
  return [
    `Transactions that changed most rows, from ${from} to ${to}, the first ones first:`,
    transactionList(transactions),
    ...(problem === null ? [] : [`- ⚠ ${markdownText(clipBytes(problem, 500))}`]),
  ].join('\n\n');
}

/** The first transaction that did something to a table as a whole is most likely the migration's. */
function migrationOf(transactions: Suspects | null): Suspect | undefined {
  return transactions?.transactions.find(({ actions }) => actions.length > 0);
}

function commands(
  { cluster, workflowId, order, time, findings, transactions }: MigrationFacts,
  stage: IncidentStage,
): readonly (readonly [string, string])[] {
  const { database } = order;
  const id = shellWord(workflowId);
  const first = migrationOf(transactions);
  const before = first === undefined ? (time?.before ?? 'TIME') : `before-xid:${first.xid}`;
  const lost = findings?.tables.find((one) => one.before !== null && one.now !== null && one.before > one.now);
  const named = { cluster, database, table: lost?.table ?? null };
  return [
    [
      'what was written since',
      `reprise wal transactions ${shellWord(cluster)} --database ${shellWord(database)} --from ${time?.before ?? 'TIME'}`,
    ],
    [
      'the whole database as before; what was written since stays in the old one',
      `reprise recover ${shellWord(cluster)} --database ${shellWord(database)} --to ${before} --incident ${id}`,
    ],
    ['what differs in one table', tableCommand('compare', named, `--to ${before}`)],
    [
      'put back the rows that are missing in one table, if its definition fits',
      tableCommand('repair', named, `--to ${before}`, '--strategy insert-missing', `--incident ${id}`),
    ],
    ...(stage === 'confirm' ? [] : [['end the incident', `reprise incident close ${id} --reason "..."`] as const]),
  ];
}
