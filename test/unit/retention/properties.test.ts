import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Backup, BackupStatus } from '../../../src/domain/backup/backup.js';
import type { RetentionConfig } from '../../../src/domain/config.js';
import { boundedOutput, planRetention, type RetentionInput } from '../../../src/domain/retention/retention.js';
import { backupOf } from './cases.js';

const now = new Date('2026-11-21T12:00:00Z');
const hour = 3_600_000;

/** Chains as engines make them: an incremental needs some earlier backups, all listed by label. */
const backups = fc
  .array(
    fc.record({
      hoursAgo: fc.integer({ min: 1, max: 24 * 60 }),
      proven: fc.constantFrom(null, null, 'verified' as const, 'restored' as const),
      status: fc.constantFrom<BackupStatus>(
        'complete',
        'complete',
        'complete',
        'complete',
        'cold',
        'quarantined',
        'failed',
        'missing',
        'running',
      ),
      heldUntil: fc.constantFrom(null, null, null, 'infinity', '2026-11-21T11:00:00Z', '2027-01-01T00:00:00Z'),
      pinned: fc.boolean(),
      needs: fc.array(fc.nat(30), { maxLength: 2 }),
      database: fc.constantFrom(undefined, 'a', 'b'),
    }),
    { maxLength: 25 },
  )
  .map((drawn) => {
    const oldestFirst = [...drawn].sort((left, right) => right.hoursAgo - left.hoursAgo);
    const pinned = new Set<string>();
    const made = oldestFirst.map((one, index): Backup => {
      const at = new Date(now.getTime() - one.hoursAgo * hour).toISOString();
      if (one.pinned && index % 5 === 0) pinned.add(`b${index}`);
      const earlier = one.needs.filter((other) => other < index && oldestFirst[other]?.database === one.database);
      const line = { label: `b${index}`, at, status: one.status, heldUntil: one.heldUntil, database: one.database };
      return backupOf({ ...line, dependsOn: earlier.map((other) => `b${other}`), proven: one.proven ?? undefined });
    });
    return { backups: made, pinned };
  });

const rule = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined });
const retention: fc.Arbitrary<RetentionConfig> = fc.record({
  days: rule(40),
  count: rule(10),
  daily: rule(10),
  weekly: rule(5),
  monthly: rule(3),
  yearly: rule(2),
  minProven: fc.integer({ min: 1, max: 3 }),
  maxDeletions: fc.constant(1000),
});

const input: fc.Arbitrary<RetentionInput> = fc
  .tuple(backups, retention)
  .map(([of, rules]) => ({ ...of, retention: rules, now }));
const ids = (verdicts: readonly { id: string }[]) => new Set(verdicts.map(({ id }) => id));
const good = ({ status }: Backup) => status === 'complete' || status === 'cold';
/** Proven as the faults demand it: with all it needs there and sound. */
const proven = (all: readonly Backup[], database: string | undefined) => {
  const group = all.filter((backup) => backup.database === database);
  const sound = (label: string) => group.some((other) => other.label === label && good(other));
  return group
    .filter((backup) => backup.proven !== null && good(backup) && (backup.dependsOn ?? []).every(sound))
    .sort((left, right) => Date.parse(right.finishedAt ?? '') - Date.parse(left.finishedAt ?? ''));
};
const databases = [undefined, 'a', 'b'];

describe('whatever the backups and the rules', () => {
  it('B3: every backup is judged once, with a reason', () => {
    fc.assert(
      fc.property(input, (given) => {
        const { keep, remove } = planRetention(given);
        expect([...keep, ...remove].map(({ id }) => id).sort()).toEqual(given.backups.map(({ id }) => id).sort());
        for (const { reason } of [...keep, ...remove]) expect(reason).not.toBe('');
      }),
    );
  });

  it('B3, F29: never removes what is held, in use, running or missing', () => {
    fc.assert(
      fc.property(input, (given) => {
        const removed = ids(planRetention(given).remove);
        for (const backup of given.backups.filter(({ id }) => removed.has(id))) {
          expect(backup.heldUntil === null || backup.heldUntil === '2026-11-21T11:00:00Z').toBe(true);
          expect(given.pinned.has(backup.id)).toBe(false);
          expect(['running', 'missing']).not.toContain(backup.status);
        }
      }),
    );
  });

  it('B3, F30: of each database the newest of the highest level and the newest proven stay, and so many of them', () => {
    fc.assert(
      fc.property(input, (given) => {
        const removed = ids(planRetention(given).remove);
        for (const database of databases) {
          const sorted = proven(given.backups, database);
          const restored = sorted.find((backup) => backup.proven?.level === 'restored');
          const must = [...(restored ? [restored] : []), ...sorted.slice(0, given.retention.minProven)];
          for (const { id } of must) expect(removed).not.toContain(id);
          if (sorted.length < given.retention.minProven) {
            for (const { id } of given.backups.filter((backup) => backup.database === database))
              expect(removed).not.toContain(id);
          }
        }
      }),
    );
  });

  it('B3, F14: what the storage has locked stays, with all it needs, and a database that failed in this run loses nothing', () => {
    const until = '2027-01-01T00:00:00Z';
    fc.assert(
      fc.property(input, fc.array(fc.nat(24), { maxLength: 4 }), fc.constantFrom('a', 'b'), (given, drawn, failed) => {
        const locked = new Map(drawn.flatMap((index) => given.backups[index]?.id ?? []).map((id) => [id, until]));
        const { keep, remove } = planRetention({ ...given, locked, failed: [failed] });
        const removed = ids(remove);
        for (const backup of given.backups.filter(({ id }) => locked.has(id))) {
          expect(keep.find(({ id }) => id === backup.id)?.reason).toContain(`object lock until ${until}`);
          if (backup.status !== 'missing')
            for (const label of backup.dependsOn ?? []) expect(removed).not.toContain(label);
        }
        for (const backup of given.backups) if (backup.database === failed) expect(removed).not.toContain(backup.id);
      }),
    );
  });

  it('B3: the newest restore-tested chain stays however old it is, beside any rule, until a newer one is restore-tested', () => {
    fc.assert(
      fc.property(retention, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 }), (rules, chain, newer) => {
        const at = (days: number) => new Date(now.getTime() - days * 24 * hour).toISOString();
        const old = Array.from({ length: chain }, (_, index) =>
          backupOf({
            ...{ label: `old${index}`, at: at(3000 - index) },
            dependsOn: Array.from({ length: index }, (_none, before) => `old${before}`),
            proven: index === chain - 1 ? 'restored' : undefined,
          }),
        );
        const verified = Array.from({ length: newer }, (_, index) =>
          backupOf({ label: `new${index}`, at: at(newer - index), proven: 'verified' }),
        );
        const plan = (backups: readonly Backup[]) =>
          ids(planRetention({ backups, retention: rules, now, pinned: new Set() }).remove);
        for (const { id } of old) expect(plan([...old, ...verified])).not.toContain(id);
        const hasRule = [rules.days, rules.count, rules.daily, rules.weekly, rules.monthly, rules.yearly].some(Boolean);
        const enough = newer >= Math.max(rules.minProven, rules.count ?? 0);
        const isByAge =
          rules.days !== undefined &&
          [rules.daily, rules.weekly, rules.monthly, rules.yearly].every((one) => one === undefined);
        if (!hasRule || !enough || !isByAge) return;
        const tested = [...verified.slice(0, -1), backupOf({ label: 'tested', at: at(0.5), proven: 'restored' })];
        if (tested.length < Math.max(rules.minProven, rules.count ?? 0)) return;
        for (const { id } of old) expect(plan([...old, ...tested])).toContain(id);
      }),
    );
  });

  it('F30: what a kept backup needs stays, and dependants go first', () => {
    fc.assert(
      fc.property(input, (given) => {
        const { keep, remove } = planRetention(given);
        const byId = new Map(given.backups.map((backup) => [backup.id, backup]));
        const removed = ids(remove);
        for (const { id } of keep) {
          const backup = byId.get(id);
          if (backup?.status !== 'missing')
            for (const label of backup?.dependsOn ?? []) expect(removed).not.toContain(label);
        }
        const gone = new Set<string>();
        for (const { id } of remove) {
          for (const label of byId.get(id)?.dependsOn ?? []) expect(gone).not.toContain(label);
          gone.add(id);
        }
      }),
    );
  });

  it('idempotent: after a rotation there is nothing more to remove', () => {
    fc.assert(
      fc.property(input, (given) => {
        const removed = ids(planRetention(given).remove);
        const left = given.backups.filter(({ id }) => !removed.has(id));
        expect(planRetention({ ...given, backups: left }).remove).toEqual([]);
      }),
    );
  });

  it('an interrupted rotation goes on to the same end', () => {
    fc.assert(
      fc.property(input, fc.nat(), (given, cut) => {
        const { remove } = planRetention(given);
        const first = ids(remove.slice(0, remove.length === 0 ? 0 : cut % remove.length));
        const left = given.backups.filter(({ id }) => !first.has(id));
        expect(ids(planRetention({ ...given, backups: left }).remove)).toEqual(
          ids(remove.filter(({ id }) => !first.has(id))),
        );
      }),
    );
  });

  it('monotone: a longer or further rule, a hold or a pin never removes more', () => {
    const more = fc.record({
      days: fc.nat(20),
      count: fc.nat(5),
      daily: fc.nat(5),
      weekly: fc.nat(3),
      monthly: fc.nat(2),
      yearly: fc.nat(1),
    });
    fc.assert(
      fc.property(input, more, fc.nat(), (given, added, which) => {
        const removed = ids(planRetention(given).remove);
        const { days, ...rules } = given.retention;
        const wider: RetentionConfig = { ...rules, ...(days === undefined ? {} : { days: days + added.days }) };
        const raised = Object.fromEntries(
          (['count', 'daily', 'weekly', 'monthly', 'yearly'] as const).map((name) => [
            name,
            wider[name] === undefined ? undefined : wider[name] + added[name],
          ]),
        );
        const chosen = given.backups[which % Math.max(1, given.backups.length)];
        const pinned = new Set([...given.pinned, ...(chosen ? [chosen.id] : [])]);
        for (const { id } of planRetention({ ...given, pinned, retention: { ...wider, ...raised } }).remove)
          expect(removed).toContain(id);
      }),
    );
  });

  it('F30: never more than allowed, and where it is refused nothing at all', () => {
    fc.assert(
      fc.property(input, fc.integer({ min: 1, max: 5 }), (given, most) => {
        const free = planRetention(given).remove.length;
        const plan = planRetention({ ...given, retention: { ...given.retention, maxDeletions: most } });
        expect(plan.remove).toHaveLength(free > most ? 0 : free);
        expect(plan.refused !== undefined).toBe(free > most);
      }),
    );
  });

  it('F27: with a clock behind the newest backup nothing goes', () => {
    fc.assert(
      fc.property(
        input.filter(({ backups: all }) => all.length > 0),
        fc.integer({ min: 61, max: 1e6 }),
        (given, secondsBehind) => {
          const newest = Math.max(
            ...given.backups.map(({ startedAt, finishedAt }) => Date.parse(finishedAt ?? startedAt)),
          );
          const plan = planRetention({ ...given, now: new Date(newest - secondsBehind * 1000) });
          expect(plan.remove).toEqual([]);
          expect(plan.refused?.reason).toContain('clock');
        },
      ),
    );
  });

  it('F40: 10,000 backups are judged at once', () => {
    const many = Array.from({ length: 10_000 }, (_, index) =>
      backupOf({
        label: `b${index}`,
        at: new Date(now.getTime() - index * hour).toISOString(),
        proven: 'verified',
        dependsOn: index % 7 === 6 ? [] : [`b${index + 1}`],
      }),
    );
    const plan = planRetention({
      backups: many,
      retention: { days: 30, minProven: 2, maxDeletions: 100_000 },
      now,
      pinned: new Set(),
    });
    expect(plan.keep.length).toBeGreaterThanOrEqual(30 * 24);
    expect(plan.keep.length + plan.remove.length).toBe(10_000);
  });

  it('L13: the result of a rotation fits into one payload, however many backups are kept', () => {
    const keep = Array.from({ length: 40_000 }, (_, n) => ({
      id: `mairie:pgbackrest:${n}`,
      reason: 'newer than the newest verified',
    }));
    const output = { keep, remove: [], removed: [] };
    const bounded = boundedOutput(output);
    expect(JSON.stringify(bounded).length).toBeLessThan(256 * 1024);
    expect([bounded.keep[0], bounded.keep.length + (bounded.keptMore ?? 0)]).toEqual([keep[0], 40_000]);
    expect(boundedOutput({ ...output, keep: keep.slice(0, 10) })).not.toHaveProperty('keptMore');
  });
});
