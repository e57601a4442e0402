import { senderInWords } from '../../domain/approval/approval-policy.js';
import { parseSignOff } from '../../domain/approval/parse-decisions.js';
import { checkSignOff, type SignOffAnswer, type SignOffQuestion } from '../../domain/approval/sign-off.js';
import type { SignOff } from '../../domain/drill/drill.js';
import type { SentBy } from '../../domain/plan/plan.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { sha256Hex } from '../../records/digest.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';
import { requireOwnOperation } from './own-operation.js';
import { senderOf } from './sender.js';

/** Checking a sign-off takes milliseconds. */
const LOCK_TIMEOUT_MS = 60_000;

/** A step that brings a person's word. */
export type SignOffStep = PlannedStep & { readonly signOff: SignOff; readonly sentBy?: SentBy };

/** What an operation knows of its sign-off, and where it keeps it. */
export interface SignedOperation {
  ask(): Promise<SignOffQuestion>;
  save(signOff: SignOff): Promise<void>;
}

/** A person's word on what was restored or repaired is checked and kept on the host that did it, as approvals are. */
export async function considerSignOff(
  clusterContext: ClusterContext,
  step: SignOffStep,
  { signal }: ActivityRun,
  { ask, save }: SignedOperation,
): Promise<SignOffAnswer> {
  await requireOwnOperation(clusterContext, step);
  const { signOff, plan, workflowId } = step;
  const { by, verdict, remarks, at } = signOff;
  const sender = await senderOf(step.sentBy, isSignOff(signOff));
  const consider = async () => {
    const question = await ask();
    const answer = checkSignOff(signOff, question);
    if (answer.accepted) await save(signOff);
    return { answer, one: question.one };
  };
  // One at a time: of two at the same moment, each would miss the other.
  const { answer, one } = await waitForLock(
    clusterContext.host.stateDir,
    `sign-off-${sha256Hex(step.operationId).slice(0, 16)}`,
    consider,
    { signal, timeoutMs: LOCK_TIMEOUT_MS },
  );
  if (!answer.accepted) {
    const { code = 'approval-refused', reason = '' } = answer;
    const refusal = { kind: 'refusal' as const, digest: plan, by, code, reason, ...(sender && { sender }) };
    await record(clusterContext, step, `sign-off/refused/${by}/${at}`, refusal, by);
    return answer;
  }
  const sent = sender === null ? '' : ` (${senderInWords(sender)})`;
  const text = `${by}${sent} signed the ${one} off: ${verdict}${remarks === null ? '' : `: ${remarks}`}`;
  await record(clusterContext, step, 'sign-off', { kind: 'journal', workflowId, step: 'sign-off', text }, by);
  return answer;
}

const isSignOff =
  ({ verdict, by, remarks }: SignOff) =>
  (raw: unknown): boolean => {
    const said = parseSignOff(raw);
    return !('problem' in said) && said.verdict === verdict && said.by === by && said.remarks === remarks;
  };
