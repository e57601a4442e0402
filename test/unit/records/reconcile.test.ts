import { describe, expect, it } from '@jest/globals';
import type { Backup, ListedBackup } from '../../../src/domain/backup/backup.js';
import { reconcile } from '../../../src/records/reconcile.js';
import { backupFacts } from './samples.js';

const place = { cluster: 'mairie', policy: 'nightly-dump', engine: 'logical', repository: 'local' };
const proven = { level: 'restored', at: '2026-11-20T03:00:00Z' } as const;
const recorded = (label: string, more: Partial<Backup> = {}): Backup => ({
  ...backupFacts(label),
  sha256: 'a'.repeat(64),
  status: 'complete',
  proven,
  heldUntil: 'infinity',
  ...more,
});
const listed = (label: string, more: Partial<ListedBackup> = {}): ListedBackup => ({
  label,
  type: 'full',
  startedAt: '2026-11-20T01:30:00Z',
  finishedAt: '2026-11-20T01:35:00Z',
  sizeBytes: 1234,
  ...more,
});
const one = (backups: Backup[], found: ListedBackup[]) => reconcile({ backups }, [{ ...place, listed: found }]);

describe('F13: what exists is what the engine lists', () => {
  it('recorded and listed: as recorded', () => {
    expect(one([recorded('a')], [listed('a', { sha256: 'a'.repeat(64) })])).toEqual([recorded('a')]);
  });

  it('recorded and not listed: missing, with nothing proven, the hold still shown', () => {
    expect(one([recorded('a')], [])).toEqual([recorded('a', { status: 'missing', proven: null })]);
  });

  it('listed in a cold class: cold, with its proof and its hold; damage is worse', () => {
    expect(one([recorded('a')], [listed('a', { cold: true })])).toEqual([recorded('a', { status: 'cold' })]);
    expect(one([], [listed('b', { cold: true })])).toMatchObject([{ status: 'cold', proven: null }]);
    expect(one([], [listed('b', { cold: true })])[0]).not.toHaveProperty('cold');
    expect(one([recorded('a')], [listed('a', { cold: true, damaged: 'its dump is missing' })])).toMatchObject([
      { status: 'quarantined' },
    ]);
  });

  it('listed and not recorded: complete, nothing proven', () => {
    expect(one([], [listed('b', { database: 'mairie' })])).toEqual([
      { ...backupFacts('b'), database: 'mairie', status: 'complete', proven: null, heldUntil: null },
    ]);
  });

  it('R14: of unknown origin and dated in the future, or quarantined before: quarantined; a recorded one stays what it is', () => {
    const now = new Date('2026-11-21T00:00:00Z');
    const ahead = { startedAt: '2099-01-01T00:00:00Z' };
    const statuses = (backups: Backup[], found: ListedBackup[], quarantined: readonly string[] = []) =>
      reconcile({ backups, quarantined: new Set(quarantined) }, [{ ...place, listed: found }], now).map(
        ({ status }) => status,
      );
    expect(statuses([], [listed('a', ahead)])).toEqual(['quarantined']);
    expect(statuses([], [listed('a')])).toEqual(['complete']);
    expect(statuses([], [listed('a')], ['mairie:logical:a'])).toEqual(['quarantined']);
    expect(statuses([recorded('a', ahead)], [listed('a', ahead)])).toEqual(['complete']);
  });

  it('listed without an end: running', () => {
    expect(one([], [listed('b', { finishedAt: null })])[0]).toMatchObject({ status: 'running', finishedAt: null });
  });

  it('F15: damaged, or another content than was recorded: quarantined, whatever was proven', () => {
    expect(one([recorded('a')], [listed('a', { damaged: 'checksum' })])).toEqual([
      recorded('a', { status: 'quarantined', proven: null }),
    ]);
    expect(one([recorded('a')], [listed('a', { sha256: 'c'.repeat(64) })])[0]).toMatchObject({
      status: 'quarantined',
      proven: null,
    });
    const [unknown] = one([], [listed('b', { damaged: 'checksum' })]);
    expect(unknown).toMatchObject({ status: 'quarantined' });
    expect(unknown).not.toHaveProperty('damaged');
  });

  it('R1: a part of a database is partial and not proven, recorded or not, cold or not; damaged, it is quarantined', () => {
    const partial = 'it holds definitions and no rows';
    expect(one([], [listed('a', { partial, cold: true })])[0]).toMatchObject({ status: 'partial', partial });
    expect(one([recorded('a')], [listed('a', { partial })])[0]).toMatchObject({ status: 'partial', proven: null });
    const known = recorded('a', { partial, status: 'partial', proven: null });
    expect(one([known], [listed('a', { partial, cold: true })])[0]?.status).toBe('partial');
    expect(one([known], [listed('a', { partial, damaged: 'checksum' })])[0]?.status).toBe('quarantined');
  });

  it('a quarantine on record is not lifted by a listing', () => {
    expect(one([recorded('a', { status: 'quarantined', proven: null })], [listed('a')])[0]?.status).toBe('quarantined');
  });

  it('a policy that was not listed stays as recorded; one label in two policies is two backups', () => {
    const other = recorded('a', { policy: 'other' });
    const both = one([recorded('a'), other], []);
    expect(both).toHaveLength(2);
    expect(both).toEqual(expect.arrayContaining([recorded('a', { status: 'missing', proven: null }), other]));
  });

  it('comes oldest first, whoever knew it', () => {
    const old = recorded('z', { startedAt: '2026-01-01T00:00:00Z' });
    expect(one([recorded('b'), old], [listed('a'), listed('b'), listed('z')]).map(({ label }) => label)).toEqual([
      'z',
      'a',
      'b',
    ]);
  });
});
