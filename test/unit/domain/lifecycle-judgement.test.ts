import { describe, expect, it } from '@jest/globals';
import type { Backup } from '../../../src/domain/backup/backup.js';
import type { PolicyConfig, RetentionConfig } from '../../../src/domain/config.js';
import { checkLifecycle, promisesOf, promisesOfBackups } from '../../../src/domain/storage/lifecycle-rules.js';
import { diffOf } from '../../../src/domain/storage/storage-plan.js';
import type { AgeRule } from '../../../src/domain/storage/storage-plan.js';

const retention = (rules: Partial<RetentionConfig>): RetentionConfig => ({ minProven: 2, maxDeletions: 10, ...rules });
const policy = (rules: Partial<RetentionConfig>) =>
  ({ name: 'dump', cluster: 'mairie', retention: retention(rules) }) as PolicyConfig;
const cold = (days: number, storageClass = 'DEEP_ARCHIVE'): AgeRule => ({
  name: '"reprise/"',
  ours: true,
  transitions: [{ days, storageClass }],
  noncurrentTransitions: [],
});
const within = (rtoSeconds?: number) => ({ objectives: rtoSeconds === undefined ? {} : { rtoSeconds } });
const judge = (rules: AgeRule[], config: PolicyConfig, rtoSeconds?: number) =>
  checkLifecycle(rules, promisesOf(config, within(rtoSeconds)), [config]);
const HOUR = 3600;

describe('P3: a lifecycle against what retention and recovery time promise', () => {
  it.each([
    ['P3 itself with 14 days', 365, { days: 14 }, 4 * HOUR, 0],
    ['as long as retention: still in time', 365, { days: 365 }, 4 * HOUR, 0],
    ['one day longer', 365, { days: 366 }, 4 * HOUR, 1],
    ['weekly for two years', 365, { weekly: 104 }, 4 * HOUR, 1],
    ['yearly and monthly, each named', 365, { yearly: 3, monthly: 24 }, 4 * HOUR, 2],
    ['a recovery that may take a day', 365, { days: 400 }, 24 * HOUR, 0],
    ['twelve hours are just enough', 365, { days: 400 }, 12 * HOUR, 0],
  ])('%s', (_what, days, rules, rto, refused) => {
    expect(judge([cold(days)], policy(rules), rto).refusals).toHaveLength(refused);
  });

  it('names rule, retention and recovery time, and what to change', () => {
    const [refusal] = judge([cold(30, 'GLACIER')], policy({ days: 60 }), 60).refusals;
    expect(refusal?.text).toBe(
      'rule "reprise/": GLACIER after 30 days, and the backup is kept longer (policy mairie/dump: retention.days 60): a thaw takes at least 5 min 00 s (Expedited), objectives.rto allows 1 min 00 s',
    );
    expect(refusal?.hint).toContain('to 60 or more');
  });

  it('GLACIER thaws in five minutes, and classes that are read at once contradict nothing', () => {
    expect(
      judge([cold(30, 'GLACIER'), cold(30, 'STANDARD_IA'), cold(30, 'GLACIER_IR')], policy({ days: 60 }), HOUR),
    ).toEqual({ refusals: [], notes: [] });
  });

  it('without objectives.rto the thaw is only said', () => {
    const { refusals, notes } = judge([cold(30)], policy({ days: 60 }));
    expect(refusals).toEqual([]);
    expect(notes).toEqual([
      expect.objectContaining({ level: 'warning', text: expect.stringContaining('12 h 00 min') }),
    ]);
  });

  it('an expiration of current objects breaks min_proven, however late it comes', () => {
    const rule: AgeRule = { name: '"old"', ours: false, transitions: [], expireDays: 5000, noncurrentTransitions: [] };
    expect(judge([rule], policy({ days: 14 })).refusals.map(({ promise }) => promise)).toEqual([
      'policy mairie/dump: retention.min_proven 2',
    ]);
  });

  it('noncurrent versions that go sooner than retention reaches are said', () => {
    const rule: AgeRule = {
      name: '"reprise/"',
      ours: true,
      transitions: [],
      noncurrentTransitions: [],
      noncurrentExpireDays: 30,
    };
    expect(judge([rule], policy({ days: 60 })).notes).toEqual([
      expect.objectContaining({ text: expect.stringContaining('30 days only') }),
    ]);
    expect(judge([{ ...rule, noncurrentExpireDays: 60 }], policy({ days: 60 })).notes).toEqual([]);
  });

  it('backups that are there: what min_proven keeps though it is old, and holds, are promises too', () => {
    const now = new Date('2026-11-21T00:00:00Z');
    const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000).toISOString();
    const backup = (id: string, age: number, more: Partial<Backup> = {}): Backup =>
      ({
        id,
        policy: 'dump',
        status: 'complete',
        startedAt: daysAgo(age),
        finishedAt: daysAgo(age),
        proven: { level: 'verified', at: daysAgo(age) },
        heldUntil: null,
        ...more,
      }) as Backup;
    const backups = [
      backup('a', 500),
      backup('b', 400),
      backup('c', 10),
      backup('d', 3, { proven: null }),
      backup('e', 2, { proven: null, heldUntil: 'infinity' }),
      backup('f', 900, { status: 'missing' }),
      backup('g', 1, { policy: 'other' }),
    ];
    const promises = promisesOfBackups(backups, policy({ days: 14 }), within(HOUR), now);
    expect(promises.map(({ promise, days }) => [promise, days])).toEqual([
      ['backup e: held until infinity', Infinity],
      ['backup c: kept by retention.min_proven 2', 10],
      ['backup b: kept by retention.min_proven 2', 400],
    ]);
    expect(checkLifecycle([cold(365)], promises, []).refusals.map(({ promise }) => promise.split(':')[0])).toEqual([
      'backup e',
      'backup b',
    ]);
  });
});

it('P3: a diff keeps what stays, and shows what goes before what comes', () => {
  expect(diffOf({ is: ['a', 'b'], wanted: ['b', 'c'] })).toEqual(['- a', '  b', '+ c']);
});
