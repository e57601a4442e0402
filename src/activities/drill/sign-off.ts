import { senderInWords } from '../../domain/approval/approval-policy.js';
import { parseSignOff } from '../../domain/approval/parse-decisions.js';
import { checkSignOff, type SignOffAnswer } from '../../domain/drill/sign-off.js';
import type { SignOff } from '../../domain/drill/drill.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { sha256Hex } from '../../records/digest.js';
import { type DrillFolder, openDrillFolder } from '../../records/drill-folder.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { senderOf } from '../approval/sender.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** Checking a sign-off takes milliseconds. */
const LOCK_TIMEOUT_MS = 60_000;

/** A person's word on a drill is checked and kept on the staging host, as approvals are. */
export function signOffActivities(deps: HostDependencies): Pick<DrillActivities, 'recordSignOff'> {
  return {
    recordSignOff: wrapActivity('recordSignOff', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const folder = openDrillFolder(clusterContext.host.stateDir, step.operationId);
      const { signOff, plan, workflowId } = step;
      const { by, verdict, remarks, at } = signOff;
      const sender = await senderOf(step.sentBy, isSignOff(signOff));
      // One at a time: of two at the same moment, each would miss the other.
      const answer = await waitForLock(
        clusterContext.host.stateDir,
        `sign-off-${sha256Hex(step.operationId).slice(0, 16)}`,
        () => answerSignOff(clusterContext, step, folder),
        { signal: run.signal, timeoutMs: LOCK_TIMEOUT_MS },
      );
      if (!answer.accepted) {
        const { code = 'approval-refused', reason = '' } = answer;
        const refusal = { kind: 'refusal' as const, digest: plan, by, code, reason, ...(sender && { sender }) };
        await record(clusterContext, step, `sign-off/refused/${by}/${at}`, refusal, by);
        return answer;
      }
      const sent = sender === null ? '' : ` (${senderInWords(sender)})`;
      const text = `${by}${sent} signed the drill off: ${verdict}${remarks === null ? '' : `: ${remarks}`}`;
      await record(clusterContext, step, 'sign-off', { kind: 'journal', workflowId, step: 'sign-off', text }, by);
      return answer;
    }),
  };
}

async function answerSignOff(
  { cluster }: ClusterContext,
  { signOff, plan }: { readonly signOff: SignOff; readonly plan: string },
  folder: DrillFolder,
): Promise<SignOffAnswer> {
  const answer = checkSignOff(signOff, {
    cluster: cluster.name,
    policy: cluster.drill?.signOff,
    isPlanned: (await folder.plan())?.digest === plan,
    earlier: await folder.signOff(),
  });
  if (answer.accepted) await folder.saveSignOff(signOff);
  return answer;
}

const isSignOff =
  ({ verdict, by, remarks }: SignOff) =>
  (raw: unknown): boolean => {
    const said = parseSignOff(raw);
    return !('problem' in said) && said.verdict === verdict && said.by === by && said.remarks === remarks;
  };
