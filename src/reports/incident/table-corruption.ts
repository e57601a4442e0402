import type { TableIncidentOrder } from '../../domain/operation/orders.js';
import { repairTitle } from '../../domain/table/repair-text.js';
import { formatTableName, tableCommand } from '../../domain/table/table-name.js';
import type { Block, Inline, ReportDocument, Section } from '../document/document.js';
import {
  causeOf,
  type ChosenRepairFacts,
  decisions,
  followUpTable,
  type RecordedIncidentFacts,
  type Row,
  table,
  timeline,
  timesTable,
} from './parts.js';
import type { IncidentSentences } from './sentences/sentences.js';

/** What the document of an incident of a table is written from: what the host has recorded, and when the damage was found. */
export interface TableIncidentReportInput extends RecordedIncidentFacts {
  readonly cluster: string;
  readonly workflowId: string;
  readonly order: TableIncidentOrder;
  readonly discoveredAt: string;
  /** Operation of the one that put the table right; null: none did. */
  readonly repair: string | null;
}

type Say = IncidentSentences;
type Fact = readonly [name: string, value: readonly Inline[]];

/** The document of an incident of a table, in sentences of one language. */
export function tableIncidentDocument(input: TableIncidentReportInput, say: Say): ReportDocument {
  const { cluster, workflowId, order, incident } = input;
  const done = input.repairs.find(({ operationId }) => operationId === input.repair);
  const sections: readonly Section[] = [
    { title: say.sections.rows, blocks: rows(done, say) },
    { title: say.sections.times, blocks: [times(input, done, say)] },
    { title: say.sections.repairs, blocks: repairs(input, say) },
    { title: say.sections.decisions, blocks: decisions(input, say) },
    { title: say.sections.timeline, blocks: timeline(input, say) },
    { title: say.sections.followUps, prominent: true as const, blocks: [followUps(input, done, say)] },
  ].filter(({ blocks }) => blocks.length > 0);
  const name = formatTableName(order.table);
  const { words } = say;
  return {
    language: say.language,
    title: say.title('table-corruption', say.tableIn(name, order.database, cluster)),
    ...verdictOf(done, say),
    facts: [
      [words.cluster, [{ code: cluster }]],
      [words.database, [{ code: order.database }]],
      [words.table, [{ code: name }]],
      [words.incident, [{ code: workflowId }]],
      [words.cause, [causeOf(input) ?? say.noCause]],
      ...transactionOf(done, say),
      [words.state, [incident === null ? say.notRecorded : say.stateSince(incident.state, incident.updatedAt)]],
    ],
    sections,
  };
}

function verdictOf(done: ChosenRepairFacts | undefined, say: Say): Pick<ReportDocument, 'verdict' | 'summary'> {
  const { verdicts, summaries } = say;
  if (done?.outcome == null || done.plan === null)
    return { verdict: { kind: 'incomplete', text: verdicts.unrepaired }, summary: summaries.unrepaired };
  const { done: changed, rowsAfter } = done.outcome;
  const { insert: inserted, update: updated, delete: deleted } = changed;
  const conflicts = done.plan.binding.changes.conflicts + changed.conflicts;
  const summary = summaries.repaired({ inserted, updated, deleted, conflicts, rowsAfter });
  return { verdict: { kind: 'pass', text: verdicts.repaired }, summary };
}

function transactionOf(repair: ChosenRepairFacts | undefined, say: Say): readonly Fact[] {
  const source = repair?.plan?.binding.order.source;
  if (source?.kind !== 'transaction') return [];
  const at = repair?.plan?.observed.damagedAt;
  return [[say.words.transaction, [{ code: source.xid }, at == null ? '' : say.committed(at)]]];
}

function rows(repair: ChosenRepairFacts | undefined, say: Say): readonly Block[] {
  const { outcome, plan } = repair ?? {};
  if (outcome == null || plan == null) return [];
  const { done, rowsBefore, rowsAfter } = outcome;
  const { counted, words } = say;
  const [before, after] = say.rowsFile;
  const line = (what: string, count: number): Row => [[what], [String(count)]];
  return [
    table(
      [words.what, words.rows],
      [
        line(counted.insert, done.insert),
        line(counted.update, done.update),
        line(counted.delete, done.delete),
        line(counted.conflicts, plan.binding.changes.conflicts + done.conflicts),
        line(counted.before, rowsBefore),
        line(counted.after, rowsAfter),
      ],
    ),
    {
      kind: 'text',
      text: [before, { code: plan.observed.file }, after(plan.binding.targetHost, plan.observed.fileUntil)],
    },
  ];
}

function times(input: TableIncidentReportInput, repair: ChosenRepairFacts | undefined, say: Say): Block {
  const { discoveredAt, incident, blocks, approvals } = input;
  const opened = blocks.map(({ openedAt }) => openedAt);
  const approved = approvals.filter(({ digest }) => digest === repair?.plan?.digest).at(-1);
  return timesTable(
    discoveredAt,
    [
      [say.times.damaged, repair?.plan?.observed.damagedAt],
      [say.times.discovered, discoveredAt],
      [say.times.opened, incident?.openedAt],
      [say.times.confirmed, incident?.history.find(({ state }) => state === 'confirmed')?.at],
      [say.times.frozen, blocks.map(({ since }) => since).toSorted()[0]],
      [say.times.approved, approved?.at],
      [say.times.begun, repair?.outcome?.startedAt],
      [say.times.checked, repair?.outcome?.finishedAt],
      [say.times.released, opened.includes(null) ? null : opened.toSorted().at(-1)],
      [say.times.closed, incident?.history.findLast(({ state }) => state === 'closed')?.at],
    ],
    say,
  );
}

function repairs({ repairs: chosen, repair }: TableIncidentReportInput, say: Say): readonly Block[] {
  if (chosen.length === 0) return [];
  const { results, words } = say;
  const state = (one: ChosenRepairFacts): string =>
    one.operationId === repair ? results.right : one.outcome === null ? results.nothing : results.done;
  return [
    table(
      [words.operation, words.what, words.result, words.report],
      chosen.map((one) => [
        [{ code: one.operationId }],
        [one.plan === null ? say.noPlan : repairTitle(one.plan.binding)],
        [state(one)],
        [one.outcome === null ? '–' : { code: one.outcome.report }],
      ]),
    ),
  ];
}

function followUps(input: TableIncidentReportInput, repair: ChosenRepairFacts | undefined, say: Say): Block {
  const to = say.followUps;
  const lines: (readonly Inline[])[] = [];
  if (causeOf(input) === null) lines.push([to.cause]);
  lines.push(...afterRepair(input, repair, say));
  if (transactionOf(repair, say).length > 0) lines.push([to.restrict]);
  lines.push([to.correctBatch], [to.tell]);
  return followUpTable(lines, say);
}

function afterRepair(
  { cluster, order }: TableIncidentReportInput,
  repair: ChosenRepairFacts | undefined,
  { followUps: to }: Say,
): readonly (readonly Inline[])[] {
  const { outcome, plan, operationId } = repair ?? {};
  if (outcome == null || plan == null) return [[to.unrepaired]];
  const conflicts = plan.binding.changes.conflicts + outcome.done.conflicts;
  const [before, after] = to.conflicts;
  const undo = tableCommand('undo', { ...order, cluster }, `--repair ${operationId}`);
  return [
    ...(conflicts > 0 ? [[before(conflicts), { code: '--conflicts' }, after]] : []),
    ...outcome.checks.filter(({ status }) => status === 'failed').map(({ name, status }) => [to.check(name, status)]),
    [to.backup, { code: `reprise backup run ${cluster}` }],
    [to.takeBack, { code: undo }],
  ];
}
