import { personKey } from './approval-policy.js';
import type { ErrorCode } from '../errors.js';
import { clipBytes } from '../text/text.js';
import type { SignOff } from '../drill/drill.js';

/** What is known where a sign-off arrives. */
export interface SignOffQuestion {
  /** What is signed off: `drill`, and `drills of CLUSTER`. */
  readonly one: string;
  readonly what: string;
  /** Who may sign off; absent: the configuration asks nobody. */
  readonly policy: { readonly by: readonly string[] } | undefined;
  /** The plan is that of the operation. */
  readonly isPlanned: boolean;
  /** The word that counts already. */
  readonly earlier: SignOff | null;
  /** What to type where this host knows no such operation, where nobody is named, and where the word that counts was wrong. */
  readonly hints: Readonly<Record<'unknown' | 'policy' | 'used', string>>;
}

export interface SignOffAnswer {
  readonly accepted: boolean;
  /** Always 0: one person is enough. */
  readonly missing: 0;
  readonly code?: ErrorCode;
  readonly reason?: string;
  readonly hint?: string;
}

/** Whether a person's word counts: of somebody named, once. */
export function checkSignOff(
  { by, verdict, at }: SignOff,
  { one, what, policy, isPlanned, earlier, hints }: SignOffQuestion,
): SignOffAnswer {
  const person = clipBytes(by.trim(), 80);
  if (!isPlanned) return refuse('plan-unknown', `this host knows no such ${one}`, hints.unknown);
  if (policy === undefined) return refuse('policy-missing', `nobody is named who may sign off ${what}`, hints.policy);
  if (!policy.by.some((name) => personKey(name) === personKey(by)))
    return refuse(
      'approval-refused',
      `${person} may not sign off ${what}`,
      `these people may: ${policy.by.join(', ')}; the name is given with --by`,
    );
  // The same again is an activity that was repeated.
  if (earlier !== null && (earlier.by !== by || earlier.verdict !== verdict || earlier.at !== at))
    return refuse('approval-used', `${earlier.by} has signed it off already: ${earlier.verdict}`, hints.used);
  return { accepted: true, missing: 0 };
}

function refuse(code: ErrorCode, reason: string, hint: string): SignOffAnswer {
  return { accepted: false, missing: 0, code, reason, hint };
}
