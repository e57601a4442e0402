import { describe, expect, it } from '@jest/globals';
import { freshness } from '../../../src/domain/backup/freshness.js';
import { parseConfig } from '../../../src/config/load.js';
import { previousRuns } from '../../../src/config/schedule.js';
import type { Backup } from '../../../src/domain/backup/backup.js';
import { backupFacts } from '../records/samples.js';

const now = new Date('2026-11-21T12:00:00Z');

function clusterOf(policy = '', objectives = '{}') {
  const text = `version: 1
clusters:
  mairie:
    connection: { user: reprise }
    databases: [mairie]
    objectives: ${objectives}
    backups: { nightly-dump: { engine: logical, schedule: { cron: "30 1 * * *", catch_up: 6h } ${policy} } }
`;
  const found = parseConfig(text, '/etc/reprise/reprise.yml').config.clusters['mairie'];
  if (found === undefined) throw new Error('no cluster');
  return found;
}

const made = (startedAt: string, more: Partial<Backup> = {}): Backup => ({
  ...backupFacts(startedAt, { startedAt, finishedAt: startedAt, database: 'mairie' }),
  ...{ status: 'complete', heldUntil: null, proven: { level: 'verified', at: startedAt } },
  ...more,
});
const levels = (backups: readonly Backup[], at = now, cluster = clusterOf()) =>
  Object.fromEntries(freshness(cluster, backups, previousRuns, at).findings.map(({ check, level }) => [check, level]));

describe('freshness against the schedule', () => {
  it('last night: ok, with its age and its limits as figures', () => {
    const found = freshness(clusterOf(), [made('2026-11-21T01:30:02Z')], previousRuns, now);
    expect(found.findings).toMatchObject([
      { check: 'backup/mairie/nightly-dump/mairie', level: 'ok' },
      { check: 'proof/mairie/nightly-dump/mairie', level: 'ok' },
    ]);
    expect(found.figures[0]).toEqual({
      name: 'mairie/nightly-dump/mairie age',
      seconds: 37_798,
      warn: 37_860,
      crit: 124_260,
    });
  });

  it('one run missed is a warning once its catch-up window is over, two are a problem', () => {
    const night = [made('2026-11-20T01:30:02Z')];
    expect(levels(night)['backup/mairie/nightly-dump/mairie']).toBe('warning');
    expect(levels(night, new Date('2026-11-21T07:29:00Z'))['backup/mairie/nightly-dump/mairie']).toBe('ok');
    expect(levels([made('2026-11-19T01:30:02Z')])['backup/mairie/nightly-dump/mairie']).toBe('problem');
    expect(
      levels([made('2026-11-19T01:30:02Z')], new Date('2026-11-21T07:29:00Z'))['backup/mairie/nightly-dump/mairie'],
    ).toBe('warning');
    expect(levels([])['backup/mairie/nightly-dump']).toBe('problem');
  });

  it('a damaged or missing backup is none, and is said itself', () => {
    const found = levels([
      made('2026-11-20T01:30:02Z'),
      made('2026-11-21T01:30:02Z', { status: 'quarantined', proven: null }),
    ]);
    expect(found).toMatchObject({
      'backup/mairie/nightly-dump/mairie': 'warning',
      'backup/mairie/quarantined': 'warning',
    });
    expect(levels([made('2026-11-21T01:30:02Z', { status: 'missing', proven: null })])).toMatchObject({
      'backup/mairie/nightly-dump/mairie': 'problem',
      'backup/mairie/missing': 'warning',
    });
  });

  it('a database that nobody dumps is a problem although another is dumped', () => {
    const cluster = { ...clusterOf(), databases: ['mairie', 'archives'] };
    expect(levels([made('2026-11-21T01:30:02Z')], now, cluster)).toMatchObject({
      'backup/mairie/nightly-dump/mairie': 'ok',
      'backup/mairie/nightly-dump/archives': 'problem',
    });
  });
});

describe('proofs', () => {
  it('too old, none, or of a lower level than the policy asks for', () => {
    const unproven = made('2026-11-21T01:30:02Z', { proven: null });
    const check = 'proof/mairie/nightly-dump/mairie';
    expect(levels([made('2026-11-20T01:30:02Z'), unproven])[check]).toBe('ok');
    expect(levels([made('2026-11-18T01:30:02Z'), unproven])[check]).toBe('warning');
    expect(levels([unproven])[check]).toBe('warning');
    expect(levels([made('2026-11-18T01:30:02Z', { proven: null })])[check]).toBe('problem');
    expect(levels([made('2026-11-21T01:30:02Z')], now, clusterOf(', proof: restore'))[check]).toBe('warning');
    expect(levels([unproven], now, clusterOf(', proof: none'))[check]).toBeUndefined();
  });
});

it('without archived WAL, a newest backup older than the rpo is a problem; with it, the archive speaks', () => {
  const one = made('2026-11-21T01:30:02Z');
  expect(levels([one], now, clusterOf('', '{ rpo: 1h }'))['objective/mairie/rpo']).toBe('problem');
  expect(levels([one], now, clusterOf('', '{ rpo: 25h }'))['objective/mairie/rpo']).toBeUndefined();
  const wal = { start: '000000010000000000000001', stop: '000000010000000000000002' };
  expect(levels([{ ...one, wal }], now, clusterOf('', '{ rpo: 1h }'))['objective/mairie/rpo']).toBeUndefined();
});

it('B3: of backups that are restored in turn, one that was left out is told', () => {
  const cluster = clusterOf(', proof: { level: verify, restore_every: 2 }');
  const day = (n: number, level: 'verified' | 'restored') =>
    made(`2026-11-${n}T01:30:02Z`, { proven: { level, at: `2026-11-${n}T01:31:00Z` } });
  const level = (...backups: Backup[]) => levels(backups, now, cluster)['restore/mairie/nightly-dump/mairie'];
  expect(level(day(19, 'restored'), day(20, 'verified'), day(21, 'verified'))).toBe('ok');
  expect(level(day(18, 'restored'), day(19, 'verified'), day(20, 'verified'), day(21, 'verified'))).toBe('warning');
  expect(level(day(20, 'verified'), day(21, 'verified'))).toBe('ok');
  expect(level(day(19, 'verified'), day(20, 'verified'), day(21, 'verified'))).toBe('warning');
  // Where nobody asks for it, only what there is is said.
  const plain = (...backups: Backup[]) => levels(backups)['restore/mairie/nightly-dump/mairie'];
  expect([plain(day(21, 'verified')), plain(day(21, 'restored'))]).toEqual([undefined, 'ok']);
});
