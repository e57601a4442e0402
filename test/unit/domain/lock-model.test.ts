import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type Held,
  type LeaseOwner,
  type LeaseState,
  leave,
  noLeases,
  request,
  restore,
  sameOwner,
} from '../../../src/domain/operation/lease.js';
import { type KnownGrant, refusingGrant, rememberGrant } from '../../../src/domain/operation/lock-grants.js';
import {
  type LockClaim,
  type LockGrant,
  type OwnedClaim,
  clusterLockRule,
  conflicts,
} from '../../../src/domain/operation/locks.js';
import { type SlotClaim, slotRule } from '../../../src/domain/operation/slots.js';

/** One operation with its workflow execution, as far as the lock is concerned. */
interface Operation {
  readonly claim: OwnedClaim;
  readonly waits: boolean;
  /** The slot of the host that it takes before the lock. */
  readonly slotClaim: SlotClaim;
  slot: Held<SlotClaim> | null;
  status: 'open' | 'paused' | 'closed';
  /** What the operation believes; it survives a Reset. */
  grant: LockGrant | null;
  wants: 'nothing' | 'lock';
  lost: number | undefined;
  /** Nothing is left to do for it. */
  isOver: boolean;
}

const policies: readonly Omit<LockClaim, 'kind'>[] = [
  { policy: 'nightly', engine: 'logical', repository: 'local' },
  { policy: 'physical', engine: 'pgbackrest', repository: 'offsite' },
];
const kinds = ['backup', 'rotation', 'recovery', 'drill', 'table-repair', 'media'] as const;

/**
 * Operations, the lock's own state and the host's record of grants, moved by random steps. The lock and the record are the code
 * that runs; the workflow, its activities and the server are this class.
 */
class World {
  state: LeaseState<OwnedClaim> = noLeases;
  slots: Record<'heavy' | 'recovery', LeaseState<SlotClaim>> = { heavy: noLeases, recovery: noLeases };
  known: readonly KnownGrant[] = [];
  readonly operations: Operation[] = [];
  private now = Date.parse('2026-11-29T01:30:00Z');
  private runs = 0;
  /** Since when a recovery has its intent registered: what was granted since then. */
  private readonly grantedSince = new Map<Operation, OwnedClaim[]>();

  /** An operation begins; with an id of few, so that ids are used again, but only after the execution before is closed. */
  begin(name: number, kindAt: number, policyAt: number, waits: boolean): void {
    const workflowId = `work/${name}`;
    const busy = this.operations.some((other) => other.claim.workflowId === workflowId && other.status !== 'closed');
    if (busy) return;
    const kind = kinds[kindAt % kinds.length] ?? 'backup';
    const intent = kind === 'recovery';
    const runId = `run-${++this.runs}`;
    const policy = { ...(policies[policyAt % policies.length] as (typeof policies)[number]), kind };
    const claim: OwnedClaim = { ...policy, workflowId, runId, operationId: runId, intent };
    const owner = { workflowId, runId, operationId: runId };
    this.operations.push({
      claim,
      slotClaim: { ...owner, host: 'db1', kind: intent ? 'recovery' : 'heavy', capacity: 1 },
      slot: null,
      waits: waits || intent,
      status: 'open',
      grant: null,
      wants: 'lock',
      lost: undefined,
      isOver: false,
    });
  }

  /** `acquireLock`: with the look at the execution of whoever is in the way. */
  ask(operation: Operation): void {
    if (operation.status !== 'open' || operation.wants !== 'lock') return;
    if (!operation.slot && !this.askForSlot(operation)) return;
    for (;;) {
      const { claim, lost } = operation;
      const waits = operation.waits || lost !== undefined;
      const { state, granted, answer } = request(clusterLockRule, this.state, { claim, waits, lost }, this.tick());
      this.keep(state, granted);
      if (answer.granted) return this.take(operation, answer.token);
      const { holder } = answer;
      const other = this.operations.find((one) => sameOwner(one.claim, holder));
      if (other?.status === 'closed') {
        this.leave(other.claim);
        continue;
      }
      if (waits && claim.intent && !this.grantedSince.has(operation)) this.grantedSince.set(operation, []);
      // It gives way: recorded, and over.
      if (!waits) this.end(operation);
      return;
    }
  }

  /** `acquireSlot`: it waits for its turn, before it asks for the lock. */
  private askForSlot(operation: Operation): boolean {
    const { slotClaim } = operation;
    const kind = operation.claim.intent ? 'recovery' : 'heavy';
    for (;;) {
      const change = request(slotRule, this.slots[kind], { claim: slotClaim, waits: true }, this.tick());
      this.keepSlots(kind, change.state);
      if (change.answer.granted) return true;
      const { holder } = change.answer;
      const other = this.operations.find((one) => sameOwner(one.claim, holder));
      if (other?.status !== 'closed') return false;
      this.leaveSlot(other.claim);
    }
  }

  /** The workflows of the slots are lost, and ask the operations which have one. */
  loseSlots(): void {
    for (const kind of ['heavy', 'recovery'] as const) {
      const open = this.operations.filter(({ status, slotClaim }) => status !== 'closed' && slotClaim.kind === kind);
      this.slots[kind] = restore(
        slotRule,
        noLeases,
        open.flatMap(({ slot }) => slot ?? []),
      );
    }
  }

  private leaveSlot(owner: LeaseOwner): void {
    for (const kind of ['heavy', 'recovery'] as const)
      this.keepSlots(kind, leave(slotRule, this.slots[kind], owner, this.tick()).state);
  }

  private keepSlots(kind: 'heavy' | 'recovery', state: LeaseState<SlotClaim>): void {
    this.slots[kind] = state;
    for (const held of state.holders) {
      const operation = this.operations.find(({ claim }) => sameOwner(claim, held));
      if (operation?.status === 'open') operation.slot = held;
    }
  }

  /** A step on the host: it is done, or refused because a later grant is known. */
  act(operation: Operation): void {
    const { grant, claim, status } = operation;
    if (status !== 'open' || !grant) return;
    const shown = { claim, operationId: claim.operationId, workflowId: claim.workflowId, grant };
    if (refusingGrant(this.known, shown)) {
      operation.grant = null;
      operation.wants = 'lock';
      operation.lost = grant.token;
      return;
    }
    this.known = rememberGrant(this.known, shown);
    // What matters: nobody acts after one that excludes it has acted with a later grant.
    for (const other of this.acted)
      if (conflicts(other, claim)) expect(grant.token).toBeGreaterThanOrEqual(other.token);
    this.acted.push({ ...grant });
  }
  private readonly acted: LockGrant[] = [];

  finish(operation: Operation): void {
    if (operation.status !== 'open' || !operation.grant) return;
    this.leave(operation.claim, operation.grant.token);
    this.end(operation);
  }

  /** Terminate, Cancel, or a failure: nothing is released. */
  terminate(operation: Operation): void {
    operation.status = 'closed';
    this.grantedSince.delete(operation);
  }

  /** Back to where it held the lock, or to where it asked; only the latest execution of an id can be. */
  reset(operation: Operation): void {
    const later = this.operations.slice(this.operations.indexOf(operation) + 1);
    if (operation.isOver || later.some(({ claim }) => claim.workflowId === operation.claim.workflowId)) return;
    operation.status = 'open';
  }

  pause(operation: Operation): void {
    if (operation.status !== 'closed') operation.status = operation.status === 'paused' ? 'open' : 'paused';
  }

  /** `awaitClosed`: somebody waits, and one of those followed is seen to be closed. */
  followed(): void {
    const isClosed = (owner: LeaseOwner): boolean =>
      this.operations.some((one) => one.status === 'closed' && sameOwner(one.claim, owner));
    const { holders, queue } = this.state;
    const closed = queue.length === 0 ? undefined : [...holders, ...queue].find(isClosed);
    if (closed) this.leave(closed);
    for (const { holders: having, queue: waiting } of Object.values(this.slots)) {
      const gone = waiting.length === 0 ? undefined : [...having, ...waiting].find(isClosed);
      if (gone) this.leaveSlot(gone);
    }
  }

  /** The workflow of the lock is terminated and started again: it asks who is under way, and tells those who wait. */
  loseLock(): void {
    const open = this.operations.filter(({ status }) => status !== 'closed');
    const lastToken = Math.max(0, ...this.known.map(({ token }) => token));
    this.state = restore(
      clusterLockRule,
      { ...noLeases, lastToken },
      open.flatMap(({ grant }) => grant ?? []),
    );
    this.grantedSince.clear();
  }

  check(): void {
    const { holders } = this.state;
    for (const [at, one] of holders.entries())
      for (const other of holders.slice(at + 1)) if (!sameOwner(one, other)) expect(conflicts(one, other)).toBe(false);
    // Nobody has the cluster, or stands in its queue, while it waits for a slot.
    const waiting = [...this.slots.heavy.queue, ...this.slots.recovery.queue];
    const locking = [...holders, ...this.state.queue];
    expect(waiting.filter((one) => locking.some((other) => sameOwner(one, other)))).toEqual([]);
  }

  /** Everybody goes on for as long as it takes; false: somebody waits for ever. */
  settle(): boolean {
    for (const one of this.operations) if (one.status === 'paused') one.status = 'open';
    for (let round = 0; round < 4 * this.operations.length + 4; round++) {
      for (const one of this.operations) this.ask(one);
      for (const one of this.operations) this.act(one);
      for (const one of this.operations) this.finish(one);
      this.followed();
    }
    return this.operations.every(({ status, isOver }) => status === 'closed' || isOver);
  }

  private leave(owner: OwnedClaim, token?: number): void {
    const { state, granted } = leave(clusterLockRule, this.state, owner, this.tick(), token);
    this.keep(state, granted);
  }

  private keep(state: LeaseState<OwnedClaim>, granted: readonly LockGrant[]): void {
    const before = this.state.holders;
    this.state = state;
    const fresh = state.holders.filter((one) => !before.some(({ token }) => token === one.token));
    for (const grant of fresh) this.granted(grant);
    for (const grant of granted) {
      const operation = this.operations.find(({ claim }) => sameOwner(claim, grant));
      // Told by a signal, it asks again, and gets what it has.
      if (operation && operation.status === 'open') this.take(operation, grant.token);
    }
  }

  /** While a recovery has its intent registered, nothing that it excludes is granted, except recoveries that came before it. */
  private granted(grant: LockGrant): void {
    for (const [recovery, since] of this.grantedSince) {
      if (sameOwner(recovery.claim, grant)) this.grantedSince.delete(recovery);
      else if (conflicts(recovery.claim, grant)) since.push(grant);
      expect(since.filter(({ kind }) => kind !== 'recovery')).toEqual([]);
    }
  }

  private take(operation: Operation, token: number): void {
    const since = new Date(this.now).toISOString();
    operation.grant = { ...operation.claim, token, since };
    operation.wants = 'nothing';
    operation.lost = undefined;
  }

  private end(operation: Operation): void {
    this.leaveSlot(operation.claim);
    operation.status = 'closed';
    operation.grant = null;
    operation.slot = null;
    operation.isOver = true;
  }

  private tick(): number {
    return (this.now += 1000);
  }
}

const at = fc.nat({ max: 11 });
const step = fc.oneof(
  fc.record({ do: fc.constant('begin' as const), name: fc.nat({ max: 4 }), kind: at, policy: at, waits: fc.boolean() }),
  fc.record({
    do: fc.constantFrom('ask', 'act', 'finish', 'terminate', 'reset', 'pause', 'ask', 'act'),
    on: at,
  }),
  fc.record({ do: fc.constantFrom('followed' as const, 'loseLock' as const, 'loseSlots' as const) }),
);

function run(steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[]): World {
  const world = new World();
  for (const one of steps) {
    if (one.do === 'begin') world.begin(one.name, one.kind, one.policy, one.waits);
    else if ('on' in one) {
      const operation = world.operations[one.on % Math.max(1, world.operations.length)];
      if (operation) world[one.do as 'ask'](operation);
    } else world[one.do as 'followed']();
    world.check();
  }
  return world;
}

describe('a model of the lock: operations that ask, act, end, are paused, terminated and reset, and a lock and slots that are lost', () => {
  it('L1, L2, L3, L4, L5, F46: no two that exclude each other act in turn, an approved recovery is next, and nobody waits for ever', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const world = run(steps);
        expect(world.settle()).toBe(true);
        expect([...world.state.queue, ...world.slots.heavy.queue, ...world.slots.recovery.queue]).toEqual([]);
      }),
      { numRuns: 1500 },
    );
  });

  it('L4: an approved recovery is granted as soon as those end that held when it asked', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const world = run(steps.filter((one) => one.do !== 'begin' || kinds[one.kind % kinds.length] !== 'recovery'));
        world.begin(9, kinds.indexOf('recovery'), 0, true);
        const recovery = world.operations.at(-1) as Operation;
        world.ask(recovery);
        for (const { workflowId, runId } of world.state.holders) {
          const holder = world.operations.find((one) => sameOwner(one.claim, { workflowId, runId }));
          if (!holder || !conflicts(holder.claim, recovery.claim) || holder === recovery) continue;
          if (holder.status === 'paused') world.pause(holder);
          if (holder.status === 'open' && holder.grant) world.finish(holder);
          else world.terminate(holder);
          world.followed();
        }
        world.ask(recovery);
        expect(recovery.grant).not.toBeNull();
      }),
      { numRuns: 1000 },
    );
  });
});
