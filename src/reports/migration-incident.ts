import type { RecoveryOutcome } from '../domain/backup/records.js';
import type { MigrationFindings, MigrationTime } from '../domain/incident/migration.js';
import type { MigrationIncidentOrder } from '../domain/operation/orders.js';
import { repairTitle } from '../domain/table/repair-text.js';
import { formatTableName } from '../domain/table/table-name.js';
import { bothForms, type BothForms } from './document/both-forms.js';
import type { Block, Inline, ReportDocument, Section } from './document/document.js';
import {
  causeOf,
  decisions,
  type RecordedIncidentFacts,
  type Row,
  sinceInWords,
  table,
  timeline,
} from './incident-parts.js';

/** What the document of a migration that went wrong is written from. */
export interface MigrationIncidentReportInput extends RecordedIncidentFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: MigrationIncidentOrder;
  readonly discoveredAt: string;
  readonly time: MigrationTime;
  /** Null: the states could not be compared. */
  readonly findings: MigrationFindings | null;
  /** Of the recovery that people chose; null: the database was not recovered. */
  readonly recovery: RecoveryOutcome | null;
}

/** The document of a migration that went wrong, in Markdown and as one HTML file; times are UTC. */
export function migrationIncidentReport(input: MigrationIncidentReportInput): BothForms {
  return bothForms(migrationIncidentDocument(input));
}

function migrationIncidentDocument(input: MigrationIncidentReportInput): ReportDocument {
  const { cluster, workflowId, order, incident, recovery, time } = input;
  const repaired = input.repairs.filter(({ outcome }) => outcome !== null).length;
  const sections: readonly Section[] = [
    { title: 'Rows before the migration and when it was looked', blocks: tables(input) },
    { title: 'Definitions', blocks: objects(input) },
    { title: 'Times (UTC)', blocks: [table(['what', 'when', 'after'], times(input))] },
    { title: 'What was chosen', blocks: chosen(input) },
    { title: 'Who decided', blocks: decisions(input) },
    { title: 'Timeline (UTC)', blocks: timeline(input) },
    { title: 'To do', prominent: true as const, blocks: followUps(input) },
  ].filter(({ blocks }) => blocks.length > 0);
  const isMended = recovery !== null || repaired > 0;
  return {
    language: 'en',
    title: `Incident bad-migration: ${order.database} of ${cluster}`,
    verdict: isMended
      ? { kind: 'pass', text: recovery === null ? 'Tables repaired' : 'Database recovered' }
      : { kind: 'incomplete', text: 'Closed with nothing changed' },
    summary: summaryOf(recovery, repaired),
    facts: [
      ['cluster', [{ code: cluster }]],
      ['database', [{ code: order.database }]],
      ['incident', [{ code: workflowId }]],
      ['migrations', [time.migrations.map(({ name }) => name).join(', ') || 'not recorded']],
      ['probable cause', [causeOf(input) ?? 'not entered']],
      ['state', [incident === null ? 'not recorded' : `${incident.state}, since ${incident.updatedAt}`]],
    ],
    sections,
  };
}

function summaryOf(recovery: RecoveryOutcome | null, repaired: number): string {
  if (recovery !== null)
    return `The database is as at ${recovery.target.reached}; what was written to it later is in the old one, which is kept.`;
  return repaired === 0
    ? 'Nothing was changed: the database is as the migration left it.'
    : `${repaired} ${repaired === 1 ? 'repair' : 'repairs'} of tables changed rows; definitions are as the migration left them.`;
}

function tables({ findings }: MigrationIncidentReportInput): readonly Block[] {
  if (findings === null) return [{ kind: 'text', text: ['The states before and after could not be compared.'] }];
  const { tables: differ, changed, same } = findings;
  const more = changed - differ.length;
  const rest: Block = {
    kind: 'text',
    text: [`${same} tables had as many rows as before${more > 0 ? `; ${more} more had others` : ''}.`],
  };
  if (differ.length === 0) return [rest];
  const rows = differ.map(({ table: name, before, now }): Row => {
    return [
      [{ code: formatTableName(name) }],
      [before === null ? 'not there' : String(before)],
      [now === null ? 'not there' : String(now)],
    ];
  });
  return [table(['table', 'before', 'then'], rows), rest];
}

function objects({ findings }: MigrationIncidentReportInput): readonly Block[] {
  if (findings === null) return [];
  const { objects: differ, moreObjects } = findings;
  if (differ.length === 0) return [{ kind: 'text', text: ['All definitions were as before.'] }];
  const more: readonly Row[] = moreObjects > 0 ? [[[`and ${moreObjects} more`]]] : [];
  return [table(['what'], [...differ.map((text): Row => [[text]]), ...more])];
}

function times(input: MigrationIncidentReportInput): readonly Row[] {
  const { discoveredAt, incident, time, recovery, repairs } = input;
  const known: readonly (readonly [what: string, at: string | null | undefined])[] = [
    ['state before the migration', time.before],
    ...time.migrations.toReversed().map(({ name, at }) => [`migration ${name} recorded`, at] as const),
    ['discovered', discoveredAt],
    ['incident opened', incident?.openedAt],
    ['confirmed', incident?.history.find(({ state }) => state === 'confirmed')?.at],
    ...repairs.map(({ outcome }) => ['table repaired', outcome?.finishedAt] as const),
    ['last commit that was recovered', recovery?.lastCommitAt],
    ['closed', incident?.history.findLast(({ state }) => state === 'closed')?.at],
  ];
  return known.flatMap(([what, at]) => (at == null ? [] : [[[what], [at], [sinceInWords(discoveredAt, at)]]]));
}

function chosen({ repairs, recovery }: MigrationIncidentReportInput): readonly Block[] {
  const lines: Row[] = repairs.map(({ operationId, plan, outcome }) => [
    [plan === null ? 'no plan was made' : repairTitle(plan.binding)],
    [outcome === null ? 'changed nothing' : 'carried out'],
    [{ code: outcome?.report ?? operationId }],
  ]);
  if (recovery !== null)
    lines.push([
      [`The database was recovered to ${recovery.target.reached}`],
      ['carried out'],
      [{ code: recovery.report }],
    ]);
  return lines.length === 0 ? [] : [table(['what', 'result', 'report'], lines)];
}

function followUps(input: MigrationIncidentReportInput): readonly Block[] {
  const { cluster, recovery, repairs } = input;
  const lines: (readonly Inline[])[] = [];
  if (causeOf(input) === null) lines.push(['Write down the probable cause, and what would prevent it.']);
  if (recovery !== null)
    lines.push(
      [
        'Run the version of the application that fits the older definitions, and mark the migration as not applied in its tool.',
      ],
      [
        'Look at what was written after the migration: it is in the old database, until it is dropped: ',
        { code: 'reprise kept list' },
      ],
    );
  else
    lines.push([
      'Decide what becomes of the definitions that the migration changed: no repair of rows changes them back.',
    ]);
  if (recovery !== null || repairs.some(({ outcome }) => outcome !== null))
    lines.push([
      'Make a backup now, so that the state put right is in one: ',
      { code: `reprise backup run ${cluster}` },
    ]);
  lines.push(
    [
      'Correct the migration, and run it on a copy of production first: ',
      { code: `reprise explore start ${cluster} --to latest` },
    ],
    ['Make a backup, or a restore point, before the next migration.'],
  );
  return [
    table(
      ['#', 'what'],
      lines.map((line, index) => [[String(index + 1)], line]),
    ),
  ];
}
