import { describe, expect, it } from '@jest/globals';
import { foldRecords } from '../../../src/records/fold.js';
import { backupFacts, fact, numbered, samplePlan } from './samples.js';

const id = 'mairie:logical:a';
const now = new Date('2026-11-21T12:00:00Z');
const backup = fact({ kind: 'backup', backup: backupFacts('a') });
const fold = (...facts: Parameters<typeof numbered>) => foldRecords('mairie', numbered(...facts), now);
const proof = (level: 'verified' | 'restored', at: string) =>
  fact({ kind: 'proof', backupId: id, proof: { level, at }, detail: '' });
const quarantine = fact({ kind: 'quarantine', backupId: id, reason: 'hash differs' });

describe('state of the records', () => {
  it('a recorded backup is complete, unproven and not held', () => {
    expect(fold(backup).backups).toEqual([{ ...backupFacts('a'), status: 'complete', proven: null, heldUntil: null }]);
  });

  it('proven is the highest level, and the latest of that level', () => {
    const proofs = [
      proof('restored', '2026-11-20T03:00:00Z'),
      proof('restored', '2026-11-20T05:00:00Z'),
      proof('verified', '2026-11-20T09:00:00Z'),
    ];
    expect(fold(backup, ...proofs).backups[0]?.proven).toEqual({ level: 'restored', at: '2026-11-20T05:00:00Z' });
  });

  it('F15: a quarantine ends every proof; a proof after it, which read the whole again, lifts it', () => {
    const before = proof('restored', '2026-11-20T03:00:00Z');
    expect(fold(backup, before, quarantine).backups[0]).toMatchObject({ status: 'quarantined', proven: null });
    const after = proof('verified', '2026-11-20T04:00:00Z');
    expect(fold(backup, before, quarantine, after).backups[0]).toMatchObject({
      status: 'complete',
      proven: { level: 'verified' },
    });
  });

  it('a hold counts until its time, the last word counts, and release ends it', () => {
    const hold = (until: string) => fact({ kind: 'hold', backupId: id, until, reason: 'audit' });
    const held = (...facts: Parameters<typeof numbered>) => fold(backup, ...facts).backups[0]?.heldUntil;
    expect(held(hold('2026-11-21T12:00:01Z'))).toBe('2026-11-21T12:00:01Z');
    expect(held(hold('2026-11-21T12:00:00Z'))).toBeNull();
    expect(held(hold('infinity'))).toBe('infinity');
    expect(held(hold('infinity'), hold('2026-11-01T00:00:00Z'))).toBeNull();
    expect(held(hold('infinity'), fact({ kind: 'release', backupId: id }))).toBeNull();
  });

  it('a tombstone takes the backup out; a further record of it brings it back without its past', () => {
    const removed = fact({ kind: 'removed', backupId: id, reason: 'older than 14 days' });
    expect(fold(backup, removed).backups).toEqual([]);
    expect(fold(backup, proof('verified', '2026-11-20T03:00:00Z'), removed, backup).backups[0]?.proven).toBeNull();
  });

  it('facts about a backup that no record made are passed over', () => {
    expect(fold(proof('verified', '2026-11-20T03:00:00Z'), quarantine).backups).toEqual([]);
  });

  it('R14: but for a quarantine, which counts for what somebody has copied there, until it was verified or recorded', () => {
    const ids = (...records: Parameters<typeof fold>): readonly string[] => [...fold(...records).quarantined];
    expect(ids(quarantine)).toEqual([id]);
    expect(ids(quarantine, proof('verified', '2026-11-20T03:00:00Z'))).toEqual([]);
    expect(ids(quarantine, backup)).toEqual([]);
  });

  it('backups come oldest first', () => {
    const older = fact({ kind: 'backup', backup: backupFacts('b', { startedAt: '2026-11-01T00:00:00Z' }) });
    expect(fold(backup, older).backups.map(({ label }) => label)).toEqual(['b', 'a']);
  });

  it('pins, by operation, until unpinned', () => {
    const pin = (operationId: string, ...backupIds: string[]) =>
      fact({ kind: 'pin', backupIds, walFrom: '000000010000000000000003' }, { operationId });
    const state = fold(
      pin('op-1', 'x'),
      pin('op-2', 'x', 'y'),
      pin('op-1', 'z'),
      fact({ kind: 'unpin' }, { operationId: 'op-2' }),
    );
    expect([...state.pins.keys()]).toEqual(['op-1']);
    expect(state.pinnedBackups()).toEqual(new Set(['z']));
    expect(state.pins.get('op-1')?.walFrom).toBe('000000010000000000000003');
  });

  it('old data put aside, until it is dropped', () => {
    const kept = (keptId: string) =>
      fact({ kind: 'kept', keptId, what: 'data directory', where: '/old', sizeBytes: 7, host: 'db1' });
    const state = fold(kept('k1'), kept('k2'), fact({ kind: 'kept-dropped', keptId: 'k1' }));
    expect(state.kept).toEqual([
      {
        id: 'k2',
        cluster: 'mairie',
        what: 'data directory',
        where: '/old',
        host: 'db1',
        sizeBytes: 7,
        since: '2026-11-21T02:00:00Z',
        operationId: 'op-1',
      },
    ]);
  });

  it('the last proof of each key, with who gave it', () => {
    const proof = (recipient: string, at: string, by: string) => fact({ kind: 'key-proof', recipient }, { at, by });
    const state = fold(
      proof('age1a', '2025-01-01T00:00:00Z', 'ann'),
      proof('age1b', '2025-02-01T00:00:00Z', 'ben'),
      proof('age1a', '2026-01-01T00:00:00Z', 'cam'),
    );
    expect([...state.keyProofs]).toEqual([
      ['age1a', { at: '2026-01-01T00:00:00Z', by: 'cam' }],
      ['age1b', { at: '2025-02-01T00:00:00Z', by: 'ben' }],
    ]);
  });

  it('plans with their use, approvals, refusals, incidents with their history, journal and outcome', () => {
    const plan = samplePlan();
    const approval = { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'go' };
    const incident = (state: string, at: string) =>
      fact({ kind: 'incident', incidentId: 'i', scenario: 'instance-loss', state, text: state }, { at });
    const outcome = {
      target: { requested: 'latest', reached: 'latest' },
      rtoSeconds: 60,
      waitedForPeopleSeconds: 10,
      rpoSeconds: 0,
      lastCommitAt: null,
      lastLsn: null,
      phases: [],
      checks: [],
      report: 'mairie/incidents/op-1.md',
    };
    const state = fold(
      fact({ kind: 'plan', plan }),
      fact({ kind: 'approval', digest: plan.digest, approval, assurance: 'asserted' }),
      fact({ kind: 'refusal', digest: plan.digest, by: 'eve', code: 'approval-refused', reason: 'not listed' }),
      fact({ kind: 'plan-used', digest: plan.digest }, { at: '2026-11-21T03:00:00Z' }),
      // Made again with the same binding: it stays used.
      fact({ kind: 'plan', plan }),
      incident('suspected', '2026-11-21T01:00:00Z'),
      incident('confirmed', '2026-11-21T02:00:00Z'),
      fact({ kind: 'journal', workflowId: 'w', step: 'restore', text: 'one' }),
      fact({ kind: 'journal', workflowId: 'w', step: 'restore', text: 'other' }, { operationId: 'op-2' }),
      fact({ kind: 'outcome', workflowId: 'w', outcome }),
      fact({ kind: 'backup-failed', policy: 'p', reason: 'full', code: 'storage-full' }),
      fact({ kind: 'backup-skipped', policy: 'p', reason: 'disabled' }),
    );
    expect(state.plans.get(plan.digest)).toMatchObject({ plan, usedAt: '2026-11-21T03:00:00Z' });
    expect(state.approvals).toMatchObject([{ digest: plan.digest, approval, assurance: 'asserted' }]);
    expect(state.refusals).toMatchObject([{ by: 'eve', code: 'approval-refused' }]);
    expect(state.incidents.get('i')).toMatchObject({
      state: 'confirmed',
      openedAt: '2026-11-21T01:00:00Z',
      updatedAt: '2026-11-21T02:00:00Z',
    });
    expect(state.incidents.get('i')?.history.map((entry) => entry.state)).toEqual(['suspected', 'confirmed']);
    expect(state.journalOf('op-1').map(({ text }) => text)).toEqual(['one']);
    expect(state.journalOf('none')).toEqual([]);
    expect(state.outcomes.get('op-1')).toMatchObject({ outcome, workflowId: 'w' });
    expect(state.unmade.map(({ kind, code }) => [kind, code])).toEqual([
      ['failed', 'storage-full'],
      ['skipped', null],
    ]);
  });
});
