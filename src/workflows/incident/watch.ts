import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  TimeoutFailure,
  continueAsNew,
  getExternalWorkflowHandle,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { WatchFinding } from '../../activities/api.js';
import { incidentWorkflowId, signalNames } from '../../domain/operation/names.js';
import * as runbooks from '../../domain/plan/runbooks.js';
import type { WatchInput } from '../api.js';
import { incident } from './incident.js';
import { controlActivities, watchActivities } from '../operation/activity-proxies.js';
import { OperationStatus, runOperation, isCancelled } from '../operation/operation-status.js';

/**
 * Watches one cluster for ever. The activity on the host returns only on a change; when it stops heartbeating and no
 * worker of the host polls, that is a finding of its own: layer host (S1).
 */
export async function watch(input: WatchInput): Promise<void> {
  const { cluster } = input;
  const work = new OperationStatus('watch', cluster);
  let open = input.openIncident ?? null;
  let down = input.down ?? false;
  /** When the activity was first not heard of in time; the pollers of a dead worker are seen for some time after. */
  let silentSince: string | null = null;

  return runOperation(work, async () => {
    for (;;) {
      if (workflowInfo().continueAsNewSuggested)
        await continueAsNew<typeof watch>({ cluster, openIncident: open, down });
      work.show(
        'running',
        null,
        down ? `${cluster} does not answer${open ? `; incident ${open}` : ''}` : `${cluster} answers`,
      );
      const finding = await look();
      if (open && !(await controlActivities.workflowIsOpen({ workflowId: open }))) open = null;
      if (finding?.state === 'down' && !open && (await controlActivities.recoveryHolds({ cluster }))) {
        // It is down because somebody decided so; whether it comes back is looked at again.
        await sleep('5s', { summary: `a recovery of ${cluster} is under way` });
      } else if (finding?.state === 'down') {
        down = true;
        open ??= await openIncident(finding);
      } else if (finding?.state === 'up') {
        down = false;
        if (open) await tell(open);
      }
      // An incident that was closed while the cluster is still down is not opened again by itself: a person closed it.
    }
  });

  async function look(): Promise<WatchFinding | null> {
    const { host } = await controlActivities.describeCluster({ cluster });
    try {
      const finding = await watchActivities(host).watchCluster({ cluster, down });
      silentSince = null;
      return finding;
    } catch (error) {
      if (isCancelled(error)) throw error;
      const timedOut = error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;
      if (timedOut) silentSince ??= new Date().toISOString();
      if (!timedOut || (await controlActivities.hostAnswers({ host }))) {
        await sleep('1s', { summary: 'the watch was interrupted; it starts again' });
        return null;
      }
      return down || silentSince === null
        ? null
        : { state: 'down', layer: 'host', reason: `no worker of host ${host} answers`, since: silentSince };
    }
  }

  async function openIncident(finding: WatchFinding): Promise<string> {
    const operationId = `${cluster}-${finding.since.replace(/[-:]|\.\d+/g, '')}`;
    const workflowId = incidentWorkflowId(cluster, 'instance-loss', operationId);
    try {
      await startChild(incident, {
        workflowId,
        // Whoever ends the watch ends no recovery that is under way.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        staticSummary: `${cluster} does not answer (${finding.layer ?? 'unknown'})`,
        staticDetails: runbooks.incident(cluster, 'instance-loss').details,
        args: [
          {
            cluster,
            scenario: 'instance-loss' as const,
            operationId,
            requester: 'watch',
            firstFailedAt: finding.since,
            finding: { layer: finding.layer ?? 'unknown', reason: finding.reason },
          },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    return workflowId;
  }

  async function tell(workflowId: string): Promise<void> {
    try {
      await getExternalWorkflowHandle(workflowId).signal(signalNames.clusterAnswers);
    } catch (error) {
      // It ended in the meantime: nobody is left to be told.
      if (isCancelled(error)) throw error;
    }
  }
}
