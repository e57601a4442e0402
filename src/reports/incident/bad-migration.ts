import type { RecoveryOutcome } from '../../domain/backup/records.js';
import type { MigrationFindings, MigrationTime } from '../../domain/incident/migration.js';
import type { MigrationIncidentOrder } from '../../domain/operation/orders.js';
import { repairTitle } from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import type { Block, Inline, ReportDocument, Section } from '../document/document.js';
import {
  causeOf,
  decisions,
  followUpTable,
  type RecordedIncidentFacts,
  type Row,
  table,
  timeline,
  timesTable,
} from './parts.js';
import type { IncidentSentences } from './sentences/sentences.js';

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

type Say = IncidentSentences;

/** The document of a migration that went wrong, in sentences of one language. */
export function migrationIncidentDocument(input: MigrationIncidentReportInput, say: Say): ReportDocument {
  const { cluster, workflowId, order, incident, time } = input;
  const sections: readonly Section[] = [
    { title: say.sections.rowsThen, blocks: tables(input, say) },
    { title: say.sections.definitions, blocks: objects(input, say) },
    { title: say.sections.times, blocks: [times(input, say)] },
    { title: say.sections.chosen, blocks: chosen(input, say) },
    { title: say.sections.decisions, blocks: decisions(input, say) },
    { title: say.sections.timeline, blocks: timeline(input, say) },
    { title: say.sections.followUps, prominent: true as const, blocks: [followUps(input, say)] },
  ].filter(({ blocks }) => blocks.length > 0);
  const { words } = say;
  return {
    language: say.language,
    title: say.title('bad-migration', say.databaseOf(order.database, cluster)),
    ...verdictOf(input, say),
    facts: [
      [words.cluster, [{ code: cluster }]],
      [words.database, [{ code: order.database }]],
      [words.incident, [{ code: workflowId }]],
      [words.migrations, [time.migrations.map(({ name }) => name).join(', ') || say.notRecorded]],
      [words.cause, [causeOf(input) ?? say.noCause]],
      [words.state, [incident === null ? say.notRecorded : say.stateSince(incident.state, incident.updatedAt)]],
    ],
    sections,
  };
}

function verdictOf(
  { recovery, repairs }: MigrationIncidentReportInput,
  { verdicts, summaries }: Say,
): Pick<ReportDocument, 'verdict' | 'summary'> {
  if (recovery !== null)
    return {
      verdict: { kind: 'pass', text: verdicts.recovered },
      summary: summaries.recovered(recovery.target.reached),
    };
  const repaired = repairs.filter(({ outcome }) => outcome !== null).length;
  return repaired > 0
    ? { verdict: { kind: 'pass', text: verdicts.tables }, summary: summaries.tables(repaired) }
    : { verdict: { kind: 'incomplete', text: verdicts.unchanged }, summary: summaries.unchanged };
}

function tables({ findings }: MigrationIncidentReportInput, say: Say): readonly Block[] {
  if (findings === null) return [{ kind: 'text', text: [say.notCompared] }];
  const { tables: differ, changed, same } = findings;
  const rest: Block = { kind: 'text', text: [say.sameRows(same, changed - differ.length)] };
  if (differ.length === 0) return [rest];
  const count = (rows: number | null): string => (rows === null ? say.notThere : String(rows));
  const rows = differ.map(({ table: name, before, now }): Row => {
    return [[{ code: formatTableName(name) }], [count(before)], [count(now)]];
  });
  const { words } = say;
  return [table([words.table, words.before, words.then], rows), rest];
}

function objects({ findings }: MigrationIncidentReportInput, say: Say): readonly Block[] {
  if (findings === null) return [];
  const { objects: differ, moreObjects } = findings;
  if (differ.length === 0) return [{ kind: 'text', text: [say.sameDefinitions] }];
  const more: readonly Row[] = moreObjects > 0 ? [[[say.moreDefinitions(moreObjects)]]] : [];
  return [table([say.words.what], [...differ.map((text): Row => [[text]]), ...more])];
}

function times(input: MigrationIncidentReportInput, say: Say): Block {
  const { discoveredAt, incident, time, recovery, repairs } = input;
  return timesTable(
    discoveredAt,
    [
      [say.times.beforeMigration, time.before],
      ...time.migrations.toReversed().map(({ name, at }) => [say.recorded(name), at] as const),
      [say.times.discovered, discoveredAt],
      [say.times.opened, incident?.openedAt],
      [say.times.confirmed, incident?.history.find(({ state }) => state === 'confirmed')?.at],
      ...repairs.map(({ outcome }) => [say.times.checked, outcome?.finishedAt] as const),
      [say.times.lastCommit, recovery?.lastCommitAt],
      [say.times.closed, incident?.history.findLast(({ state }) => state === 'closed')?.at],
    ],
    say,
  );
}

function chosen({ repairs, recovery }: MigrationIncidentReportInput, say: Say): readonly Block[] {
  const { results, words } = say;
  const lines: Row[] = repairs.map(({ operationId, plan, outcome }) => [
    [plan === null ? say.noPlan : repairTitle(plan.binding)],
    [outcome === null ? results.nothing : results.done],
    [{ code: outcome?.report ?? operationId }],
  ]);
  if (recovery !== null)
    lines.push([[say.recoveredTo(recovery.target.reached)], [results.done], [{ code: recovery.report }]]);
  return lines.length === 0 ? [] : [table([words.what, words.result, words.report], lines)];
}

function followUps(input: MigrationIncidentReportInput, say: Say): Block {
  const { cluster, recovery, repairs } = input;
  const to = say.followUps;
  const lines: (readonly Inline[])[] = [];
  if (causeOf(input) === null) lines.push([to.cause]);
  if (recovery !== null) lines.push([to.application], [to.oldDatabase, { code: 'reprise kept list' }]);
  else lines.push([to.definitions]);
  if (recovery !== null || repairs.some(({ outcome }) => outcome !== null))
    lines.push([to.backup, { code: `reprise backup run ${cluster}` }]);
  lines.push([to.tryMigration, { code: `reprise explore start ${cluster} --to latest` }], [to.beforeNext]);
  return followUpTable(lines, say);
}
