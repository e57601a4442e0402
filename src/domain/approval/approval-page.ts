import { signalNames, updateNames } from '../operation/names.js';
import type { ApprovablePlan } from '../plan/plan.js';
import { markdownBlock, markdownCode } from '../text/markdown.js';
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
