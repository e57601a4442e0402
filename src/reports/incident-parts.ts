import type { JournalLine, RecordedApproval, RecordedIncident, Refusal } from '../domain/backup/catalogue.js';
import type { RepairOutcome, RepairPlan } from '../domain/table/repair.js';
import { durationInWords } from '../domain/text/text.js';
import type { Block, Inline } from './document/document.js';
import { timelineRows } from './timeline.js';

/** A repair that people chose, as its host knows it; `outcome`: null where it changed nothing. */
export interface ChosenRepairFacts {
  readonly operationId: string;
  readonly plan: RepairPlan | null;
  readonly outcome: RepairOutcome | null;
}

/** What the host has recorded of an incident and of what people chose in it. */
export interface RecordedIncidentFacts {
  readonly incident: RecordedIncident | null;
  /** Of the incident, its repairs and its block of writes. */
  readonly journal: readonly JournalLine[];
  readonly approvals: readonly RecordedApproval[];
  readonly refusals: readonly Refusal[];
  readonly repairs: readonly ChosenRepairFacts[];
}

export type Row = readonly (readonly Inline[])[];

/** The last one that people entered, as they entered it. */
export function causeOf({ journal }: RecordedIncidentFacts): string | null {
  return journal.findLast(({ step }) => step === 'cause')?.text ?? null;
}

/** How long after the damage was found. */
export function sinceInWords(from: string, to: string): string {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  if (!Number.isFinite(seconds) || seconds === 0) return '–';
  return seconds < 0 ? `${durationInWords(-seconds)} before` : durationInWords(seconds);
}

/** Who approved, and what was refused. */
export function decisions({ approvals, refusals }: RecordedIncidentFacts): readonly Block[] {
  const lines: readonly (readonly [at: string, row: Row])[] = [
    ...approvals.map(({ at, digest, approval, assurance }) => {
      const how = assurance === 'signed' ? 'approved, signed' : 'approved, asserted and not signed';
      return [at, [[at], [approval.by], [how], [{ code: digest.slice(0, 12) }], [approval.reason]]] as const;
    }),
    ...refusals.map(({ at, by, digest, reason, code }) => {
      return [at, [[at], [by], [`refused (${code})`], [{ code: digest.slice(0, 12) }], [reason]]] as const;
    }),
  ];
  if (lines.length === 0) return [{ kind: 'text', text: ['No approval is recorded.'] }];
  const sorted = lines.toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, row]) => row);
  return [table(['when', 'who', 'what', 'plan', 'reason'], sorted)];
}

/** Everything that was recorded, in order. */
export function timeline(input: RecordedIncidentFacts): readonly Block[] {
  const lines = timelineRows(input);
  if (lines.length === 0) return [{ kind: 'text', text: ['Nothing was recorded.'] }];
  return [
    table(
      ['when', 'step', 'what', 'who'],
      lines.map(({ at, step, text, who }) => [[at], [step], [text], [who]]),
    ),
  ];
}

export const table = (head: readonly string[], body: readonly Row[]): Block => ({ kind: 'table', head, rows: body });
