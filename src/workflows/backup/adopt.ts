import type { ClusterFacts } from '../../activities/api.js';
import type { ActionPlan } from '../../domain/approval/actions.js';
import { type AdoptionPreview, joinAdoptions } from '../../domain/backup/adoption.js';
import type { AdoptInput, AdoptOutput } from '../api.js';
import { refuseWhileLocked, underLock, withClusterLock } from '../lock/with-cluster-lock.js';
import { ActionSteps } from '../operation/action-steps.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities, readActivities } from '../operation/activity-proxies.js';
import { ApprovedOperation } from '../operation/approved-operation.js';
import { Operation, policyFacts } from '../operation/open-operation.js';
import { rejectedText, runOperation } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';

/**
 * Adopts backups made before Reprise: lists them, waits for the approval or the confirmation, then records and verifies
 * them, one policy at a time under the cluster lock.
 */
export function adopt(input: AdoptInput): Promise<AdoptOutput> {
  const operation = new Operation('adopt', input);
  const approved = new ApprovedOperation<ActionPlan, AdoptOutput>(operation);
  const { status } = operation;
  const { requester, order } = input;
  return runOperation(status, async () => {
    const facts = await operation.lookUp();
    await approved.waitForHost();
    const surveyed = approved.inbox.rejectedBecause ? 'rejected' : await survey(approved, order);
    const preview = surveyed === 'rejected' ? nothingSeen : surveyed;
    const { refused, known, unlisted, policies } = preview;
    const nothing: AdoptOutput = { adopted: [], refused, known, unlisted };
    if (policies.length === 0 && !approved.inbox.rejectedBecause) return shown(operation, nothing);
    const steps = new ActionSteps(operation, { requester, order: { kind: 'adopt', ...order } }, (plan) =>
      adoptAll(operation, input, facts, plan),
    );
    const ending = await approved.run(steps);
    if (ending.state === 'completed') return shown(operation, ending.outcome ?? nothing);
    const rejectedBecause = `${ending.by}: ${ending.reason}`;
    status.show('rejected', null, rejectedText(rejectedBecause));
    return { ...nothing, rejectedBecause };
  });
}

/** What a rejection leaves that came before the backups were listed. */
const nothingSeen: AdoptionPreview = { policies: [], adopt: [], refused: [], known: 0 };

function survey(
  approved: ApprovedOperation<ActionPlan, AdoptOutput>,
  order: AdoptInput['order'],
): Promise<AdoptionPreview | 'rejected'> {
  const list = 'list the backups to adopt';
  const { status, host, step } = approved.operation;
  return status.phase(list, () =>
    approved.attempt(list, () => readActivities(host, list).surveyAdoption({ ...step, order })),
  );
}

function shown({ status }: Operation, output: AdoptOutput): AdoptOutput {
  status.show(
    'completed',
    null,
    `**Adopted:** ${output.adopted.length}, **left out:** ${output.refused.length}, **known before:** ${output.known}`,
  );
  return output;
}

/** Each policy is locked as for a backup: nothing rotates meanwhile, and no recovery reads what is half there. */
async function adoptAll(
  operation: Operation,
  { cluster, requester, order }: AdoptInput,
  facts: ClusterFacts,
  { digest, binding }: ActionPlan,
): Promise<AdoptOutput> {
  const { status, host } = operation;
  const outputs: AdoptOutput[] = [];
  for (const policy of binding.found['policies'] as readonly string[]) {
    const { engine, repository } = policyFacts(facts, cluster, policy);
    const adopted = (): Promise<AdoptOutput> =>
      runStep(operation, `adopt for policy ${policy}`, () =>
        underLock(operation, (step) =>
          heavyActivities(host, `adopt and verify for policy ${policy}`).adoptBackups({
            ...step,
            requester,
            order: { ...order, policy },
            plan: digest,
          }),
        ),
      );
    const output = await status.phase(`adopt for policy ${policy}`, () =>
      withHostSlot(operation, 'heavy', () =>
        withClusterLock(operation, { kind: 'backup', policy, engine, repository }, adopted, {
          giveWay: async (holder) => refuseWhileLocked(cluster, holder),
        }),
      ),
    );
    outputs.push(output);
  }
  return joinAdoptions(outputs);
}
