import { sleep, workflowInfo } from '@temporalio/workflow';
import type { ClusterFacts } from '../../activities/api.js';
import { controlActivities } from './activity-proxies.js';
import { scheduledStart } from './scheduled-start.js';
import type { Notifications } from './notifications.js';
import { type OperationStatus, failureOf } from './operation-status.js';
import { sayIfLong } from './wait-for-host.js';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** By then every worker that is started again has its configuration; the operation fails. */
const GIVEN_UP_AFTER_MS = 3_600_000;

/**
 * Looks up a cluster in the configuration. A worker of the control queue may have an older one, in which the cluster is not:
 * where nobody typed the name, it is asked again, and people are told of a long wait. A name that a person typed is answered at once.
 * @throws RepriseError `not-found`
 */
export async function lookUpCluster(
  cluster: string,
  { status, notifications }: { readonly status: OperationStatus; readonly notifications: Notifications },
): Promise<ClusterFacts> {
  const first = await facts(cluster).catch((error: unknown) => orAskAgain(error));
  if (first !== null) return first;
  const waitingFor = `a worker whose configuration has the cluster ${cluster}: restart the workers with the present reprise.yml`;
  status.show('waiting-worker', waitingFor);
  // Whom to tell stands in the configuration that is not there: each host is asked for it when the notice is sent.
  notifications.configureUnknown();
  const found = await sayIfLong(again(cluster), () =>
    notifications.notify({ kind: 'paused', event: 'failure', waitingFor }),
  );
  status.show('running');
  return found;
}

const facts = (cluster: string): Promise<ClusterFacts> => controlActivities.describeCluster({ cluster });

function orAskAgain(error: unknown): null {
  const { parent } = workflowInfo();
  if ((parent ?? scheduledStart()) === undefined || failureOf(error).code !== 'not-found') throw error;
  return null;
}

async function again(cluster: string): Promise<ClusterFacts> {
  for (let pause = FIRST_PAUSE_MS, waited = 0; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    await sleep(pause, { summary: `ask again for the cluster ${cluster}` });
    waited += pause;
    const found = await facts(cluster).catch((error: unknown) => {
      if (waited >= GIVEN_UP_AFTER_MS) throw error;
      return orAskAgain(error);
    });
    if (found !== null) return found;
  }
}
