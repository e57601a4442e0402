import {
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { StepInput } from '../../activities/api.js';
import type { LeaseOwner } from '../../domain/operation/lease.js';
import {
  type LockClaim,
  type LockGrant,
  type LockHolder,
  type LockView,
  holderText,
} from '../../domain/operation/locks.js';
import { queryNames, signalNames } from '../../domain/operation/names.js';
import { controlActivities, hostActivitiesFor } from '../operation/activity-proxies.js';
import { type OperationStatus, failureOf, isCancelled, refusal } from '../operation/operation-status.js';

/** The lock is told by a signal. Only where that could not be sent is it asked again, less and less often. */
export const FIRST_PAUSE_MS = 60_000;
export const LONGEST_PAUSE_MS = 3_600_000;

/** What one operation has of the lock of its cluster. Made before the workflow's first await, so that no early signal is lost. */
export class OperationLock {
  grant: LockGrant | null = null;
  waits = false;
  /** How often the lock said that something was granted. */
  told = 0;
  /** Whether somebody has decided that the operation waits for the lock no longer. */
  isGivenUp: () => boolean = () => false;
  /** A step has shown the grant to the host. */
  isShown = false;

  constructor() {
    setHandler(defineSignal(signalNames.leaseGranted), () => void (this.told += 1), {
      description: 'the cluster lock was granted; sent by its workflow, not by people',
    });
    setHandler(defineQuery<LockView>(queryNames.lock), () => ({ grant: this.grant, waits: this.waits }), {
      description: 'what it holds of the cluster lock',
    });
  }
}

interface LockedOperation {
  readonly step: StepInput;
  readonly status: OperationStatus;
  readonly lock: OperationLock;
  readonly host: string;
}

/** What is done while another operation holds the cluster, or comes first. */
export type WhenLocked<T> =
  | { readonly giveWay: (holder: LockHolder) => Promise<T> }
  /** Waits for its turn, and gives up with `orElse` when somebody has decided so. */
  | { readonly isGivenUp: () => boolean; readonly orElse: T };

/** Runs with the cluster locked (a backup gives way, a recovery waits). */
export async function withClusterLock<T>(
  operation: LockedOperation,
  claim: LockClaim,
  run: () => Promise<T>,
  whenLocked: WhenLocked<T>,
): Promise<T> {
  const { lock } = operation;
  // Registered before the claim: a claim that was granted but whose answer was lost is released too.
  try {
    if ('giveWay' in whenLocked) {
      const holder = await acquireAtOnce(operation, claim);
      if (holder) return await whenLocked.giveWay(holder);
    } else {
      lock.isGivenUp = whenLocked.isGivenUp;
      if (!(await acquireInTurn(operation, claim))) return whenLocked.orElse;
    }
    return await run();
  } finally {
    await CancellationScope.nonCancellable(() => release(operation));
  }
}

/** The host is told too: a step that comes later, of a run that was reset, is refused there. */
async function release(operation: LockedOperation): Promise<void> {
  const { host, lock, step } = operation;
  const { grant, isShown } = lock;
  lock.grant = null;
  lock.isShown = false;
  const owner = { ...ownerOf(operation), token: grant?.token };
  await controlActivities.releaseLock({ cluster: step.cluster, owner });
  if (!isShown) return;
  const recorded = hostActivitiesFor(host, 'record that the cluster lock is released', '10m').releaseGrant(step);
  await recorded.catch(() => log.warn('the host could not record that the cluster lock is released'));
}

/**
 * A step under the lock: it carries its grant, and a host that knows a later one which conflicts refuses it. Then the operation
 * acquires the lock again, and the step is repeated.
 */
export async function underLock<T>(operation: LockedOperation, work: (step: StepInput) => Promise<T>): Promise<T> {
  const { lock, status, step } = operation;
  for (;;) {
    const { grant } = lock;
    lock.isShown ||= grant !== null;
    try {
      return await work(grant ? { ...step, lock: grant } : step);
    } catch (error) {
      if (!grant || failureOf(error).code !== 'lock-lost') throw error;
      if (!(await acquireInTurn(operation, grant, grant.token))) throw error;
      status.show('running');
    }
  }
}

/** For work that somebody asked for and that does not wait. @throws `lock-held` */
export function refuseWhileLocked(cluster: string, holder: LockHolder): never {
  const { workflowId } = holder;
  throw refusal('lock-held', holderText(cluster, holder), `wait for ${workflowId}: reprise watch ${workflowId}`);
}

/** Null where it was granted. */
async function acquireAtOnce(operation: LockedOperation, claim: LockClaim): Promise<LockHolder | null> {
  const answer = await acquire(operation, claim, {});
  return answer.granted ? null : answer.holder;
}

/** Takes a place in the queue, and says what is waited for. False: given up. */
async function acquireInTurn(operation: LockedOperation, claim: LockClaim, lost?: number): Promise<boolean> {
  const { lock, status } = operation;
  lock.waits = true;
  try {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const { told } = lock;
      const answer = await acquire(operation, claim, { waits: true, lost });
      if (answer.granted) return true;
      const { kind, policy, workflowId } = answer.holder;
      if (claim.kind === 'recovery') await askToMakeWay(workflowId, operation.step);
      status.show('running', `${kind} of policy ${policy} to end (${workflowId})`);
      await condition(() => lock.told > told || lock.isGivenUp(), pause);
      if (lock.isGivenUp()) return false;
    }
  } finally {
    lock.waits = false;
  }
}

/** A backup whose step fails waits for hours between its attempts: it ends, as the cluster is needed. */
async function askToMakeWay(holder: string, { workflowId }: StepInput): Promise<void> {
  const reason = `${workflowId} was approved and waits for the cluster`;
  await getExternalWorkflowHandle(holder)
    .signal(signalNames.makeWay, { by: workflowId, reason })
    .catch((error: unknown) => {
      if (isCancelled(error)) throw error;
      log.info('who holds the cluster has ended already');
    });
}

async function acquire(
  operation: LockedOperation,
  { kind, policy, engine, repository }: LockClaim,
  how: { readonly waits?: boolean; readonly lost?: number },
) {
  const { lock, step } = operation;
  const { cluster, operationId } = step;
  // Only an approved recovery asks for this lock: from then on nothing that it excludes is begun.
  const intent = kind === 'recovery';
  const request = { ...ownerOf(operation), operationId, intent, kind, policy, engine, repository };
  const answer = await controlActivities.acquireLock({ cluster, request, ...how });
  if (answer.granted) lock.grant = { ...request, token: answer.token, since: new Date().toISOString() };
  return answer;
}

/** The execution that holds what the operation acquires; it stays the same over a Reset and continue-as-new. */
export function ownerOf({ step: { workflowId } }: { readonly step: StepInput }): LeaseOwner {
  return { workflowId, runId: workflowInfo().firstExecutionRunId };
}
