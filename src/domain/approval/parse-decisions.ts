import type { SignOff } from '../drill/drill.js';
import type { Approval, Decision, Rejection } from '../plan/plan.js';
import { readTarget } from '../target/target.js';
import { durationPattern, durationRule, parseDuration } from '../text/units.js';

const LONGEST = 2000;

/** Reads what a person pasted: an object, or its JSON as text. Returns what is wrong with it in words where it is. */
export function parseDecision<K extends string>(
  raw: unknown,
  required: readonly K[],
): Record<K, string> | { problem: string } {
  let value = raw;
  if (typeof raw === 'string') {
    try {
      value = JSON.parse(raw);
    } catch {
      return { problem: `not JSON: ${raw.slice(0, 60)}` };
    }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { problem: 'one JSON object is expected' };
  const record = value as Record<string, unknown>;
  for (const key of required) {
    const entry = record[key];
    if (typeof entry !== 'string' || entry.trim() === '') return { problem: `"${key}" is missing or empty` };
    if (entry.length > LONGEST) return { problem: `"${key}" is longer than ${LONGEST} characters` };
  }
  return value as Record<K, string>;
}

/** Shape of an approval; whether the policy accepts it is checked on the host that holds the plan. */
export function parseApproval(raw: unknown): Approval | { problem: string } {
  const parsed = parseDecision(raw, ['plan', 'by', 'reason']);
  if ('problem' in parsed) return { problem: parsed.problem };
  if (!/^[0-9a-f]{12,64}$/.test(parsed.plan))
    return { problem: '"plan" is the first 12 (or all 64) hex digits of the plan\'s digest' };
  const { signature } = parsed as { signature?: unknown };
  return {
    plan: parsed.plan,
    by: parsed.by,
    reason: parsed.reason,
    ...(typeof signature === 'string' ? { signature } : {}),
  };
}

export function parseRejection(raw: unknown): Rejection | { problem: string } {
  const parsed = parseDecision(raw, ['by', 'reason']);
  return 'problem' in parsed ? { problem: parsed.problem } : { by: parsed.by, reason: parsed.reason };
}

/** Who sent it, and why, as far as that can be read: a malformed rejection still counts. */
export function readRejection(raw: unknown): Rejection {
  const parsed = parseRejection(raw);
  return 'problem' in parsed ? { by: 'unnamed', reason: 'none given' } : parsed;
}

/** A message that asks for something and decides nothing, as the journal has it. */
export function askedText(name: string, raw: unknown): string {
  const { by, reason } = readRejection(raw);
  return `${by} sent ${name}: ${reason}`;
}

export function parsePromote(raw: unknown): Decision | { problem: string } {
  const parsed = parseRejection(raw);
  return 'problem' in parsed ? parsed : { kind: 'promote', ...parsed };
}

/** What `retarget` carries: a person, a reason, and the further target. The target as an object, or as the text that `--to` takes: both are read by the same rules. */
export function parseRetarget(raw: unknown): Decision | { problem: string } {
  const parsed = parseDecision(raw, ['by', 'reason']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { target } = parsed as { target?: unknown };
  try {
    return { kind: 'retarget', by: parsed.by, reason: parsed.reason, target: readTarget(target) };
  } catch (error) {
    return { problem: `"target" is no recovery target: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** A person has the watch of a cluster pause; `until` (UTC ISO-8601): when it looks again by itself, null: when somebody resumes it. */
export type WatchPause = Rejection & { readonly until: string | null };

export function parseWatchPause(raw: unknown): WatchPause | { problem: string } {
  const parsed = parseDecision(raw, ['by', 'reason']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { until = null } = parsed as { until?: unknown };
  const { by, reason } = parsed;
  if (until === null) return { by, reason, until };
  const at = typeof until === 'string' && /(?:Z|[+-]\d\d:?\d\d)$/.test(until) ? Date.parse(until) : NaN;
  return Number.isNaN(at)
    ? { problem: '"until" is no time with an offset, such as 2026-01-01T00:00:00Z' }
    : { by, reason, until: new Date(at).toISOString() };
}

/** A person's word on a drill; `keepSeconds`: how long staging stays as it is afterwards. */
export type SignOffMessage = Pick<SignOff, 'verdict' | 'by' | 'remarks'> & { readonly keepSeconds: number };

/** What stands for the remarks in the JSON that people are shown to paste. */
export const UNFILLED_REMARKS = '<what you saw>';

export function parseSignOff(raw: unknown): SignOffMessage | { problem: string } {
  const parsed = parseDecision(raw, ['verdict', 'by']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { verdict, by } = parsed;
  if (verdict !== 'pass' && verdict !== 'fail') return { problem: '"verdict" is neither pass nor fail' };
  const { remarks = null, keep } = parsed as { remarks?: unknown; keep?: unknown };
  const problem = remarksProblem(remarks);
  if (problem !== null) return { problem };
  if (keep !== undefined && (typeof keep !== 'string' || !durationPattern.test(keep)))
    return { problem: `"keep": ${durationRule}` };
  const said = typeof remarks !== 'string' || remarks.trim() === '' ? null : remarks;
  return { verdict, by, remarks: said, keepSeconds: keep === undefined ? 0 : parseDuration(keep) };
}

function remarksProblem(remarks: unknown): string | null {
  if (remarks === null) return null;
  if (typeof remarks !== 'string') return '"remarks" is no text';
  if (remarks.length > LONGEST) return `"remarks" is longer than ${LONGEST} characters`;
  // It would stand in the evidence for ever.
  return remarks === UNFILLED_REMARKS ? '"remarks" is not filled in: say what you saw, or leave it out' : null;
}

/** A line that somebody adds to the journal. */
/** A line for the journal of an incident; `isCause`: it is the probable cause. */
export interface IncidentNote {
  readonly by: string;
  readonly text: string;
  readonly isCause: boolean;
}

export function parseNote(raw: unknown): IncidentNote | { problem: string } {
  const parsed = parseDecision(raw, ['by', 'text']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { cause } = parsed as { cause?: unknown };
  return { by: parsed.by, text: parsed.text, isCause: cause === true };
}

/** Which repair a person chose; the host reads the order by its schema. */
export interface RepairChoice {
  readonly by: string;
  readonly order: object;
}

export function parseRepairChoice(raw: unknown): RepairChoice | { problem: string } {
  const parsed = parseDecision(raw, ['by']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { order } = parsed as { order?: unknown };
  return typeof order === 'object' && order !== null && !Array.isArray(order)
    ? { by: parsed.by, order }
    : { problem: '"order" is no object: the order of a repair, as `reprise table repair` makes it' };
}
