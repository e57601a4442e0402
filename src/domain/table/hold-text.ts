import { decideOnPage, personJson, planForTerminal } from '../approval/approval-page.js';
import { approveCommand, approversInWords, shortDigest, waitingLabel } from '../approval/approval-policy.js';
import { holdWorkflowId, updateNames } from '../operation/names.js';
import { undoHookOf } from '../plan/hooks.js';
import { markdownBlock, markdownCode, markdownText } from '../text/markdown.js';
import { clipBytes, durationInWords, visible } from '../text/text.js';
import type { HeldTable, HoldBinding, HoldOutcome, HoldPlan } from './hold.js';
import { meansInWords } from './repair-text.js';
import { formatTableName, tableCommand } from './table-name.js';

/** The command that makes such a plan. */
export function holdCommand({ cluster, order }: Pick<HoldBinding, 'cluster' | 'order'>): string {
  return tableCommand('freeze', { ...order, cluster });
}

/** What it does, in one line. */
export function holdTitle({ cluster, order }: Pick<HoldBinding, 'cluster' | 'order'>): string {
  return `Freeze ${visible(formatTableName(order.table))} in ${visible(order.database)} of ${cluster}`;
}

const workflowOf = ({ binding: { cluster, operationId } }: HoldPlan): string => holdWorkflowId(cluster, operationId);

/** What releases it. */
export const releaseCommand = (workflowId: string): string => `reprise table release ${workflowId} --reason "..."`;

export const approveHoldCommand = (plan: HoldPlan): string =>
  approveCommand(workflowOf(plan), plan.digest, plan.observed.approval?.from);

function factsOf({ binding, observed, approveBy }: HoldPlan): readonly (readonly [string, string])[] {
  const { freeze, hooks, order, requester } = binding;
  return [
    [
      'hooks run before',
      hooks.length === 0
        ? 'none'
        : hooks.map((hook) => `${hook} (taken back by ${undoHookOf(binding, hook) ?? 'nothing'})`).join(', '),
    ],
    ['writes blocked', freeze === null ? 'no: only the hooks run' : meansInWords(freeze)],
    [
      'until',
      order.forSeconds === undefined
        ? 'somebody releases it'
        : `somebody releases it, ${durationInWords(order.forSeconds)} at most`,
    ],
    ...(observed.incident === undefined ? [] : [['incident', visible(clipBytes(observed.incident, 200))] as const]),
    ...(order.reason === undefined ? [] : [['reason', visible(clipBytes(order.reason, 500))] as const]),
    ['requested by', `${visible(clipBytes(requester, 200))} (asserted)`],
    ...(observed.approval === null ? [] : [['may approve', approversInWords(observed.approval)] as const]),
    ['approve until', approveBy],
  ];
}

/** The plan for a terminal; `waits: false` for one that only shows what would be done. */
export function holdPlanText(plan: HoldPlan, options: { readonly waits?: boolean } = {}): string {
  return planForTerminal(
    plan,
    {
      ...{ title: holdTitle(plan.binding), facts: factsOf(plan), nothing: 'Nothing is blocked' },
      ...{ approve: approveHoldCommand(plan), workflowId: workflowOf(plan) },
    },
    options,
  );
}

/** The same for Temporal's Web UI (Markdown). */
export function holdDetails(plan: HoldPlan): string {
  return [title(plan), factsInMarkdown(plan, OF_THE_APPROVAL)].join('\n\n');
}

/** The same while its approval is waited for. */
export function holdApprovalDetails(plan: HoldPlan): string {
  return [
    title(plan),
    ...decideOnPage(plan, workflowOf(plan)),
    plan.observed.warnings.map((warning) => `- ⚠ ${markdownText(clipBytes(warning, 400))}`).join('\n'),
    factsInMarkdown(plan),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

const title = ({ binding }: HoldPlan): string => `### ${markdownText(holdTitle(binding))}`;

/** What nobody asks any more once it is approved. */
const OF_THE_APPROVAL: readonly string[] = ['may approve', 'approve until'];

const factsInMarkdown = (plan: HoldPlan, without: readonly string[] = []): string =>
  factsOf(plan)
    .filter(([what]) => !without.includes(what))
    .map(([what, value]) => `- **${what}:** ${markdownText(clipBytes(value, 500))}`)
    .join('\n');

/** While it is frozen (Markdown). */
export function heldDetails(plan: HoldPlan, { since, until }: HeldTable): string {
  return [
    title(plan),
    `**Frozen since ${since ?? ''}**, until somebody releases it${until === null ? '' : ` or ${until}, whatever comes first`}.`,
    `**To release it on this page:** More Actions → Send an Update → ${markdownCode(updateNames.releaseTable)}, with this as Data; fill in your name and why:`,
    markdownBlock(personJson, 'json'),
    factsInMarkdown(plan, ['until', ...OF_THE_APPROVAL]),
  ].join('\n\n');
}

/** One line for a timer. */
export function holdWaiting(plan: HoldPlan): string {
  return waitingLabel(`wait for approval: plan ${shortDigest(plan)}, ${holdTitle(plan.binding)}`);
}

/** Since when and until when a table is frozen, in one line. */
export function heldInWords({ database, table, since, until }: HeldTable): string {
  const name = `${visible(formatTableName(table))} in ${visible(database)}`;
  if (since === null) return `${name}: not frozen yet`;
  return `${name}: frozen since ${since.slice(0, 16)}Z, until ${until === null ? 'somebody releases it' : `${until.slice(0, 16)}Z`}`;
}

/** What was done, in a sentence. */
export function holdOutcomeText({ table, frozenAt, releasedAt, releasedBy, reason }: HoldOutcome): string {
  const why =
    releasedBy === null
      ? 'its time was over'
      : `released by ${visible(clipBytes(releasedBy, 200))}: ${visible(clipBytes(reason ?? '', 500))}`;
  return `${visible(formatTableName(table))} was frozen from ${frozenAt} to ${releasedAt}; ${why}`;
}
