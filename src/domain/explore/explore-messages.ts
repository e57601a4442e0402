import { parseDecision } from '../approval/parse-decisions.js';
import { readTarget, type RecoveryTarget } from '../target/target.js';
import { durationPattern, durationRule, parseDuration } from '../text/units.js';

/** What people send to a temporary instance; `by` is asserted. */
interface Sent {
  readonly by: string;
}
type Problem = { readonly problem: string };

/** It stays for so long from now on. */
export function parseExtension(raw: unknown): (Sent & { readonly ttlSeconds: number }) | Problem {
  const parsed = parseDecision(raw, ['by', 'ttl']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { by, ttl } = parsed;
  return durationPattern.test(ttl) ? { by, ttlSeconds: parseDuration(ttl) } : { problem: `"ttl": ${durationRule}` };
}

/** It goes on to a later target: as an object, or as the text that `--to` takes. */
export function parseMove(raw: unknown): (Sent & { readonly target: RecoveryTarget }) | Problem {
  const parsed = parseDecision(raw, ['by']);
  if ('problem' in parsed) return { problem: parsed.problem };
  const { to } = parsed as { to?: unknown };
  try {
    return { by: parsed.by, target: readTarget(to) };
  } catch (error) {
    return { problem: `"to" is no recovery target: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Somebody drops it, or connects. */
export function parseSender(raw: unknown): Sent | Problem {
  const parsed = parseDecision(raw, ['by']);
  return 'problem' in parsed ? { problem: parsed.problem } : { by: parsed.by };
}
