/** Operations whose steps fail, for the tests of what comes then. */
import type { ClusterFacts } from '../../src/activities/api.js';
import { workflowTypes } from '../../src/domain/operation/names.js';
import type { StepLimits } from '../../src/domain/operation/retries.js';
import { type Activities, type Case, HOST, type Lab, childrenOf, failure } from './lab.js';
import { wellBehaved } from './well-behaved.js';

export const gone = () => failure('storage-unreachable', 'the bucket does not answer', true);

/** The facts of a cluster whose host has these limits, and whose people are told of failures. */
export const facts = (limits: StepLimits = {}, more: Partial<ClusterFacts> = {}): Partial<Activities> => ({
  describeCluster: async (input) => ({
    ...(await wellBehaved.describeCluster(input)),
    stepLimits: { [HOST]: limits },
    tells: ['failure', 'waiting-approval'],
    ...more,
  }),
});

export const nightly = { order: { policy: 'nightly', type: 'auto' }, requester: 'schedule', operationId: 'op' };

export async function startBackup(lab: Lab, activities: Partial<Activities>): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.backup, 'backup/CLUSTER/nightly', nightly);
  return one;
}

/** What people were told of, in this order. */
export const toldOf = async (one: Case): Promise<readonly string[]> =>
  (await childrenOf(one.workflow)).map((id) => id.split('/').at(-1) ?? '');
