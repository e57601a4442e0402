import type { TableIncidentOrder } from '../domain/operation/orders.js';
import type { RepairOutcome } from '../domain/table/repair.js';
import { repairTitle } from '../domain/table/repair-text.js';
import { formatTableName, tableWords } from '../domain/table/table-name.js';
import { bothForms, type BothForms } from './document/both-forms.js';
import type { Block, Inline, ReportDocument, Section } from './document/document.js';
import {
  causeOf,
  type ChosenRepairFacts,
  decisions,
  type RecordedIncidentFacts,
  type Row,
  sinceInWords,
  table,
  timeline,
} from './incident-parts.js';

/** What the document of an incident of a table is written from: what the host has recorded, and when the damage was found. */
export interface TableIncidentReportInput extends RecordedIncidentFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: TableIncidentOrder;
  readonly discoveredAt: string;
  /** Operation of the one that put the table right; null: none did. */
  readonly repair: string | null;
}

/** The document of an incident of a table, in Markdown and as one HTML file; times are UTC. */
export function tableIncidentReport(input: TableIncidentReportInput): BothForms {
  return bothForms(tableIncidentDocument(input));
}

type Fact = readonly [name: string, value: readonly Inline[]];

function tableIncidentDocument(input: TableIncidentReportInput): ReportDocument {
  const { cluster, workflowId, order, incident } = input;
  const done = input.repairs.find(({ operationId }) => operationId === input.repair);
  const isRepaired = done?.outcome != null;
  const sections: readonly Section[] = [
    { title: 'Rows', blocks: rows(done) },
    { title: 'Times (UTC)', blocks: [table(['what', 'when', 'after'], times(input, done))] },
    { title: 'Repairs that were chosen', blocks: repairs(input) },
    { title: 'Who decided', blocks: decisions(input) },
    { title: 'Timeline (UTC)', blocks: timeline(input) },
    { title: 'To do', prominent: true as const, blocks: followUps(input, done) },
  ].filter(({ blocks }) => blocks.length > 0);
  const named = `${formatTableName(order.table)} in ${order.database} of ${cluster}`;
  return {
    language: 'en',
    title: `Incident table-corruption: ${named}`,
    verdict: isRepaired ? { kind: 'pass', text: 'Repaired' } : { kind: 'incomplete', text: 'Closed without a repair' },
    summary: isRepaired
      ? repairedSummary(done.outcome)
      : 'No repair changed the table: its rows are as they were when the incident was closed.',
    facts: [
      ['cluster', [{ code: cluster }]],
      ['database', [{ code: order.database }]],
      ['table', [{ code: formatTableName(order.table) }]],
      ['incident', [{ code: workflowId }]],
      ['probable cause', [causeOf(input) ?? 'not entered']],
      ...transactionOf(done),
      ['state', [incident === null ? 'not recorded' : `${incident.state}, since ${incident.updatedAt}`]],
    ],
    sections,
  };
}

function repairedSummary({ done: { insert, update, delete: removed, conflicts }, rowsAfter }: RepairOutcome): string {
  return `${insert} rows were put back, ${update} corrected, ${removed} deleted, and ${conflicts} left for people; the table has ${rowsAfter} rows.`;
}

function transactionOf(repair: ChosenRepairFacts | undefined): readonly Fact[] {
  const source = repair?.plan?.binding.order.source;
  if (source?.kind !== 'transaction') return [];
  const at = repair?.plan?.observed.damagedAt;
  return [['transaction', [{ code: source.xid }, at == null ? '' : `, committed at ${at}`]]];
}

function rows(repair: ChosenRepairFacts | undefined): readonly Block[] {
  const { outcome, plan } = repair ?? {};
  if (outcome == null || plan == null) return [];
  const { done, rowsBefore, rowsAfter } = outcome;
  const line = (what: string, count: number): Row => [[what], [String(count)]];
  return [
    table(
      ['what', 'rows'],
      [
        line('lost by the damage, and put back', done.insert),
        line('wrong, and corrected', done.update),
        line('made by the damage, and deleted', done.delete),
        line('changed for another reason too, and left to people', plan.binding.changes.conflicts + done.conflicts),
        line('before the repair', rowsBefore),
        line('after it', rowsAfter),
      ],
    ),
    {
      kind: 'text',
      text: [
        'Every row, as it was and as it is, stands in ',
        { code: plan.observed.file },
        ` on host ${plan.binding.targetHost} until ${plan.observed.fileUntil}; only its owner reads it.`,
      ],
    },
  ];
}

/** What happened when, and how long after the damage was found. */
function times(input: TableIncidentReportInput, repair: ChosenRepairFacts | undefined): readonly Row[] {
  const { discoveredAt, incident, journal, approvals } = input;
  const frozen = journal.filter(({ step }) => step === 'freeze');
  const approved = approvals.filter(({ digest }) => digest === repair?.plan?.digest).at(-1);
  const known: readonly (readonly [what: string, at: string | null | undefined])[] = [
    ['damage committed', repair?.plan?.observed.damagedAt],
    ['discovered', discoveredAt],
    ['incident opened', incident?.openedAt],
    ['confirmed', incident?.history.find(({ state }) => state === 'confirmed')?.at],
    ['writes blocked', frozen.find(({ text }) => text.includes('are blocked'))?.at],
    ['repair approved', approved?.at],
    ['repair begun', repair?.outcome?.startedAt],
    ['repair checked', repair?.outcome?.finishedAt],
    ['writes open again', frozen.findLast(({ text }) => text.includes('are open again'))?.at],
    ['closed', incident?.history.findLast(({ state }) => state === 'closed')?.at],
  ];
  return known.flatMap(([what, at]) => (at == null ? [] : [[[what], [at], [sinceInWords(discoveredAt, at)]]]));
}

function repairs({ repairs: chosen, repair }: TableIncidentReportInput): readonly Block[] {
  if (chosen.length === 0) return [];
  const state = (one: ChosenRepairFacts): string =>
    one.operationId === repair ? 'put the table right' : one.outcome === null ? 'changed nothing' : 'carried out';
  return [
    table(
      ['operation', 'what', 'result', 'report'],
      chosen.map((one) => [
        [{ code: one.operationId }],
        [one.plan === null ? 'no plan was made' : repairTitle(one.plan.binding)],
        [state(one)],
        [one.outcome === null ? '–' : { code: one.outcome.report }],
      ]),
    ),
  ];
}

function followUps(input: TableIncidentReportInput, repair: ChosenRepairFacts | undefined): readonly Block[] {
  const { cluster, order } = input;
  const { outcome, plan } = repair ?? {};
  const lines: (readonly Inline[])[] = [];
  if (causeOf(input) === null) lines.push(['Write down the probable cause, and what would prevent it.']);
  if (outcome == null || plan == null)
    lines.push(['The table was not repaired: decide with its owners what becomes of its rows.']);
  else {
    const conflicts = plan.binding.changes.conflicts + outcome.done.conflicts;
    if (conflicts > 0)
      lines.push([
        `Decide on ${conflicts} rows that changed for another reason too: they are listed in the file above, and `,
        { code: '--conflicts' },
        ' of another repair says what becomes of them.',
      ]);
    for (const { name, status } of outcome.checks)
      if (status !== 'ok') lines.push([`Look at what the check "${name}" found: ${status}.`]);
    lines.push(
      ['Make a backup now, so that the rows put right are in one: ', { code: `reprise backup run ${cluster}` }],
      [
        'If the repair was wrong, it can be taken back until that file is removed: ',
        {
          code: `reprise table undo ${tableWords(cluster, order.database, order.table)} --repair ${repair?.operationId}`,
        },
      ],
    );
  }
  if (transactionOf(repair).length > 0)
    lines.push(['Find the program and the role that ran the transaction, and take away rights that it does not need.']);
  lines.push(
    ['Correct the loading or batch that did it, its checks, and the alarms that should have told of it.'],
    ['Tell those who change rows in bulk by hand or by import what happened.'],
  );
  return [
    table(
      ['#', 'what'],
      lines.map((line, index) => [[String(index + 1)], line]),
    ),
  ];
}
