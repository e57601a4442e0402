import { CancellationScope, condition, log, workflowInfo } from '@temporalio/workflow';
import type { ClusterFacts, PolicyFacts, StepInput } from '../../activities/api.js';
import type { SentBy } from '../../domain/plan/plan.js';
import type { OperationStatusView } from '../../domain/operation/status.js';
import { OperationLock } from '../lock/with-cluster-lock.js';
import { OperationSlot } from '../lock/with-host-slot.js';
import { hostActivities } from './activity-proxies.js';
import { lookUpCluster } from './look-up-cluster.js';
import { Notifications } from './notifications.js';
import { OperationStatus, isCancelled, refusal, runOperation, sentence } from './operation-status.js';
import { StepInbox, type StepPeople } from './step-people.js';
import { recordUnreadableMessages } from './unreadable-messages.js';
import { type Waiter, waitForHost } from './wait-for-host.js';

/** An operation whose people are not set asks nobody. */
const nobody: StepPeople = { rejectedBecause: null, afterFailure: async () => 'rejected' };

/** A message that arrives before the host is known waits for that so long. */
const HOST_KNOWN_AFTER = '1m';

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
  /** Who is asked while a step fails. */
  people: StepPeople = nobody;
  /** Whose approval policy names who decides about a failed step; null: nobody approves this operation. */
  action: string | null = null;
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

  /** A line of the journal about a message; one that cannot be written must not end the workflow. */
  async recordMessage(text: string, sentBy?: SentBy): Promise<void> {
    try {
      if (!(await condition(() => this.host !== '', HOST_KNOWN_AFTER)))
        throw refusal('not-found', 'the host is not known');
      await CancellationScope.nonCancellable(() =>
        hostActivities(this.host, 'record what was sent').journal({ ...this.step, step: 'message', text, sentBy }),
      );
    } catch {
      log.warn(text);
    }
  }

  /** Looks up the cluster. `into`: where a recovery goes, which may be another host. */
  async lookUp(into?: string): Promise<ClusterFacts> {
    const facts = await lookUpCluster(this.step.cluster, this);
    this.notifications.configure(facts);
    this.host = (into === undefined ? undefined : facts.targetHosts?.[into]) ?? facts.host;
    return facts;
  }

  /** Waits until a worker of the host runs, or until `waiter` stops waiting. */
  async waitForHost(waiter?: Waiter): Promise<void> {
    if (await waitForHost(this.host, this, waiter)) this.status.show('running');
  }
}

/**
 * Opens an operation, runs it with the host's worker there, and ends the workflow in the state that fits how it ended. `beside`
 * runs from the look-up on, while the host is waited for too; it ends with the operation.
 */
export function openOperation<T>(
  kind: OperationStatusView['kind'],
  input: { readonly cluster: string; readonly operationId?: string },
  run: (operation: Operation, facts: ClusterFacts) => Promise<T>,
  beside?: (operation: Operation, facts: ClusterFacts) => Promise<void>,
): Promise<T> {
  const operation = new Operation(kind, input);
  operation.people = new StepInbox((text, sentBy) => operation.recordMessage(text, sentBy));
  return runOperation(operation.status, async () => {
    const facts = await operation.lookUp();
    const main = async (): Promise<T> => {
      await operation.waitForHost();
      return run(operation, facts);
    };
    return beside === undefined ? main() : runBeside(main, () => beside(operation, facts));
  });
}

/** Runs both; `beside` ends with `main`, and its failure is none of the operation's. */
async function runBeside<T>(main: () => Promise<T>, beside: () => Promise<void>): Promise<T> {
  const scope = new CancellationScope();
  const ended = scope.run(beside).catch((error: unknown) => {
    if (!isCancelled(error)) log.warn('what runs beside the operation failed', { reason: sentence(error) });
  });
  try {
    return await main();
  } finally {
    scope.cancel();
    await ended;
  }
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
