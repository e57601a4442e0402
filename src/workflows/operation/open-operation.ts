import { CancellationScope, condition, log, workflowInfo } from '@temporalio/workflow';
import type { ClusterFacts, PolicyFacts, StepInput } from '../../activities/api.js';
import type { OperationStatusView } from '../../domain/operation/status.js';
import { OperationLock } from '../lock/with-cluster-lock.js';
import { OperationSlot } from '../lock/with-host-slot.js';
import { controlActivities, hostActivities, waitActivities } from './activity-proxies.js';
import { Notifications } from './notifications.js';
import { OperationStatus, refusal, runOperation } from './operation-status.js';
import { recordUnreadableMessages } from './unreadable-messages.js';

/** After so long without a worker of the host, people are notified. */
const NOTIFY_AFTER = '1m';

/**
 * One operation on a cluster: its status, whom it notifies, and the identity that each of its steps carries. Made before
 * the workflow's first await, so that no early query is lost.
 */
export class Operation {
  readonly status: OperationStatus;
  readonly notifications: Notifications;
  readonly step: StepInput;
  readonly lock = new OperationLock();
  readonly slot = new OperationSlot();
  /** The host that does the work; '' until it was looked up. */
  host = '';

  constructor(
    kind: OperationStatusView['kind'],
    { cluster, operationId }: { readonly cluster: string; readonly operationId?: string },
  ) {
    const { workflowId, startTime } = workflowInfo();
    // Schedules give none: they put their time into the workflow id.
    this.step = { cluster, operationId: operationId ?? `${workflowId}@${startTime.toISOString()}`, workflowId };
    this.status = new OperationStatus(kind, cluster);
    this.notifications = new Notifications(this.step);
    recordUnreadableMessages((text) => void this.recordMessage(text));
  }

  /** A line of the journal about a message that had no effect; one that cannot be written must not end the workflow. */
  private async recordMessage(text: string): Promise<void> {
    try {
      if (!(await condition(() => this.host !== '', NOTIFY_AFTER))) throw refusal('not-found', 'the host is not known');
      await CancellationScope.nonCancellable(() =>
        hostActivities(this.host, 'record what was sent').journal({ ...this.step, step: 'message', text }),
      );
    } catch {
      log.warn(text);
    }
  }

  /** Looks up the cluster. `into`: where a recovery goes, which may be another host. */
  async lookUp(into?: string): Promise<ClusterFacts> {
    const facts = await controlActivities.describeCluster({ cluster: this.step.cluster });
    this.notifications.configure(facts);
    this.host = (into === undefined ? undefined : facts.targetHosts?.[into]) ?? facts.host;
    return facts;
  }

  /** Waits until a worker of the host polls; says so meanwhile, and notifies people: a time-out would not say what is missing. */
  async waitForHost(): Promise<void> {
    const { host, status } = this;
    if (await controlActivities.hostAnswers({ host })) return;
    const waitingFor = `the host's worker is not running: start it with \`reprise worker --host ${host}\` on host "${host}"`;
    status.show('waiting-worker', waitingFor);
    let isThere = false;
    const waiting = waitActivities(`wait for the worker of host ${host}`)
      .awaitHost({ host })
      .finally(() => (isThere = true));
    const notifying = condition(() => isThere, NOTIFY_AFTER).then(async (inTime) => {
      if (!inTime) await this.notifications.notify({ kind: 'paused', event: 'failure', waitingFor });
    });
    await Promise.all([waiting, notifying]);
    status.show('running');
  }
}

/** Opens an operation, runs it with the host's worker there, and ends the workflow in the state that fits how it ended. */
export function openOperation<T>(
  kind: OperationStatusView['kind'],
  input: { readonly cluster: string; readonly operationId?: string },
  run: (operation: Operation, facts: ClusterFacts) => Promise<T>,
): Promise<T> {
  const operation = new Operation(kind, input);
  return runOperation(operation.status, async () => {
    const facts = await operation.lookUp();
    await operation.waitForHost();
    return run(operation, facts);
  });
}

/** @throws `not-found` for a policy that the cluster does not have */
export function policyFacts({ policies }: ClusterFacts, cluster: string, policy: string): PolicyFacts {
  const facts = policies[policy];
  if (facts) return facts;
  throw refusal(
    'not-found',
    `cluster ${cluster} has no backup policy "${policy}"`,
    `its policies: ${Object.keys(policies).join(', ')}`,
  );
}
