import { describe, expect, it } from '@jest/globals';
import type { Backup, Proof } from '../../../src/domain/backup/backup.js';
import { isCounted, isTrusted } from '../../../src/domain/backup/backup.js';
import type { CatalogueRecord } from '../../../src/domain/backup/records.js';
import { candidateBackups, type CapablePolicy } from '../../../src/domain/plan/choose-source.js';
import { planRetention } from '../../../src/domain/retention/retention.js';
import { foldRecords } from '../../../src/records/fold.js';
import { backupFacts } from '../records/samples.js';

const now = new Date('2026-11-21T03:00:00Z');
const at = '2026-11-21T02:00:00.000Z';
const dump = (id: string, more: Partial<Backup> = {}): Backup =>
  ({
    ...backupFacts(id),
    id,
    label: id,
    policy: 'nightly',
    database: 'mairie',
    heldUntil: null,
    proven: null,
    status: 'complete',
    ...more,
  }) as Backup;
const foreign = { adopted: { checked: false }, proven: { level: 'adopted', at } } as const;

/** What the records of one adopted backup come to. */
function folded(adopted: Backup['adopted'], ...levels: Proof['level'][]): Backup | undefined {
  const envelope = { at, prev: null, operationId: 'op', by: 'dba' };
  const records = [
    { ...envelope, kind: 'backup', backup: { ...backupFacts('one'), ...(adopted && { adopted }) } },
    ...levels.map((level) => ({
      ...envelope,
      kind: 'proof',
      backupId: backupFacts('one').id,
      proof: { level, at },
      detail: '',
    })),
  ].map((body, index) => ({ ...body, seq: index + 1, id: `r${index}` }));
  return foldRecords('mairie', records as unknown as CatalogueRecord[], now).backups[0];
}

describe('G8: an adopted backup of unknown origin has a level of its own', () => {
  it('read whole it is adopted, restore-tested here it is restored', () => {
    expect(folded({ checked: false }, 'verified')?.proven).toEqual({ level: 'adopted', at });
    expect(folded({ checked: false }, 'verified', 'restored')?.proven?.level).toBe('restored');
    expect(folded({ checked: false })?.proven).toBeNull();
    // R1: compared with the live database, as every dump is that is adopted.
    const perhaps = { checked: false, whole: false, unknown: 'the database has table a.b' };
    expect(folded({ checked: false, whole: true }, 'verified', 'restored')?.proven?.level).toBe('restored');
    expect(folded(perhaps, 'verified', 'restored')?.proven?.level).toBe('adopted');
    // Of this cluster by its system identifier, or our own.
    expect(folded({ checked: true }, 'verified')?.proven?.level).toBe('verified');
    expect(folded(undefined, 'verified')?.proven?.level).toBe('verified');
  });

  it('counts for nothing before that, and is not used unnamed', () => {
    expect([isCounted(dump('a', foreign)), isTrusted(dump('a', foreign))]).toEqual([false, false]);
    const tested = dump('a', { ...foreign, proven: { level: 'restored', at } });
    expect([isCounted(tested), isTrusted(tested)]).toEqual([true, true]);
    expect(isTrusted(dump('a'))).toBe(true);
  });

  it('does not count for min_proven: the newest verified one of our own stays', () => {
    const own = dump('own', {
      startedAt: '2026-10-01T01:00:00Z',
      finishedAt: '2026-10-01T01:01:00Z',
      proven: { level: 'verified', at },
    });
    const adopted = dump('adopted', {
      ...foreign,
      startedAt: '2026-11-20T01:00:00Z',
      finishedAt: '2026-11-20T01:01:00Z',
    });
    const { remove } = planRetention({
      backups: [own, adopted],
      retention: { days: 14, minProven: 1, maxDeletions: 10 },
      now,
      pinned: new Set(),
      locks: new Map(),
    } as never);
    expect(remove.map(({ id }) => id)).not.toContain('own');
  });

  it('R1: what is only a part of its database counts for nothing, restore-tested or not, and goes by age like a damaged one', () => {
    const envelope = { at, prev: null, operationId: 'op', by: 'dba' };
    const records = [
      { ...envelope, seq: 1, id: 'a', kind: 'backup', backup: { ...backupFacts('one'), partial: 'no rows' } },
      {
        ...envelope,
        seq: 2,
        id: 'b',
        kind: 'proof',
        backupId: backupFacts('one').id,
        proof: { level: 'restored', at },
      },
    ];
    const [partial] = foldRecords('mairie', records as unknown as CatalogueRecord[], now).backups;
    expect(partial).toMatchObject({ status: 'partial', proven: null });
    const own = dump('own', { proven: { level: 'verified', at }, startedAt: '2026-11-19T01:00:00Z', finishedAt: null });
    const parts = ['2026-11-18', '2026-11-20'].map((day) =>
      dump(day, { status: 'partial', startedAt: `${day}T01:00:00Z`, finishedAt: null }),
    );
    const { keep, remove } = planRetention({
      ...{ backups: [own, ...parts], retention: { count: 1, minProven: 1, maxDeletions: 10 }, now, pinned: new Set() },
    });
    expect(keep.map(({ id, reason }) => [id, reason])).toEqual([
      ['2026-11-20', 'partial, among the kept ones'],
      ['own', expect.stringContaining('newest verified')],
    ]);
    expect(remove).toEqual([{ id: '2026-11-18', reason: expect.stringMatching(/^partial, /) }]);
  });

  it('R1: takes no place of others by any rule of retention; as many of it stay beside them', () => {
    const day = (name: string, more: Partial<Backup>): Backup =>
      dump(name, { startedAt: `${name.slice(-10)}T01:00:00Z`, finishedAt: null, ...more });
    const own = ['own 2026-11-01', 'own 2026-11-05'].map((name) => day(name, { proven: { level: 'verified', at } }));
    const others = ['adopted 2026-11-02', 'adopted 2026-11-03', 'adopted 2026-11-04'].map((name) => day(name, foreign));
    for (const rules of [{ count: 2 }, { daily: 2 }]) {
      const { remove } = planRetention({
        ...{ backups: [...own, ...others], now, pinned: new Set() },
        retention: { ...rules, minProven: 1, maxDeletions: 10 },
      } as never);
      expect(remove.map(({ id }) => id)).toEqual(['adopted 2026-11-02']);
    }
  });

  it('is not chosen for latest; named, it is; with nothing else, it is refused with what to do', () => {
    const policy = {
      policy: { name: 'nightly', cluster: 'mairie', engine: 'logical' },
      capabilities: { method: 'databases', targets: ['latest', 'backup'], archivesWal: false },
    } as unknown as CapablePolicy;
    const order = (target: object) => ({ target, into: 'in-place', pause: false }) as never;
    const own = dump('own');
    const adopted = dump('adopted', foreign);
    const ids = (target: object, ...backups: Backup[]) =>
      candidateBackups(policy, order(target), backups).map(({ id }) => id);
    expect(ids({ kind: 'latest' }, own, adopted)).toEqual(['own']);
    expect(ids({ kind: 'backup', id: 'adopted' }, own, adopted)).toContain('adopted');
    expect(() => ids({ kind: 'latest' }, adopted)).toThrow(
      expect.objectContaining({ code: 'no-usable-backup', hint: expect.stringContaining('verify adopted --restore') }),
    );
  });
});
