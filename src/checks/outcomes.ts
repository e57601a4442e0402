import type { CheckContext, CheckOutcome, RestoredService } from './check.js';

/** So many findings are named in a sentence; the evidence has all. */
const NAMED = 5;

export function passed(detail: string): CheckOutcome {
  return { status: 'passed', detail };
}

export function failed(detail: string, hint?: string): CheckOutcome {
  return { status: 'failed', detail, ...(hint === undefined ? {} : { hint }) };
}

export function skipped(detail: string, hint?: string): CheckOutcome {
  return { status: 'skipped', detail, ...(hint === undefined ? {} : { hint }) };
}

/** Runs a check of what was restored; where nothing was, there is nothing to look at. */
export async function ofRestored(
  { restored }: CheckContext,
  check: (restored: RestoredService) => Promise<CheckOutcome>,
): Promise<CheckOutcome> {
  return restored === undefined ? skipped('nothing was restored that it could look at') : check(restored);
}

/** The first few of a list in words, and how many more there are. */
export function namedOf(all: readonly string[]): string {
  const more = all.length > NAMED ? `; and ${all.length - NAMED} more` : '';
  return `${all.slice(0, NAMED).join('; ')}${more}`;
}

/** Keeps the whole list in the evidence of a drill, where it is longer than a sentence. */
export async function withEvidence(
  { drill }: CheckContext,
  outcome: CheckOutcome,
  name: string,
  lines: readonly string[],
): Promise<CheckOutcome> {
  if (drill === undefined || lines.length === 0) return outcome;
  return { ...outcome, evidence: await drill.keep(name, `${lines.join('\n')}\n`) };
}
