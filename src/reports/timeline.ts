import type { JournalLine, RecordedApproval, RecordedIncident, Refusal } from '../domain/backup/catalogue.js';
import { senderInWords } from '../domain/approval/approval-policy.js';
import type { Sender } from '../domain/plan/plan.js';
import { markdownTable, markdownText } from '../domain/text/markdown.js';

export interface TimelineInput {
  readonly journal: readonly JournalLine[];
  readonly approvals: readonly RecordedApproval[];
  readonly refusals: readonly Refusal[];
  readonly incident: RecordedIncident | null;
}

export interface TimelineEntry {
  readonly at: string;
  readonly who: string;
  readonly step: string;
  readonly text: string;
}

const whoWith = (by: string, sender: Sender | undefined): string => (sender ? `${by} (${senderInWords(sender)})` : by);

/** Everything that was recorded, in the order of time; what has one time stays in the order it was given. */
export function timelineRows({ journal, approvals, refusals, incident }: TimelineInput): readonly TimelineEntry[] {
  const entries: TimelineEntry[] = [
    ...(incident?.history ?? []).map(({ at, by, state, text, toldBy, sender }) => ({
      at,
      who: whoWith(whoSaid(by, toldBy), sender),
      step: `incident ${state}`,
      text,
    })),
    ...journal.map(({ at, by, step, text, toldBy }) => ({ at, who: whoSaid(by, toldBy), step, text })),
    ...approvals.map(({ at, approval, sender }) => ({
      at,
      who: whoWith(approval.by, sender),
      step: 'approval',
      text: `approved: ${approval.reason}`,
    })),
    ...refusals.map(({ at, by, reason, sender }) => ({
      at,
      who: whoWith(by, sender),
      step: 'approval',
      text: `refused: ${reason}`,
    })),
  ];
  return entries.sort((left, right) => Date.parse(left.at) - Date.parse(right.at));
}

/** The same as a table (Markdown). */
export function timelineOf(input: TimelineInput): string {
  const entries = timelineRows(input);
  if (entries.length === 0) return 'Nothing was recorded.';
  const rows = entries.map(({ at, who, step, text }) => [
    at,
    markdownText(step),
    markdownText(text),
    markdownText(who),
  ]);
  return markdownTable(['when', 'step', 'what', 'who'], rows);
}

/** What a client said is told apart from what the host saw. */
export function whoSaid(by: string, toldBy: string | undefined): string {
  if (toldBy === undefined) return by;
  return by === toldBy ? `as told by ${toldBy}` : `${by}, as told by ${toldBy}`;
}
