import type { DrillCheck, DrillOutcome, SignOff } from './drill.js';

/** How the steps of a drill ended: `failed` by a restore or another step; `reason` beside `done`: what it could not come to. */
export interface DrillEnding {
  readonly ended: 'done' | 'failed' | 'cancelled';
  readonly reason?: string | undefined;
}

/**
 * What a drill came to. A check that failed, a restore that failed and a person who says so are a `fail`; a drill that ended before it
 * could say is `incomplete`, which is no pass either.
 */
export function drillVerdict(
  { ended, reason }: DrillEnding,
  checks: readonly DrillCheck[],
  signOff: SignOff | null,
): Pick<DrillOutcome, 'verdict' | 'reason'> {
  const failed = checks.filter(({ status }) => status === 'failed');
  const [first] = failed;
  if (first) {
    const more = failed.length === 1 ? '' : `, and ${failed.length - 1} more`;
    return { verdict: 'fail', reason: `check ${first.name} of ${first.policy} failed: ${first.detail}${more}` };
  }
  if (ended === 'failed') return { verdict: 'fail', reason: reason ?? 'a step failed' };
  if (signOff?.verdict === 'fail')
    return {
      verdict: 'fail',
      reason: `${signOff.by} signed it off as failed${signOff.remarks === null ? '' : `: ${signOff.remarks}`}`,
    };
  if (ended === 'cancelled') return { verdict: 'incomplete', reason: reason ?? 'it was cancelled' };
  return reason === undefined ? { verdict: 'pass', reason: null } : { verdict: 'incomplete', reason };
}
