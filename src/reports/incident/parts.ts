import type { JournalLine, RecordedApproval, RecordedIncident, Refusal } from '../../domain/backup/catalogue.js';
import type { RepairOutcome, RepairPlan } from '../../domain/table/repair.js';
import { durationInWords } from '../../domain/text/text.js';
import type { Block, Inline } from '../document/document.js';
import { timelineRows } from '../timeline.js';
import type { IncidentSentences } from './sentences/sentences.js';

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
  /** When writes to the table were blocked, and when they were open again: null: they are not. UTC ISO-8601. */
  readonly blocks: readonly { readonly since: string; readonly openedAt: string | null }[];
}

export type Row = readonly (readonly Inline[])[];

/** The last one that people entered, as they entered it. */
export function causeOf({ journal }: RecordedIncidentFacts): string | null {
  return journal.findLast(({ step }) => step === 'cause')?.text ?? null;
}

/** What happened when, and how long after the damage was found; what is not known is left out. */
export function timesTable(
  discoveredAt: string,
  known: readonly (readonly [what: string, at: string | null | undefined])[],
  say: IncidentSentences,
): Block {
  const { what, at: when, after } = say.words;
  return table(
    [what, when, after],
    known.flatMap(([name, at]) => (at == null ? [] : [[[name], [at], [sinceInWords(discoveredAt, at, say)]]])),
  );
}

function sinceInWords(from: string, to: string, say: IncidentSentences): string {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  if (!Number.isFinite(seconds) || seconds === 0) return '–';
  return seconds < 0 ? say.earlier(durationInWords(-seconds)) : durationInWords(seconds);
}

/** Who approved, and what was refused. */
export function decisions({ approvals, refusals }: RecordedIncidentFacts, say: IncidentSentences): readonly Block[] {
  const { signed, asserted, refused, none } = say.approvals;
  const lines: readonly (readonly [at: string, row: Row])[] = [
    ...approvals.map(({ at, digest, approval, assurance }) => {
      const how = assurance === 'signed' ? signed : asserted;
      return [at, [[at], [approval.by], [how], [{ code: digest.slice(0, 12) }], [approval.reason]]] as const;
    }),
    ...refusals.map(({ at, by, digest, reason, code }) => {
      return [at, [[at], [by], [refused(code)], [{ code: digest.slice(0, 12) }], [reason]]] as const;
    }),
  ];
  if (lines.length === 0) return [{ kind: 'text', text: [none] }];
  const sorted = lines.toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, row]) => row);
  const { at, who, what, plan, reason } = say.words;
  return [table([at, who, what, plan, reason], sorted)];
}

/** Everything that was recorded, in order. */
export function timeline(input: RecordedIncidentFacts, say: IncidentSentences): readonly Block[] {
  const lines = timelineRows(input);
  if (lines.length === 0) return [{ kind: 'text', text: [say.noTimeline] }];
  const { at: when, ofStep, what, who: whoWord } = say.words;
  return [
    table(
      [when, ofStep, what, whoWord],
      lines.map(({ at, step, text, who }) => [[at], [step], [text], [who]]),
    ),
  ];
}

/** What is left to do, numbered. */
export function followUpTable(lines: readonly (readonly Inline[])[], say: IncidentSentences): Block {
  return table(
    ['#', say.words.what],
    lines.map((line, index) => [[String(index + 1)], line]),
  );
}

export const table = (head: readonly string[], body: readonly Row[]): Block => ({ kind: 'table', head, rows: body });
