import { workflowInfo } from '@temporalio/workflow';
import { joinAdoptions } from '../../domain/backup/adoption.js';
import type { AdoptInput, AdoptOutput } from '../api.js';
import { withClusterLock, operationIdOf, waitForHost } from '../lock/with-cluster-lock.js';
import {
  fewTriesHostActivities,
  controlActivities,
  heavyActivities,
  retryLostWorker,
} from '../operation/activity-proxies.js';
import { OperationStatus, runOperation, refusal } from '../operation/operation-status.js';

/** Takes over backups made before Reprise: looks, then records and verifies, a policy at a time with the cluster held. */
export async function adopt(input: AdoptInput): Promise<AdoptOutput> {
  const work = new OperationStatus('adopt', input.cluster);
  return runOperation(work, async () => {
    const { cluster, requester, order } = input;
    const step = { cluster, operationId: operationIdOf(input.operationId), workflowId: workflowInfo().workflowId };
    const { host, policies } = await controlActivities.describeCluster({ cluster });
    await waitForHost(work, host);
    const preview = await work.phase('look what there is', () =>
      fewTriesHostActivities(host, 'look what there is').surveyAdoption({ ...step, order }),
    );
    const outputs: AdoptOutput[] = [];
    for (const policy of preview.policies) {
      const facts = policies[policy];
      if (!facts)
        throw refusal(
          'not-found',
          `cluster ${cluster} has no backup policy "${policy}"`,
          `its policies: ${Object.keys(policies).join(', ')}`,
        );
      // As a backup: nothing rotates meanwhile, and no recovery reads what is half there.
      const claim = {
        cluster,
        operationId: step.operationId,
        kind: 'backup' as const,
        policy,
        engine: facts.engine,
        repository: facts.repository,
      };
      const run = (): Promise<AdoptOutput> =>
        retryLostWorker(() =>
          heavyActivities(host, `adopt and verify for policy ${policy}`).adoptBackups({
            ...step,
            requester,
            order: { ...order, policy },
          }),
        );
      outputs.push(
        await work.phase(`adopt for policy ${policy}`, () =>
          withClusterLock(claim, run, async (holder) => {
            throw refusal(
              'lock-held',
              `${holder.kind} of policy ${holder.policy} holds ${cluster} since ${holder.since}`,
              `wait for ${holder.workflowId}: reprise watch ${holder.workflowId}`,
            );
          }),
        ),
      );
    }
    const output = joinAdoptions(
      outputs.length > 0
        ? outputs
        : [
            {
              adopted: [],
              refused: preview.refused,
              known: preview.known,
              ...(preview.unlisted === undefined ? {} : { unlisted: preview.unlisted }),
            },
          ],
    );
    work.show(
      'completed',
      null,
      `**Adopted:** ${output.adopted.length}, **left out:** ${output.refused.length}, **known before:** ${output.known}`,
    );
    return output;
  });
}
