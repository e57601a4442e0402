import { ApplicationFailure } from '@temporalio/activity';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { redact } from '../../domain/text/redact.js';
import type { HostActivities } from '../api.js';
import type { HostDependencies } from '../dependencies.js';
import { wrapActivity } from '../activity-wrapper.js';
import { engineContext, engineFor, openClusterContext, policyOf } from '../cluster-context.js';

/** Before the activity's time-out: it goes on in a new one with the program that runs, and its history stays small. */
const LONGEST_MS = 50 * 60_000;

/** Jobs are found under it by every attempt, whatever run of the workflow it is of. */
const receivingOperation = (cluster: string, policy: string): string => `archive/${cluster}/${policy}`;

export function receivingActivities(deps: HostDependencies): Pick<HostActivities, 'receiveWal'> {
  return {
    receiveWal: wrapActivity('receiveWal', async ({ cluster, policy: name, waits = false }, run) => {
      const clusterContext = await openClusterContext(deps, cluster);
      const policy = policyOf(clusterContext, name);
      const { receiver } = engineFor(clusterContext, policy);
      if (receiver?.wanted(policy.options) !== true)
        throw new RepriseError(
          'capability-missing',
          `policy ${name} of ${cluster} receives no WAL`,
          'reprise schedule apply stops this work',
        );
      const turn = AbortSignal.timeout(LONGEST_MS);
      const own = {
        ...run,
        signal: AbortSignal.any([run.signal, turn]),
        leaveOnAbort: () => turn.aborted || run.leaveOnAbort(),
      };
      try {
        await receiver.receive(
          await engineContext(clusterContext, policy, own, receivingOperation(cluster, name), []),
          {
            waits,
          },
        );
        return { waits: false };
      } catch (error) {
        if (!turn.aborted || run.signal.aborted) throw toldByTheWorkflow(error);
        return { waits };
      }
    }),
  };
}

/** Another attempt could mend WAL that waits, but of attempts nobody hears: the workflow has to, which tries again too. */
function toldByTheWorkflow(error: unknown): unknown {
  if (!isRepriseError(error) || error.code !== 'wal-not-archived') return error;
  return ApplicationFailure.create({
    message: redact(error.message),
    type: error.code,
    nonRetryable: true,
    details: [{ hint: error.hint }],
  });
}
