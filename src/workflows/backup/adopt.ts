import type { PolicyFacts } from '../../activities/api.js';
import { joinAdoptions } from '../../domain/backup/adoption.js';
import type { AdoptInput, AdoptOutput } from '../api.js';
import { refuseWhileLocked, underLock, withClusterLock } from '../lock/with-cluster-lock.js';
import { heavyActivities, quickHostActivities, retryLostWorker } from '../operation/activity-proxies.js';
import { type Operation, openOperation, policyFacts } from '../operation/open-operation.js';

/** Adopts backups made before Reprise: lists them, then records and verifies them, one policy at a time under the cluster lock. */
export function adopt(input: AdoptInput): Promise<AdoptOutput> {
  return openOperation('adopt', input, async (operation, facts) => {
    const { status, host, step } = operation;
    const { cluster, order } = input;
    const preview = await status.phase('list the backups to adopt', () =>
      quickHostActivities(host, 'list the backups to adopt').surveyAdoption({ ...step, order }),
    );
    const outputs: AdoptOutput[] = [];
    for (const policy of preview.policies)
      outputs.push(await adoptForPolicy(operation, input, policy, policyFacts(facts, cluster, policy)));
    const { refused, known, unlisted } = preview;
    const output = joinAdoptions(outputs.length > 0 ? outputs : [{ adopted: [], refused, known, unlisted }]);
    status.show(
      'completed',
      null,
      `**Adopted:** ${output.adopted.length}, **left out:** ${output.refused.length}, **known before:** ${output.known}`,
    );
    return output;
  });
}

/** Locked as for a backup: nothing rotates meanwhile, and no recovery reads what is half there. */
function adoptForPolicy(
  operation: Operation,
  { cluster, requester, order }: AdoptInput,
  policy: string,
  { engine, repository }: PolicyFacts,
): Promise<AdoptOutput> {
  const { status, host } = operation;
  const adopted = (): Promise<AdoptOutput> =>
    retryLostWorker(() =>
      underLock(operation, (step) =>
        heavyActivities(host, `adopt and verify for policy ${policy}`).adoptBackups({
          ...step,
          requester,
          order: { ...order, policy },
        }),
      ),
    );
  return status.phase(`adopt for policy ${policy}`, () =>
    withClusterLock(operation, { kind: 'backup', policy, engine, repository }, adopted, {
      giveWay: async (holder) => refuseWhileLocked(cluster, holder),
    }),
  );
}
