import { decideOnPage, planForTerminal } from '../approval/approval-page.js';
import { approveCommand, approversInWords, shortDigest, waitingLabel } from '../approval/approval-policy.js';
import { signOffJson } from '../drill/drill-text.js';
import type { SignOff } from '../drill/drill.js';
import { repairWorkflowId, signalNames, updateNames } from '../operation/names.js';
import type { ConflictRule, RepairOrder, ScopeTerm } from '../operation/orders.js';
import { undoHookOf } from '../plan/hooks.js';
import { formatTarget } from '../target/target.js';
import { markdownBlock, markdownCode, markdownCommands, markdownText } from '../text/markdown.js';
import { clipBytes, durationInWords, shellWord, visible } from '../text/text.js';
import type {
  ChangeCounts,
  FreezeMeans,
  RepairBinding,
  RepairCheck,
  RepairOutcome,
  RepairPlan,
  RowText,
  TableCount,
} from './repair.js';
import { countLine } from './counts.js';
import { formatTableName, tableCommand } from './table-name.js';

/** The command that makes such a plan; `conflicts`: with another rule for them. */
export function repairCommand(
  { cluster, order }: Pick<RepairBinding, 'cluster' | 'order'>,
  conflicts: ConflictRule | undefined = order.conflicts,
): string {
  const { database, table, source, key = [], scope = [], fireTriggers, batchRows } = order;
  const policy = source.kind === 'repair' ? undefined : source.policy;
  return tableCommand(
    source.kind === 'repair' ? 'undo' : 'repair',
    { cluster, database, table },
    ...sourceOptions(order),
    ...(policy === undefined ? [] : [`--policy ${shellWord(policy)}`]),
    ...key.map((name) => `--key ${shellWord(name)}`),
    ...scope.flatMap((term) => scopeOptions(term)),
    ...(conflicts === undefined ? [] : conflictOptions(conflicts)),
    ...(fireTriggers === true ? ['--fire-triggers'] : []),
    ...(batchRows === undefined ? [] : [`--batch-rows ${batchRows}`]),
  );
}

function sourceOptions({ source, strategy }: RepairOrder): readonly string[] {
  switch (source.kind) {
    case 'repair':
      return [`--repair ${source.operationId}`];
    case 'transaction':
      return [`--xid ${source.xid}`];
    case 'between':
      return [`--good ${shellWord(formatTarget(source.good))}`, `--bad ${shellWord(formatTarget(source.bad))}`];
    case 'state':
      return [`--to ${shellWord(formatTarget(source.at))}`, `--strategy ${strategy}`];
  }
}

function scopeOptions(term: ScopeTerm): readonly string[] {
  if ('in' in term)
    return term.in.map((value) =>
      value === null ? `--where-null ${shellWord(term.column)}` : `--where-in ${shellWord(`${term.column}=${value}`)}`,
    );
  return [`--where-range ${shellWord(`${term.column}=${term.from ?? ''}..${term.below ?? ''}`)}`];
}

function conflictOptions(rule: ConflictRule): readonly string[] {
  if (rule.rule === 'keys') return rule.keys.map((key) => `--take-key ${shellWord(keyWord(key))}`);
  return [`--conflicts ${rule.rule === 'newest' ? shellWord(`newest:${rule.column}`) : rule.rule}`];
}

/** A key as `--take-key` takes it: its value, or several as JSON. */
function keyWord(key: RowText): string {
  const [only = null] = key;
  return key.length === 1 && only !== null && !/^\s*\[/.test(only) ? only : JSON.stringify(key);
}

/** The command that puts conflicts right too; null where no rule does: rows are corrected by one state, or a repair is taken back. */
export function takeConflictsCommand(binding: Pick<RepairBinding, 'cluster' | 'order'>): string | null {
  const { source, conflicts } = binding.order;
  const decides = source.kind === 'transaction' || source.kind === 'between';
  return decides && conflicts?.rule !== 'take' ? repairCommand(binding, { rule: 'take' }) : null;
}

/** What the repair does, in one line. */
export function repairTitle({ cluster, order }: Pick<RepairBinding, 'cluster' | 'order'>): string {
  const table = `${visible(formatTableName(order.table))} in ${visible(order.database)} of ${cluster}`;
  return `Repair ${table}: ${sourceInWords(order)}`;
}

function sourceInWords({ source, strategy }: RepairOrder): string {
  switch (source.kind) {
    case 'repair':
      return `take back what repair ${visible(source.operationId)} did`;
    case 'transaction':
      return `undo transaction ${source.xid}, and keep what came later`;
    case 'between':
      return `undo what changed from ${formatTarget(source.good)} to ${formatTarget(source.bad)}, and keep what came later`;
    case 'state':
      return `${STRATEGIES[strategy]} as at ${formatTarget(source.at)}`;
  }
}

const STRATEGIES: Readonly<Record<RepairOrder['strategy'], string>> = {
  undo: 'undo changes',
  replace: 'make every row',
  upsert: 'put back missing and changed rows',
  'insert-missing': 'put back missing rows',
  'delete-extra': 'delete rows that were not there',
};

const rowsInWords = (count: number): string => `${count} ${count === 1 ? 'row' : 'rows'}`;

/** What is done with how many rows. */
function countLines(counts: ChangeCounts): readonly (readonly [what: string, rows: string])[] {
  return [
    ['put back', rowsInWords(counts.insert)],
    ['corrected', rowsInWords(counts.update)],
    ['deleted', rowsInWords(counts.delete)],
    ['left as it is', `${rowsInWords(counts.conflicts)} that changed for another reason too`],
  ];
}

const workflowOfRepair = ({ binding: { cluster, operationId } }: RepairPlan): string =>
  repairWorkflowId(cluster, operationId);

/** What takes a repair back. */
export const undoRepairCommand = ({ binding: { cluster, operationId, order } }: RepairPlan): string =>
  tableCommand('undo', { ...order, cluster }, `--repair ${operationId}`);

/** What a repair has changed that did not come to its end. `rows`: null where nobody knows how many. */
export function leftChangesText(plan: RepairPlan, rows: number | null): string {
  const name = formatTableName(plan.binding.order.table);
  const what =
    rows === null
      ? `rows of ${name} may have been changed by repair ${plan.binding.operationId}: the server does not say it now`
      : `${rows} ${rows === 1 ? 'row' : 'rows'} of ${name} ${rows === 1 ? 'was' : 'were'} changed by repair ${plan.binding.operationId}`;
  return `${what}; to take that back: ${undoRepairCommand(plan)}`;
}

export const approveRepairCommand = (plan: RepairPlan): string =>
  approveCommand(workflowOfRepair(plan), plan.digest, plan.observed.approval?.from);

type Fact = readonly [what: string, value: string];

const factsOf = (plan: RepairPlan): readonly Fact[] => [...countLines(plan.binding.changes), ...termsOf(plan)];

/** What a plan is besides its numbers. */
function termsOf(plan: RepairPlan): readonly Fact[] {
  const { binding, observed } = plan;
  const { effects, order } = binding;
  const blocks = binding.freeze !== null || binding.hooks.length > 0;
  const listed = (what: string, values: readonly string[]): readonly (readonly [string, string])[] =>
    values.length === 0 ? [] : [[what, values.map((value) => visible(value)).join(', ')]];
  return [
    ['rows now', String(observed.rowsNow)],
    ...(observed.damagedAt === null ? [] : [['damage of', observed.damagedAt] as const]),
    ...listed(
      'from backups',
      binding.backups.map(({ id }) => id),
    ),
    ['told apart by', binding.key.length === 0 ? 'all columns: it has no key' : visible(binding.key.join(', '))],
    ...(order.scope === undefined ? [] : [['only where', scopeInWords(order)] as const]),
    ['done in', order.batchRows === undefined ? 'one transaction' : `batches of ${order.batchRows} rows`],
    ...listed(`triggers ${order.fireTriggers === true ? 'that fire' : 'that do not fire'}`, effects.triggers),
    ...listed('sequences moved', effects.sequences),
    ...(binding.freeze === null ? [] : [['writes blocked', freezeInWords(binding.freeze)] as const]),
    ...listed('kept frozen by', observed.heldBy ?? []),
    ...listed(
      'hooks run before',
      binding.hooks.map((hook) => `${hook} (taken back by ${undoHookOf(binding, hook) ?? 'nothing'})`),
    ),
    ...(binding.signOff === undefined
      ? []
      : [
          [
            'signed off by',
            `${visible(binding.signOff.by.join(' or '))}, within ${durationInWords(binding.signOff.withinSeconds)}${blocks ? '; until then writes stay blocked' : ''}`,
          ] as const,
        ]),
    ...(binding.watchSeconds === undefined ? [] : [['watched after', durationInWords(binding.watchSeconds)] as const]),
    ...listed(
      'refers to',
      effects.refersTo.map((one) => formatTableName(one)),
    ),
    ...listed(
      'referred to by',
      effects.referencedBy.map(({ table }) => `${formatTableName(table)} (a row that it refers to is not deleted)`),
    ),
    ['every row is in', `${observed.file} on ${binding.targetHost}, until ${observed.fileUntil}`],
    ['requested by', `${visible(clipBytes(binding.requester, 200))} (asserted)`],
    ...(observed.approval === null ? [] : [['may approve', approversInWords(observed.approval)] as const]),
    ['approve until', plan.approveBy],
  ];
}

/** How writes of others are blocked, and whose. */
export const meansInWords = (freeze: FreezeMeans): string =>
  visible(
    freeze.by === 'trigger'
      ? 'by a trigger, for everybody'
      : `for ${freeze.roles.join(', ')}, whose rights are revoked`,
  );

const freezeInWords = (freeze: FreezeMeans): string =>
  `${meansInWords(freeze)}, from the approved beginning until it is checked and signed off`;

function scopeInWords({ scope = [] }: RepairOrder): string {
  return scope
    .map((term) =>
      'in' in term
        ? `${term.column} is one of ${term.in.slice(0, 20).join(', ')}${term.in.length > 20 ? ', ...' : ''}`
        : [
            ...(term.from === undefined ? [] : [`${term.column} from ${term.from ?? 'NULL'}`]),
            ...(term.below === undefined ? [] : [`${term.column} below ${term.below ?? 'NULL'}`]),
          ].join(' and '),
    )
    .map((text) => visible(text))
    .join(', and ');
}

/** The plan for a terminal; `waits: false` for one that only shows what would be done. */
export function repairPlanText(plan: RepairPlan, options: { readonly waits?: boolean } = {}): string {
  return planForTerminal(
    plan,
    {
      ...{ title: repairTitle(plan.binding), facts: factsOf(plan), nothing: 'Nothing is changed' },
      ...{ approve: approveRepairCommand(plan), workflowId: workflowOfRepair(plan) },
    },
    options,
  );
}

/** The same for Temporal's Web UI (Markdown). */
export function repairDetails(plan: RepairPlan): string {
  const terms = termsOf(plan).filter(([what]) => what !== 'may approve' && what !== 'approve until');
  return [title(plan), listOf([...countLines(plan.binding.changes), ...terms])].join('\n\n');
}

/** The same while its approval is waited for. */
export function repairApprovalDetails(plan: RepairPlan): string {
  return [
    title(plan),
    listOf(countLines(plan.binding.changes)),
    ...decideOnPage(plan, workflowOfRepair(plan)),
    plan.observed.warnings.map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`).join('\n'),
    conflictsOnHost(plan),
    listOf(termsOf(plan)),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** How the conflicts are read, by key: rows of people are not in this history. Empty without any. */
function conflictsOnHost({ binding, observed }: RepairPlan): string {
  if (binding.changes.conflicts === 0) return '';
  const command = `grep '"op":"conflict"' ${shellWord(observed.file)}`;
  return `**The conflicts, with their keys and reasons:** on host ${markdownText(binding.targetHost)}, ${markdownCode(command)}`;
}

const title = ({ binding }: RepairPlan): string => `### ${markdownText(repairTitle(binding))}`;

const listOf = (facts: readonly Fact[]): string =>
  facts.map(([what, value]) => `- **${markdownText(what)}:** ${markdownText(clipBytes(value, 500))}`).join('\n');

/** One line for a timer. */
export function repairWaiting(plan: RepairPlan): string {
  return waitingLabel(`wait for approval: plan ${shortDigest(plan)}, ${repairTitle(plan.binding)}`);
}

/** What people are to look at and to send before the table is opened (Markdown). */
export function signOffRepairDetails(
  plan: RepairPlan,
  outcome: RepairOutcome,
  { by, until, workflowId }: { readonly by: readonly string[]; readonly until: string; readonly workflowId: string },
): string {
  const { binding } = plan;
  const blocked =
    binding.freeze === null && binding.hooks.length === 0 ? '' : ' Until then the writes of others stay blocked.';
  return [
    `### Sign off: ${markdownText(repairTitle(binding))}`,
    `**${markdownText(by.join(' or '))} says until ${until.slice(0, 16).replace('T', ' ')} UTC whether the rows are good.**${blocked} Without an answer the table is opened as it is.`,
    outcomeList(plan, outcome),
    `**To sign off on this page:** More Actions → Send an Update → ${markdownCode(updateNames.signOffRepair)}, with this as Data; fill in your name and what you saw:`,
    markdownBlock(signOffJson, 'json'),
    `Where it is not good: ${markdownCode('"verdict": "fail"')}; one line more, ${markdownCode('"keep": "4h"')}, keeps the writes blocked so long. Nothing is undone by itself: ${markdownCode(undoRepairCommand(plan))} takes the repair back. (The signal ${markdownCode(signalNames.signOff)} takes the same JSON, but returns no result.)`,
    `**Or type:** ${markdownCode(`reprise sign-off ${workflowId} --verdict pass --by NAME --remarks "..."`)}`,
  ].join('\n\n');
}

/** A repair that is not good, while a person is waited for (Markdown). */
export function failedRepairDetails(plan: RepairPlan, outcome: RepairOutcome, workflowId: string): string {
  const { binding } = plan;
  return [
    `### Not good: ${markdownText(repairTitle(binding))}`,
    outcomeList(plan, outcome),
    '**To type next:**',
    markdownCommands([
      ['take the repair back', undoRepairCommand(plan)],
      ['open the table as it is', `reprise continue ${workflowId}`],
    ]),
  ].join('\n\n');
}

/** What is seen of a repaired table that takes writes again (Markdown). */
export function watchedDetails({ binding }: RepairPlan, counts: readonly TableCount[]): string {
  const lines = counts.map((count) => `- ${count.at.slice(0, 16)}Z ${markdownText(countLine(count))}`);
  return [
    `### ${markdownText(repairTitle(binding))}`,
    '**The table takes writes again; its rows are watched.**',
    lines.join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** What was done, when it is over (Markdown). */
export function repairedDetails(plan: RepairPlan, outcome: RepairOutcome): string {
  const { signOff, counts = [], rowsFile } = outcome;
  const { targetHost } = plan.binding;
  return [
    title(plan),
    listOf([
      ...outcomeFacts(plan, outcome),
      ...(signOff === undefined ? [] : [['signed off', signOffLine(signOff)] as const]),
      ...counts.filter(({ suspicion }) => suspicion !== null).map((count) => ['⚠ rows', countLine(count)] as const),
      ...(rowsFile === undefined
        ? []
        : [['every row is in', `${rowsFile.path} on ${targetHost}, until ${rowsFile.until}`] as const]),
    ]),
    '**To type next:**',
    markdownCommands([
      ['the report', `reprise incident report ${workflowOfRepair(plan)}`],
      ['take the repair back', undoRepairCommand(plan)],
    ]),
  ].join('\n\n');
}

const outcomeList = (plan: RepairPlan, outcome: RepairOutcome): string => listOf(outcomeFacts(plan, outcome));

function outcomeFacts(plan: RepairPlan, outcome: RepairOutcome): readonly Fact[] {
  const { rowsBefore, rowsAfter, checks } = outcome;
  return [
    ...countLines(changedBy(plan, outcome)),
    ['rows', `${rowsBefore} before, ${rowsAfter} after`],
    ...checks.map(checkLine),
  ];
}

/** What was done; rows that stay as they are were conflicts of the plan, or were left out. */
const changedBy = ({ binding }: RepairPlan, { done }: RepairOutcome): ChangeCounts => ({
  ...done,
  conflicts: binding.changes.conflicts + done.conflicts,
});

const checkLine = ({ name, status, detail }: RepairCheck): readonly [string, string] => [
  name,
  detail === undefined ? status : `${status}: ${detail}`,
];

/** The same for a terminal. */
export function repairOutcomeText(plan: RepairPlan, outcome: RepairOutcome): string {
  const { table, rowsBefore, rowsAfter, report, rowsFile, checks, signOff, counts = [] } = outcome;
  const abnormal = counts.filter(({ suspicion }) => suspicion !== null);
  const facts: readonly (readonly [string, string])[] = [
    ...countLines(changedBy(plan, outcome)),
    ...checks.filter(({ status }) => status === 'failed').map(checkLine),
    ...(signOff === undefined ? [] : [['signed off', signOffLine(signOff)] as const]),
  ];
  return [
    `${visible(formatTableName(table))} is repaired: ${rowsBefore} rows before, ${rowsAfter} after`,
    ...facts.map(([what, value]) => `  ${what.padEnd(16)} ${visible(value)}`),
    ...abnormal.map((count) => `  warning: ${visible(countLine(count))}`),
    `report: ${report}`,
    ...(rowsFile === undefined ? [] : [`rows: ${rowsFile.path}, until ${rowsFile.until}`]),
  ].join('\n');
}

/** A person's word in one line. */
function signOffLine(signOff: SignOff | null): string {
  if (signOff === null) return 'by nobody';
  const { verdict, by, at, remarks } = signOff;
  return `${verdict === 'pass' ? 'as good' : 'as failed'} by ${by}, ${at}${remarks === null ? '' : `: ${remarks}`}`;
}
