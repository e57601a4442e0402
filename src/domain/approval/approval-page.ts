import { signalNames, updateNames } from '../operation/names.js';
import type { ApprovablePlan } from '../plan/plan.js';
import { markdownBlock, markdownCode } from '../text/markdown.js';
import { clipBytes, visible } from '../text/text.js';
import { approvalJson } from './approval-policy.js';

/** What declines a plan. */
export const rejectCommand = (workflowId: string): string => `reprise reject ${workflowId} --reason "..."`;

/** What a person pastes who decides about something other than a plan. */
export const personJson = JSON.stringify({ by: '<your name>', reason: '<why>' }, null, 2);

/** How a plan is approved, and how it is declined, on the page of its workflow (Markdown). Nothing else shows it than the wait for it. */
export function decideOnPage(plan: Pick<ApprovablePlan, 'digest'>, workflowId: string): readonly string[] {
  return [
    `**Nothing is changed before the approval. To approve on this page:** More Actions → Send an Update → ${markdownCode(updateNames.approve)}, with this as Data; fill in your name and your reason:`,
    markdownBlock(approvalJson(plan), 'json'),
    `The result is shown in the same dialog. (The signal ${markdownCode(signalNames.confirmRestore)} takes the same JSON, but returns no result.)`,
    `**To decline:** Send an Update → ${markdownCode(updateNames.reject)}, or ${markdownCode(rejectCommand(workflowId))}`,
  ];
}

/** A plan for a terminal, ending in what to type; `waits: false`: one that only shows what would be done. */
export function planForTerminal(
  {
    digest,
    observed,
  }: Pick<ApprovablePlan, 'digest'> & { readonly observed: { readonly warnings: readonly string[] } },
  told: {
    readonly title: string;
    readonly facts?: readonly (readonly [what: string, value: string])[];
    /** Lines that follow the facts, laid out already. */
    readonly lines?: readonly string[];
    /** What does not happen before the approval: `Nothing is changed`. */
    readonly nothing: string;
    /** The command that approves it; null where nobody is asked. */
    readonly approve: string | null;
    readonly workflowId: string;
  },
  { waits = true } = {},
): string {
  const { facts = [], lines = [], nothing, approve, workflowId } = told;
  const shown = facts.filter(([what]) => waits || what !== 'approve until');
  const decide =
    approve === null
      ? []
      : [
          `${nothing} before the approval. To approve:`,
          `  ${approve}`,
          'To decline:',
          `  ${rejectCommand(workflowId)}`,
        ];
  return [
    visible(told.title),
    ...shown.map(([what, value]) => `  ${what.padEnd(16)} ${visible(clipBytes(value, 500))}`),
    ...lines,
    ...observed.warnings.map((warning) => `  warning: ${visible(warning)}`),
    '',
    ...(waits ? [`plan ${digest}`, ...decide] : ['Nothing was changed: this is what would be done.']),
  ].join('\n');
}
