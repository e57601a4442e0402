import { CancellationScope, condition, defineQuery, patched, setHandler } from '@temporalio/workflow';
import type { StepInput } from '../../activities/api.js';
import { queryNames } from '../../domain/operation/names.js';
import { type HostSlot, type SlotKind, type SlotView, slotText } from '../../domain/operation/slots.js';
import { controlActivities } from '../operation/activity-proxies.js';
import type { Notifications } from '../operation/notifications.js';
import type { OperationStatus } from '../operation/operation-status.js';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS, type OperationLock, ownerOf } from './with-cluster-lock.js';

/** People are told of a wait after so long: that backups of several clusters wait for each other at night is no fault. */
const TOLD_AFTER: Readonly<Record<SlotKind, string>> = { heavy: '1h', recovery: '1m', media: '1h' };

/** What one operation has of the slots of its host. Made before the workflow's first await, so that no early query is lost. */
export class OperationSlot {
  /** The one that it has or waits for. */
  slot: HostSlot | null = null;
  grant: SlotView['grant'] = null;

  constructor() {
    setHandler(defineQuery<SlotView>(queryNames.slot), () => ({ slot: this.slot, grant: this.grant }), {
      description: 'what it has of the slots of its host',
    });
  }
}

interface SlottedOperation {
  readonly host: string;
  readonly step: StepInput;
  readonly status: OperationStatus;
  readonly notifications: Notifications;
  readonly lock: OperationLock;
  readonly slot: OperationSlot;
}

/** Whether somebody has decided that the operation waits no longer, and what comes of it then. */
export interface GivenUp<T> {
  readonly isGivenUp: () => boolean;
  readonly orElse: T;
}

/**
 * Runs with a slot of the host, for which it waits in turn. It is taken before the cluster lock: nobody holds a cluster while it
 * waits for a slot.
 */
export async function withHostSlot<T>(
  operation: SlottedOperation,
  kind: SlotKind,
  run: () => Promise<T>,
  givenUp?: GivenUp<T>,
): Promise<T> {
  const slot = { host: operation.host, kind };
  operation.slot.slot = slot;
  // Registered before the claim: a slot that was granted but whose answer was lost is released too.
  try {
    if (!(await acquireInTurn(operation, slot, givenUp?.isGivenUp)) && givenUp) return givenUp.orElse;
    return await run();
  } finally {
    if (operation.slot.slot !== null) await CancellationScope.nonCancellable(() => release(operation, slot));
  }
}

/**
 * Waits for a person without the slot, so that others use it meanwhile; afterwards it is taken again, unless the operation was
 * rejected. It is granted at once, beyond the limit too: the operation may hold its cluster, and whoever has the slot may wait for that
 * cluster. Both would wait for ever. How many steps run at once limits the worker all the same.
 */
export async function withoutHostSlot<T>(
  operation: SlottedOperation & { readonly people: { readonly rejectedBecause: object | null } },
  wait: () => Promise<T>,
): Promise<T> {
  const { grant } = operation.slot;
  if (grant === null || !patched('waits-for-people-without-slot')) return wait();
  const slot = { host: grant.host, kind: grant.kind };
  // People are asked at once: what they send before that has no effect.
  const [decided] = await Promise.all([wait(), release(operation, slot)]);
  if (operation.people.rejectedBecause !== null) return decided;
  operation.slot.slot = slot;
  await acquire(operation, slot, { resumes: true });
  return decided;
}

/** Gives the slot of an operation back before it ends: for what follows nobody else has to wait. */
export async function releaseHostSlot(operation: SlottedOperation): Promise<void> {
  const { slot } = operation.slot;
  if (slot !== null) await release(operation, slot);
}

async function release(operation: SlottedOperation, slot: HostSlot): Promise<void> {
  const token = operation.slot.grant?.token;
  operation.slot.grant = null;
  await controlActivities.releaseSlot({ ...slot, owner: { ...ownerOf(operation), token } });
  operation.slot.slot = null;
}

/** Takes a place in the queue, says what is waited for, and tells people when it takes long. False: given up. */
async function acquireInTurn(
  operation: SlottedOperation,
  slot: HostSlot,
  isGivenUp: () => boolean = () => false,
): Promise<boolean> {
  const { status, lock, notifications } = operation;
  let told: Promise<void> | null = null;
  let waitingFor = '';
  let isOver = false;
  try {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const { told: before } = lock;
      const answer = await acquire(operation, slot);
      if (answer.granted) return true;
      waitingFor = slotText(slot, answer.holder);
      status.show('running', waitingFor);
      told ??= condition(() => isOver, TOLD_AFTER[slot.kind]).then(async (inTime) => {
        if (!inTime) await notifications.notify({ kind: 'paused', event: 'failure', waitingFor });
      });
      await condition(() => lock.told > before || isGivenUp(), pause);
      if (isGivenUp()) return false;
    }
  } finally {
    isOver = true;
    await told;
    if (told) status.show('running');
  }
}

async function acquire(operation: SlottedOperation, slot: HostSlot, how: { readonly resumes?: true } = {}) {
  const { operationId } = operation.step;
  const owner = { ...ownerOf(operation), operationId };
  const answer = await controlActivities.acquireSlot({ ...slot, ...how, owner });
  if (answer.granted) {
    const since = new Date().toISOString();
    operation.slot.grant = { ...slot, ...ownerOf(operation), operationId, token: answer.token, since };
  }
  return answer;
}
