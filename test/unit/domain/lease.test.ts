import { describe, expect, it } from '@jest/globals';
import {
  type LeaseClaim,
  type LeaseRule,
  type LeaseState,
  leave,
  noLeases,
  request,
  restore,
} from '../../../src/domain/operation/lease.js';
import { type LockGrant, type OwnedClaim, clusterLockRule } from '../../../src/domain/operation/locks.js';

const NOW = Date.parse('2026-11-29T01:30:00Z');
const policies = { policy: 'nightly', engine: 'logical', repository: 'local' };
const backup = (name: string, runId = `${name}-1`): OwnedClaim => ({
  ...policies,
  kind: 'backup',
  workflowId: name,
  runId,
  operationId: `${name}@${runId}`,
});
const recovery = (name: string): OwnedClaim => ({ ...backup(name), kind: 'recovery', repository: '*', intent: true });

/** The lock of one cluster, fed as its workflow feeds it. */
class Lock {
  state: LeaseState<OwnedClaim> = noLeases;
  private now = NOW;
  /** Owners granted from the queue, in this order. */
  readonly told: string[] = [];

  ask(claim: OwnedClaim, more: { waits?: boolean; lost?: number } = {}): string {
    const { state, granted, answer } = request(clusterLockRule, this.state, { claim, ...more }, (this.now += 1000));
    this.keep(state, granted);
    return answer.granted
      ? 'granted'
      : `${answer.holder.workflowId}${answer.holder.token === undefined ? ' waits' : ''}`;
  }

  leave(claim: OwnedClaim, token?: number): void {
    const { state, granted } = leave(clusterLockRule, this.state, claim, (this.now += 1000), token);
    this.keep(state, granted);
  }

  holding(): string[] {
    return this.state.holders.map(({ workflowId }) => workflowId);
  }

  private keep(state: LeaseState<OwnedClaim>, granted: readonly LockGrant[]): void {
    this.state = state;
    this.told.push(...granted.map(({ workflowId }) => workflowId));
  }
}

describe('the lock of a cluster as a lease', () => {
  it('L2: a holder is an execution: a later run with the same id does not find itself', () => {
    const lock = new Lock();
    expect(lock.ask(backup('backup/c/p', 'first'))).toBe('granted');
    expect(lock.ask(backup('backup/c/p', 'second'))).toBe('backup/c/p');
    expect(lock.state.holders.map(({ runId }) => runId)).toEqual(['first']);
    lock.leave(backup('backup/c/p', 'first'));
    expect(lock.ask(backup('backup/c/p', 'second'))).toBe('granted');
  });

  it('L4: while an approved recovery waits, no backup, rotation or repair is granted, and it is next', () => {
    const lock = new Lock();
    lock.ask(backup('night'));
    expect(lock.ask(backup('waiting'), { waits: true })).toBe('night');
    expect(lock.ask(recovery('r'), { waits: true })).toBe('night');
    const physical = { policy: 'physical', engine: 'pgbackrest', repository: 'offsite' };
    for (const kind of ['backup', 'rotation', 'table-repair'] as const)
      expect(lock.ask({ ...backup('other'), ...physical, kind })).toBe('r waits');
    expect(lock.ask({ ...backup('drill'), kind: 'drill' })).toBe('granted');
    lock.leave(backup('night'));
    expect(lock.told).toEqual(['r']);
    lock.leave(recovery('r'));
    expect(lock.told).toEqual(['r', 'waiting']);
  });

  it('L4: a recovery that was rejected or is closed loses its intent', () => {
    const lock = new Lock();
    lock.ask(backup('night'));
    lock.ask(recovery('r'), { waits: true });
    lock.leave(recovery('r'));
    expect(lock.ask({ ...backup('other'), engine: 'pgbackrest', policy: 'p', repository: 'q' })).toBe('granted');
    expect(lock.state.queue).toEqual([]);
  });

  it('F46: a claim asked again keeps its place and its token; a late release of an earlier grant frees nothing', () => {
    const lock = new Lock();
    lock.ask(backup('a'));
    const [first] = lock.state.holders;
    lock.ask(backup('b'), { waits: true });
    lock.ask(backup('c'), { waits: true });
    lock.ask(backup('b'), { waits: true });
    expect(lock.ask(backup('a'))).toBe('granted');
    expect(lock.state.holders).toEqual([first]);
    lock.leave(backup('a'));
    expect(lock.told).toEqual(['b']);
    lock.leave(backup('b'));
    lock.leave(backup('c'));
    lock.ask(backup('a'));
    lock.leave(backup('a'), first?.token);
    expect(lock.holding()).toEqual(['a']);
  });

  it('L3: a claim whose token a host refused gets a greater one, after whoever was granted meanwhile', () => {
    const lock = new Lock();
    lock.ask(recovery('r'));
    const lost = lock.state.holders[0]?.token ?? 0;
    lock.state = noLeases;
    lock.ask(backup('night'));
    expect(lock.ask(recovery('r'), { waits: true, lost })).toBe('night');
    lock.leave(backup('night'));
    expect(lock.told).toEqual(['r']);
    expect(lock.ask(recovery('r'), { waits: true, lost })).toBe('granted');
    expect(lock.state.holders[0]?.token).toBeGreaterThan(lost);
    // The lock itself may still name it: the token is new all the same.
    const again = lock.state.holders[0]?.token ?? 0;
    expect(lock.ask(recovery('r'), { waits: true, lost: again })).toBe('granted');
    expect(lock.state.holders[0]?.token).toBeGreaterThan(again);
  });

  it('L3: a lock that lost its state knows again who was granted; of two that exclude each other the later one', () => {
    const held = (claim: OwnedClaim, token: number): LockGrant => ({ ...claim, since: '2026-11-29T01:00:00Z', token });
    const drill: OwnedClaim = { ...backup('drill'), kind: 'drill' };
    const lock = new Lock();
    lock.state = restore(clusterLockRule, noLeases, [held(backup('a'), 5), held(recovery('r'), 9), held(drill, 3)]);
    expect(lock.holding().sort()).toEqual(['drill', 'r']);
    expect(lock.ask(backup('a'))).toBe('r');
    lock.leave(recovery('r'));
    lock.ask(backup('a'));
    expect(lock.state.lastToken).toBeGreaterThan(9);
  });
});

describe('slots of a host as leases', () => {
  const slots: LeaseRule<LeaseClaim> = { capacity: () => 2, conflicts: () => false, same: () => true };
  const owner = (name: string, more: Partial<LeaseClaim> = {}): LeaseClaim => ({
    workflowId: name,
    runId: name,
    operationId: name,
    ...more,
  });

  it('L5: no more hold than there are slots, the others in their order, those with an intent first', () => {
    let state: LeaseState<LeaseClaim> = noLeases;
    const answers: boolean[] = [];
    for (const claim of [
      owner('a'),
      owner('b'),
      owner('c'),
      owner('d'),
      owner('urgent', { intent: true }),
      owner('a'),
    ]) {
      const change = request(slots, state, { claim, waits: true }, NOW);
      ({ state } = change);
      answers.push(change.answer.granted);
    }
    expect(answers).toEqual([true, true, false, false, false, true]);
    const freed: string[] = [];
    for (const name of ['a', 'b', 'urgent', 'c', 'd']) {
      const change = leave(slots, state, owner(name), NOW);
      ({ state } = change);
      freed.push(...change.granted.map(({ workflowId }) => workflowId));
    }
    expect(freed).toEqual(['urgent', 'c', 'd']);
    expect(state).toMatchObject({ holders: [], queue: [] });
  });

  it('L5: who gives way is told who has the slots, and takes no place', () => {
    let { state } = request(slots, noLeases, { claim: owner('a') }, NOW);
    ({ state } = request(slots, state, { claim: owner('b') }, NOW));
    const change = request(slots, state, { claim: owner('c') }, NOW);
    expect(change.answer).toMatchObject({ granted: false, holder: { workflowId: 'a' } });
    expect(change.state.queue).toEqual([]);
  });
});
