import {
  approvalJson,
  approveCommand,
  approversInWords,
  shortDigest,
  waitingLabel,
} from '../approval/approval-policy.js';
import { repairWorkflowId } from '../operation/names.js';
import type { RepairOrder } from '../operation/orders.js';
import { undoHookOf } from '../plan/hooks.js';
import { formatTarget } from '../target/target.js';
import { markdownBlock, markdownCode, markdownTable, markdownText } from '../text/markdown.js';
import { clipBytes, visible } from '../text/text.js';
import type { ChangeCounts, FreezeMeans, RepairBinding, RepairIncident, RepairOutcome, RepairPlan } from './repair.js';
import { formatTableName, tableWords } from './table-name.js';

/** The command that makes such a plan. */
export function repairCommand({ cluster, order }: Pick<RepairBinding, 'cluster' | 'order'>): string {
  const { database, table, source } = order;
  const what = tableWords(cluster, database, table);
  switch (source.kind) {
    case 'repair':
      return `reprise table undo ${what} --repair ${source.operationId}`;
    case 'transaction':
      return `reprise table repair ${what} --xid ${source.xid}`;
    case 'between':
      return `reprise table repair ${what} --good ${formatTarget(source.good)} --bad ${formatTarget(source.bad)}`;
    case 'state':
      return `reprise table repair ${what} --to ${formatTarget(source.at)} --strategy ${order.strategy}`;
  }
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

export const approveRepairCommand = (plan: RepairPlan): string =>
  approveCommand(workflowOfRepair(plan), plan.digest, plan.observed.approval?.from);

function factsOf(plan: RepairPlan): readonly (readonly [string, string])[] {
  const { binding, observed } = plan;
  const { effects, order } = binding;
  const listed = (what: string, values: readonly string[]): readonly (readonly [string, string])[] =>
    values.length === 0 ? [] : [[what, values.map((value) => visible(value)).join(', ')]];
  return [
    ...countLines(binding.changes),
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
  `${meansInWords(freeze)}, from the approved beginning to the end`;

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
export function repairPlanText(plan: RepairPlan, { waits = true } = {}): string {
  const facts = factsOf(plan).filter(([what]) => waits || what !== 'approve until');
  return [
    repairTitle(plan.binding),
    ...facts.map(([what, value]) => `  ${what.padEnd(16)} ${clipBytes(value, 500)}`),
    ...plan.observed.warnings.map((warning) => `  warning: ${visible(warning)}`),
    '',
    ...(waits
      ? [
          `plan ${plan.digest}`,
          'Nothing is changed before the approval. To approve:',
          `  ${approveRepairCommand(plan)}`,
          'To decline:',
          `  reprise reject ${workflowOfRepair(plan)} --reason "..."`,
        ]
      : ['Nothing was changed: this is what would be done.']),
  ].join('\n');
}

/** The same for Temporal's Web UI (Markdown). */
export function repairDetails(plan: RepairPlan): string {
  return [
    `### ${markdownText(repairTitle(plan.binding))}`,
    `**To approve on this page:** More Actions → Send an Update → ${markdownCode('approve')}, with this as Data:`,
    markdownBlock(approvalJson(plan), 'json'),
    plan.observed.warnings.map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`).join('\n'),
    factsOf(plan)
      .map(([what, value]) => `- **${what}:** ${markdownText(clipBytes(value, 500))}`)
      .join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** One line for a timer. */
export function repairWaiting(plan: RepairPlan): string {
  return waitingLabel(`wait for approval: plan ${shortDigest(plan)}, ${repairTitle(plan.binding)}`);
}

/** What was done, for a terminal. */
export function repairOutcomeText({ table, done, rowsBefore, rowsAfter, report }: RepairOutcome): string {
  return [
    `${visible(formatTableName(table))} is repaired: ${rowsBefore} rows before, ${rowsAfter} after`,
    ...countLines(done).map(([what, rows]) => `  ${what.padEnd(16)} ${rows}`),
    `report: ${report}`,
  ].join('\n');
}

/** The report that is kept with the cluster's records (Markdown). */
export function repairReport(
  plan: RepairPlan,
  outcome: Omit<RepairOutcome, 'report'>,
  approvals: readonly { readonly by: string; readonly reason: string; readonly at: string }[],
  incident?: RepairIncident,
): string {
  const { binding, observed } = plan;
  return [
    `# ${markdownText(repairTitle(binding))}`,
    `Plan ${markdownCode(plan.digest)} of ${plan.createdAt}, requested by ${markdownText(binding.requester)} (asserted), carried out from ${outcome.startedAt} to ${outcome.finishedAt}.`,
    ...(incident === undefined
      ? []
      : [
          `Part of ${markdownCode(incident.workflowId)}; the damage was found at ${markdownText(incident.discoveredAt)}. Cause: ${markdownText(incident.cause ?? 'not entered yet')}.`,
        ]),
    approvals
      .map(({ by, reason, at }) => `- approved by ${markdownText(by)} (asserted) at ${at}: ${markdownText(reason)}`)
      .join('\n'),
    markdownTable(
      ['What', 'Rows'],
      [
        ...countLines(outcome.done),
        ['rows before', String(outcome.rowsBefore)],
        ['rows after', String(outcome.rowsAfter)],
      ],
    ),
    ...(observed.damagedAt === null ? [] : [`The damage was committed at ${observed.damagedAt}.`]),
    `Every row, as it was and as it is, stands in ${markdownCode(observed.file)} on host ${binding.targetHost} until ${observed.fileUntil}; only its owner reads it.`,
    `To take it back: ${markdownCode(`reprise table undo ${tableWords(binding.cluster, binding.order.database, binding.order.table)} --repair ${binding.operationId}`)}`,
    '',
  ].join('\n\n');
}
