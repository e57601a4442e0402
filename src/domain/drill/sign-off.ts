import { personKey } from '../approval/approval-policy.js';
import type { ErrorCode } from '../errors.js';
import { clipBytes } from '../text/text.js';
import type { SignOff } from './drill.js';

/** What is known where a sign-off arrives. */
export interface SignOffQuestion {
  readonly cluster: string;
  /** Who may sign off; absent: the configuration asks nobody. */
  readonly policy: { readonly by: readonly string[] } | undefined;
  /** The plan is that of the drill. */
  readonly isPlanned: boolean;
  /** The word that counts already. */
  readonly earlier: SignOff | null;
}

export interface SignOffAnswer {
  readonly accepted: boolean;
  /** Always 0: one person is enough. */
  readonly missing: 0;
  readonly code?: ErrorCode;
  readonly reason?: string;
  readonly hint?: string;
}

/** Whether a person's word on a drill counts: of somebody named, once. */
export function checkSignOff(
  { by, verdict, at }: SignOff,
  { cluster, policy, isPlanned, earlier }: SignOffQuestion,
): SignOffAnswer {
  const person = clipBytes(by.trim(), 80);
  if (!isPlanned)
    return refuse(
      'plan-unknown',
      'this host knows no such drill',
      `see which there are: reprise drill list ${cluster}`,
    );
  if (policy === undefined)
    return refuse(
      'policy-missing',
      `nobody is named who may sign off drills of ${cluster}`,
      `name them in reprise.yml: clusters.${cluster}.drill.sign_off: { by: [CONTACT] }`,
    );
  if (!policy.by.some((name) => personKey(name) === personKey(by)))
    return refuse(
      'approval-refused',
      `${person} may not sign off drills of ${cluster}`,
      `these people may: ${policy.by.join(', ')}; the name is given with --by`,
    );
  // The same again is an activity that was repeated.
  if (earlier !== null && (earlier.by !== by || earlier.verdict !== verdict || earlier.at !== at))
    return refuse(
      'approval-used',
      `${earlier.by} has signed it off already: ${earlier.verdict}`,
      'what was said stays; run another drill where it was wrong',
    );
  return { accepted: true, missing: 0 };
}

function refuse(code: ErrorCode, reason: string, hint: string): SignOffAnswer {
  return { accepted: false, missing: 0, code, reason, hint };
}
