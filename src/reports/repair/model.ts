import type { RepairIncident, RepairOutcome, RepairPlan } from '../../domain/table/repair.js';
import { repairCommand, takeConflictsCommand, repairTitle, undoRepairCommand } from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { durationInWords, shellWord } from '../../domain/text/text.js';
import type { Block, Inline, ReportDocument, Section } from '../document/document.js';
import type { RepairSentences } from './sentences/sentences.js';

/** What the report of a repair is written from: what the host has kept, and nothing else. */
export interface RepairReportInput {
  readonly plan: RepairPlan;
  readonly outcome: Omit<RepairOutcome, 'report'>;
  readonly approvals: readonly { readonly by: string; readonly reason: string; readonly at: string }[];
  /** Null: it belongs to none. */
  readonly incident: RepairIncident | null;
  /** The repair has ended: whoever has not answered does not any more. */
  readonly isOver: boolean;
  /** The configuration says what a coherent table is. */
  readonly hasInvariants: boolean;
}

type Say = RepairSentences;

/** The report of a repair, in sentences of one language; times are UTC. */
export function repairDocument(input: RepairReportInput, say: Say): ReportDocument {
  const { plan, outcome } = input;
  const { binding } = plan;
  const { done } = outcome;
  const table = formatTableName(binding.order.table);
  const sections: readonly Section[] = [
    followUps(input, say),
    cause(input, say),
    times(input, say),
    rows(input, say),
    checks(input, say),
    signOff(input, say),
    counts(input, say),
    takeBack(input, say),
  ].filter(({ blocks }) => blocks.length > 0);
  return {
    language: say.language,
    title: say.title(table, binding.cluster),
    verdict: verdictOf(input, say),
    summary: say.summary({
      ...{ inserted: done.insert, updated: done.update, deleted: done.delete },
      conflicts: binding.changes.conflicts + done.conflicts,
      lasted: between(plan.observed.damagedAt, outcome.finishedAt),
    }),
    facts: [
      [say.words.cluster, [{ code: binding.cluster }]],
      [say.words.database, [{ code: binding.order.database }]],
      [say.words.table, [{ code: table }]],
      [say.words.operation, [{ code: binding.operationId }]],
      [say.words.source, [repairTitle(binding)]],
      [say.words.requester, [say.asserted(binding.requester)]],
      [say.words.plan, [{ code: plan.digest }]],
    ],
    sections,
  };
}

function verdictOf({ plan, outcome, isOver }: RepairReportInput, say: Say): ReportDocument['verdict'] {
  const { signOff } = outcome;
  if (signOff?.verdict === 'fail') return { kind: 'fail', text: say.verdicts.failed };
  if (outcome.checks.some(({ status }) => status === 'failed'))
    return { kind: 'fail', text: say.verdicts.checksFailed };
  if (plan.binding.signOff === undefined || signOff) return { kind: 'pass', text: say.verdicts.good };
  return { kind: 'incomplete', text: isOver ? say.verdicts.unanswered : say.verdicts.waiting };
}

/** A span of time in words; null where one end is not known. */
function between(from: string | null | undefined, to: string | null | undefined): string | null {
  if (!from || !to || Date.parse(to) < Date.parse(from)) return null;
  return durationInWords((Date.parse(to) - Date.parse(from)) / 1000);
}

function cause({ plan, incident }: RepairReportInput, say: Say): Section {
  const { binding, observed } = plan;
  const { source } = binding.order;
  const lines: (readonly Inline[])[][] = [
    [[say.words.cause], [incident?.cause ?? say.noCause]],
    ...(incident === null ? [] : [[[say.words.incident], [{ code: incident.workflowId }]]]),
    ...(source.kind === 'transaction'
      ? [[[say.words.transaction], [say.committed(source.xid, observed.damagedAt ?? say.notKnown)]]]
      : []),
    ...(binding.backups.length === 0 ? [] : [[[say.words.backups], [binding.backups.map(({ id }) => id).join(', ')]]]),
  ];
  return { title: say.sections.cause, blocks: [table([say.words.what, say.words.found], lines)] };
}

function times({ plan, outcome, approvals, incident }: RepairReportInput, say: Say): Section {
  const { frozenAt, openedAt, signOff, counts = [] } = outcome;
  const watched = counts.findLast(({ after }) => after.startsWith('watch '));
  const lines: readonly (readonly [what: string, at: string | null | undefined, who: string])[] = [
    [say.times.damaged, plan.observed.damagedAt, ''],
    [say.times.discovered, incident?.discoveredAt, ''],
    [say.times.planned, plan.createdAt, say.asserted(plan.binding.requester)],
    ...approvals.map(({ at, by, reason }) => [say.times.approved, at, `${say.asserted(by)}: ${reason}`] as const),
    [say.times.frozen, frozenAt, ''],
    [say.times.begun, outcome.startedAt, ''],
    [say.times.checked, outcome.finishedAt, ''],
    [say.times.signedOff, signOff?.at, signOff ? say.asserted(signOff.by) : ''],
    [say.times.opened, openedAt, ''],
    [say.times.watched, watched?.at, ''],
  ];
  const known = lines.filter((line): line is readonly [string, string, string] => Boolean(line[1]));
  const inOrder = known.toSorted((one, other) => Date.parse(one[1]) - Date.parse(other[1]));
  const durations = say.durations({
    damage: between(plan.observed.damagedAt, outcome.finishedAt),
    blocked: between(frozenAt, openedAt),
  });
  return {
    title: say.sections.times,
    blocks: [
      table(
        [say.words.at, say.words.what, say.words.who],
        inOrder.map(([what, at, who]) => [[at], [what], [who]]),
      ),
      ...(durations === '' ? [] : [{ kind: 'text', text: [durations] } as const]),
    ],
  };
}

function rows({ plan, outcome }: RepairReportInput, say: Say): Section {
  const { done, rowsBefore, rowsAfter, rowsFile } = outcome;
  const { binding, observed } = plan;
  const counted: readonly (readonly [string, number])[] = [
    [say.counted.insert, done.insert],
    [say.counted.update, done.update],
    [say.counted.delete, done.delete],
    [say.counted.conflicts, binding.changes.conflicts + done.conflicts],
    [say.counted.before, rowsBefore],
    [say.counted.after, rowsAfter],
  ];
  const host = binding.targetHost;
  const file =
    rowsFile === undefined
      ? say.noRowsFile({ path: observed.file, host, until: observed.fileUntil })
      : say.rowsFile({ ...rowsFile, host });
  return {
    title: say.sections.rows,
    blocks: [
      table(
        [say.words.what, say.words.rows],
        counted.map(([what, count]) => [[what], [String(count)]]),
      ),
      { kind: 'text', text: [file] },
    ],
  };
}

function checks({ outcome }: RepairReportInput, say: Say): Section {
  const lines = outcome.checks.map(({ name, status, detail = '' }) => [
    [name],
    [{ status: ({ ok: 'passed', failed: 'failed', skipped: 'skipped' } as const)[status], text: say.statuses[status] }],
    [detail],
  ]);
  const head = [say.words.check, say.words.result, say.words.found];
  return { title: say.sections.checks, blocks: lines.length === 0 ? [] : [table(head, lines)] };
}

function signOff({ plan, outcome, isOver }: RepairReportInput, say: Say): Section {
  const title = say.sections.signOff;
  const policy = plan.binding.signOff;
  if (policy === undefined) return { title, blocks: [] };
  const word = outcome.signOff ?? null;
  if (word === null) {
    const by = policy.by.join(', ');
    return { title, blocks: [{ kind: 'text', text: [isOver ? say.noAnswer(by) : say.waitsFor(by)] }] };
  }
  const remarks: readonly Block[] = word.remarks === null ? [] : [{ kind: 'text', text: [word.remarks] }];
  return { title, blocks: [{ kind: 'text', text: [say.signedOff(word)] }, ...remarks] };
}

function counts({ outcome }: RepairReportInput, say: Say): Section {
  const { counts: counted = [] } = outcome;
  const lines = counted.map(({ after, at, rows: number, change, since, suspicion }): (readonly Inline[])[] => [
    [at],
    [after],
    [String(number)],
    [change === null ? '' : say.changed(change > 0 ? `+${change}` : String(change), since ?? '')],
    suspicion === null ? [''] : [{ strong: say.abnormal(suspicion) }],
  ]);
  const head = [say.words.at, say.words.after, say.words.rows, say.words.change, say.words.found];
  return { title: say.sections.counts, blocks: lines.length < 2 ? [] : [table(head, lines)] };
}

/** What is left to do, each with the command where there is one. */
function followUps(input: RepairReportInput, say: Say): Section {
  const blocks = [...aboutRows(input, say), ...aboutCause(input, say), ...aboutNextTime(input, say)].map(
    ([text, command]): readonly Block[] => [
      { kind: 'text', text: [text] },
      ...(command === null ? [] : [{ kind: 'command', text: command } as const]),
    ],
  );
  return { title: say.sections.followUps, prominent: true, blocks: blocks.flat() };
}

type FollowUp = readonly [text: string, command: string | null];

function aboutRows({ plan, outcome }: RepairReportInput, { followUps: say }: Say): readonly FollowUp[] {
  const { binding } = plan;
  const { cluster, order, changes } = binding;
  const name = formatTableName(order.table);
  const again = repairCommand(binding);
  const take = takeConflictsCommand(binding);
  const when: readonly (readonly [boolean, FollowUp])[] = [
    [outcome.signOff?.verdict === 'fail', [say.takeBackOrKeep, undoRepairCommand(plan)]],
    ...outcome.checks.map((check) => [check.status === 'failed', [say.failedCheck(check.name), null]] as const),
    [changes.conflicts > 0, [say.conflicts(changes.conflicts, take === null), take]],
    [outcome.done.conflicts > 0, [say.leftOut(outcome.done.conflicts), again]],
    [
      (outcome.counts ?? []).some(({ suspicion }) => suspicion !== null),
      [
        say.abnormal,
        `reprise wal transactions ${cluster} --database ${shellWord(order.database)} --table ${shellWord(name)} --from -6h`,
      ],
    ],
    [true, [say.backup, `reprise backup run ${cluster}`]],
  ];
  return chosen(when);
}

function aboutCause({ plan, outcome, incident }: RepairReportInput, { followUps: say }: Say): readonly FollowUp[] {
  const { damagedAt } = plan.observed;
  const { source } = plan.binding.order;
  const note = incident === null ? null : `reprise incident note ${incident.workflowId} "..."`;
  return [
    ...(damagedAt === null ? [] : [[say.affected(damagedAt, outcome.finishedAt), null] as const]),
    ...(source.kind === 'transaction' ? [[say.restrict(source.xid), null] as const] : []),
    ...(incident?.cause ? [] : [[say.cause, note] as const]),
  ];
}

function aboutNextTime(
  { plan, outcome, hasInvariants }: RepairReportInput,
  { followUps: say }: Say,
): readonly FollowUp[] {
  const { binding } = plan;
  const { database, table: of } = binding.order;
  const add = (key: string): string =>
    `clusters.${binding.cluster}.tables: { ${JSON.stringify(formatTableName(of))}: { database: ${JSON.stringify(database)}, ${key} } }`;
  return chosen([
    [binding.freeze === null && outcome.frozenAt === undefined, [say.noFreeze, add('freeze: { by: trigger }')]],
    [binding.signOff === undefined, [say.noSignOff, add('sign_off: { by: [CONTACT], within: 4h }')]],
    [binding.watchSeconds === undefined, [say.noWatch, add('watch_after: 2h')]],
    [!hasInvariants, [say.noInvariant, add('invariants: { NAME: { query: "SELECT ..." } }')]],
    [outcome.rowsFile !== undefined, [say.file(plan.observed.fileUntil), null]],
  ]);
}

const chosen = (when: readonly (readonly [boolean, FollowUp])[]): readonly FollowUp[] =>
  when.flatMap(([isSo, text]) => (isSo ? [text] : []));

function takeBack({ plan }: RepairReportInput, say: Say): Section {
  return {
    title: say.sections.takeBack,
    blocks: [
      { kind: 'text', text: [say.takeBack(plan.observed.fileUntil)] },
      { kind: 'command', text: undoRepairCommand(plan) },
    ],
  };
}

function table(head: readonly string[], lines: readonly (readonly (readonly Inline[])[])[]): Block {
  return { kind: 'table', head, rows: lines };
}
