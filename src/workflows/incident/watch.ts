import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  TimeoutFailure,
  getExternalWorkflowHandle,
  sleep,
  startChild,
} from '@temporalio/workflow';
import type { WatchFinding } from '../../activities/api.js';
import { incidentWorkflowId, signalNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { incidentRunbook } from '../../domain/plan/runbooks.js';
import type { WatchInput } from '../api.js';
import { incident } from './incident.js';
import { controlActivities, watchActivities } from '../operation/activity-proxies.js';
import { continueOnCurrentBuild, isNewRunDue } from '../operation/continue-as-new.js';
import { OperationStatus, runOperation, isCancelled } from '../operation/operation-status.js';

/**
 * Watches one cluster for ever. The activity on the host returns only on a change; when it stops heartbeating and no
 * worker of the host polls, that is a finding of its own: layer host.
 */
export async function watch(input: WatchInput): Promise<void> {
  const status = new OperationStatus('watch', input.cluster);
  return runOperation(status, () => new Watch(input, status).run());
}

class Watch {
  private readonly cluster: string;
  private openIncident: string | null;
  private isDown: boolean;
  /** When the activity first timed out; the pollers of a dead worker are listed for some time after. */
  private silentSince: string | null = null;

  constructor(
    input: WatchInput,
    private readonly status: OperationStatus,
  ) {
    this.cluster = input.cluster;
    this.openIncident = input.openIncident ?? null;
    this.isDown = input.down ?? false;
  }

  async run(): Promise<void> {
    const { cluster, status } = this;
    for (;;) {
      const { openIncident, isDown } = this;
      if (isNewRunDue()) await continueOnCurrentBuild<typeof watch>({ cluster, openIncident, down: isDown });
      const down = `${cluster} does not answer${openIncident ? `; incident ${openIncident}` : ''}`;
      status.show('running', null, isDown ? down : `${cluster} answers`);
      const finding = await this.nextFinding();
      if (this.openIncident && !(await controlActivities.workflowIsOpen({ workflowId: this.openIncident })))
        this.openIncident = null;
      if (finding?.state === 'down') await this.foundDown(finding);
      if (finding?.state === 'up') await this.foundUp();
      // An incident that was closed while the cluster is still down is not opened again by itself: a person closed it.
    }
  }

  private async nextFinding(): Promise<WatchFinding | null> {
    const { cluster, isDown } = this;
    const { host } = await controlActivities.describeCluster({ cluster });
    try {
      const finding = await watchActivities(host).watchCluster({ cluster, down: isDown });
      this.silentSince = null;
      return finding;
    } catch (error) {
      if (isCancelled(error)) throw error;
      const timedOut = error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;
      if (timedOut) this.silentSince ??= new Date().toISOString();
      if (!timedOut || (await controlActivities.hostAnswers({ host }))) {
        await sleep('1s', { summary: 'the watch was interrupted; it starts again' });
        return null;
      }
      return isDown || this.silentSince === null
        ? null
        : {
            state: 'down',
            layer: 'host',
            reason: `the worker of host ${host} is not running`,
            since: this.silentSince,
          };
    }
  }

  private async foundDown(finding: WatchFinding): Promise<void> {
    const { cluster } = this;
    if (!this.openIncident && (await controlActivities.recoveryHolds({ cluster }))) {
      // It is down because somebody decided so; whether it comes back is checked again.
      await sleep('5s', { summary: `a recovery of ${cluster} is running` });
      return;
    }
    this.isDown = true;
    this.openIncident ??= await this.startIncident(finding);
  }

  private async foundUp(): Promise<void> {
    this.isDown = false;
    if (!this.openIncident) return;
    try {
      await getExternalWorkflowHandle(this.openIncident).signal(signalNames.clusterAnswers);
    } catch (error) {
      // It ended in the meantime: nobody is left to be told.
      if (isCancelled(error)) throw error;
    }
  }

  private async startIncident(finding: WatchFinding): Promise<string> {
    const { cluster } = this;
    const operationId = `${cluster}-${finding.since.replace(/[-:]|\.\d+/g, '')}`;
    const workflowId = incidentWorkflowId(cluster, 'instance-loss', operationId);
    try {
      await startChild(incident, {
        workflowId,
        // Whoever ends the watch ends no recovery that is running.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        priority: priorityOf(workflowTypes.incident),
        staticSummary: `${cluster} does not answer (${finding.layer ?? 'unknown'})`,
        staticDetails: incidentRunbook(cluster, 'instance-loss').details,
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
}
