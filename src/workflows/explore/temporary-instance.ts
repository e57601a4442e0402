import { CancellationScope, log, Trigger } from '@temporalio/workflow';
import type { OrderedInstanceStep, TargetPlace } from '../../activities/api.js';
import type { OpenedInstance, PlannedInstance } from '../../domain/explore/instance.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities, hostActivitiesFor, readActivities } from '../operation/activity-proxies.js';
import type { Operation } from '../operation/open-operation.js';
import { runStep } from '../operation/run-step.js';

/** A temporary instance that an operation wants: `instance` names it among those of the operation. */
export type InstanceRequest = Pick<OrderedInstanceStep, 'instance' | 'order' | 'requester' | 'purpose'> & {
  /** The operation ends with it. */
  readonly ends?: boolean;
  /** Told of what is planned, before anything is restored. */
  readonly onPlan?: (plan: PlannedInstance) => void;
};

/**
 * Runs with a temporary instance: a copy at an instant that changes nothing of production. It is removed however the body ends, by
 * cancellation too; what a terminated workflow leaves, the sweep of the host removes. The restore takes a heavy slot of the host, unless
 * the operation has one already; afterwards the slot is free again.
 */
export async function withTemporaryInstance<T>(
  operation: Operation,
  request: InstanceRequest,
  body: (instance: OpenedInstance) => Promise<T>,
): Promise<T> {
  const { instance, order, requester, purpose, ends, onPlan } = request;
  const { host, status } = operation;
  const step = { ...operation.step, instance };
  const plan = 'plan the temporary instance';
  const open = 'restore the temporary instance';
  try {
    const planned = await status.phase(plan, () =>
      runStep(operation, plan, () => readActivities(host, plan).planInstance({ ...step, order, requester, purpose })),
    );
    onPlan?.(planned);
    const opened = await inSlot(operation, () =>
      status.phase(open, () => runStep(operation, open, () => heavyActivities(host, open).openInstance(step))),
    );
    return await body(opened);
  } finally {
    await CancellationScope.nonCancellable(() => close(operation, instance, ends));
  }
}

/**
 * The same for an instance that outlives the step that opened it, until {@link HeldInstance.close}; where the workflow is cancelled it
 * is removed too.
 */
export class HeldInstance {
  private constructor(
    readonly name: string,
    readonly opened: OpenedInstance,
    private readonly release: Trigger<void>,
    private readonly removed: Promise<void>,
  ) {}

  static async open(operation: Operation, request: InstanceRequest): Promise<HeldInstance> {
    const release = new Trigger<void>();
    const running = new Trigger<OpenedInstance>();
    const removed = withTemporaryInstance(operation, request, async (opened) => {
      running.resolve(opened);
      await release;
    });
    const failed = removed.then(() => running);
    // Whoever waits for it is told of a failure; nobody waits any more where it was cancelled.
    removed.catch(() => undefined);
    return new HeldInstance(request.instance, await Promise.race([running, failed]), release, removed);
  }

  async close(): Promise<void> {
    this.release.resolve();
    await this.removed.catch(() => undefined);
  }
}

/** A slot that the operation has already is enough. */
function inSlot<T>(operation: Operation, run: () => Promise<T>): Promise<T> {
  return operation.slot.slot === null ? withHostSlot(operation, 'heavy', run) : run();
}

/** Where the host is away for days, its sweep does it. */
async function close({ host, status, step }: Operation, instance: string, ends = false): Promise<void> {
  const name = 'remove the temporary instance';
  await status
    .phase(name, () => hostActivitiesFor(host, name, '1d').closeInstance({ ...step, instance, ends }))
    .catch(() => log.warn('the temporary instance could not be removed: the sweep of its host does it'));
}

/** Ends what the host keeps of an operation that had several instances, one after the other: no instance has this name. */
export async function endWithoutInstance({ host, step }: Operation): Promise<void> {
  await hostActivitiesFor(host, 'end the search', '1d')
    .closeInstance({ ...step, instance: 'none', ends: true })
    .catch(() => log.warn('the end of the operation could not be noted'));
}

/** Sees that an instance of the operation runs; one whose server has ended, with its host perhaps, runs again where it stood. */
export function keepInstanceRunning(operation: Operation, instance: string): Promise<OpenedInstance> {
  const name = 'see that the temporary instance runs';
  return runStep(operation, name, () =>
    readActivities(operation.host, name).openInstance({ ...operation.step, instance }),
  );
}

/**
 * Moves an instance of the operation to a later target, by a restart.
 * @param place of the target, where the operation knows it: then no WAL is read for the move
 */
export function moveTemporaryInstance(
  operation: Operation,
  instance: string,
  target: RecoveryTarget,
  place?: TargetPlace,
): Promise<OpenedInstance> {
  const name = 'move the temporary instance';
  return operation.status.phase(name, () =>
    runStep(operation, name, () =>
      readActivities(operation.host, name).moveInstance({ ...operation.step, instance, target, place }),
    ),
  );
}
