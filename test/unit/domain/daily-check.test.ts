import { describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.js';
import { previousRuns } from '../../../src/config/schedule.js';
import { dailyCheck } from '../../../src/domain/backup/daily-check.js';
import type { Config } from '../../../src/domain/config.js';
import { ok, problem, warning } from '../../../src/domain/findings.js';
import { noticeText } from '../../../src/domain/notification/notice-text.js';
import {
  owedUntil,
  type ScheduleState,
  scheduleProblem,
  schedulesOf,
} from '../../../src/domain/operation/schedules.js';

const monday = '2026-11-23T06:20:00.000Z';
const later = (hours: number): string => new Date(Date.parse(monday) + hours * 3_600_000).toISOString();
const late = problem('schedule/reprise/mairie/nightly', 'it did not start', 'reprise schedule trigger');
const damaged = warning('backup/mairie/quarantined', '1 backup is quarantined', 'reprise backup verify');

describe('K7: what a daily check tells', () => {
  it('a problem once a day while it lasts, a warning once, and both once when they are over', () => {
    const first = dailyCheck([late, damaged, ok('wal/mairie/p', 'all is well')], [], monday);
    expect(first.told).toEqual([late.check, damaged.check]);
    expect(first.open.map(({ since }) => since)).toEqual([monday, monday]);
    // The same morning, by hand; the next one, a few minutes early.
    expect(dailyCheck([damaged, late], first.open, later(2)).told).toEqual([]);
    const second = dailyCheck([damaged, late], first.open, later(23.8));
    expect(second).toMatchObject({ told: [late.check], over: [] });
    expect(second.open[0]).toMatchObject({ since: monday, toldAt: later(23.8) });
    const third = dailyCheck([ok(late.check, 'it runs')], second.open, later(48));
    expect(third).toMatchObject({ open: [], told: [], over: [{ check: late.check }, { check: damaged.check }] });
    expect(dailyCheck([], third.open, later(72))).toEqual({ open: [], told: [], over: [] });
  });

  it('a warning that becomes a problem is told at once', () => {
    const { open } = dailyCheck([damaged], [], monday);
    expect(dailyCheck([{ ...damaged, level: 'problem' }], open, later(1)).told).toEqual([damaged.check]);
  });

  it('what could not be looked at is not over', () => {
    const gap = problem('wal/mairie/physical', 'a gap', 'a full backup');
    const { open } = dailyCheck([gap, late], [], monday);
    const unseen = problem('wal/mairie', 'it cannot be determined', 'reprise doctor');
    const next = dailyCheck([unseen], open, later(24), ['wal/mairie/']);
    expect(next.open.map(({ check }) => check)).toEqual(['wal/mairie', 'wal/mairie/physical']);
    expect(next.over.map(({ check }) => check)).toEqual([late.check]);
  });

  it('a thousand findings are counted beyond the hundredth', () => {
    const many = Array.from({ length: 1000 }, (_, index) => problem(`backup/${index}`, 'none', 'run'));
    const { open } = dailyCheck(many, [], monday);
    expect(open).toHaveLength(100);
    expect(open.at(-1)).toMatchObject({ check: 'more', message: '901 further findings' });
  });

  it('the message says what, since when, what to do, and what is over', () => {
    const notice = {
      ...{
        cluster: 'mairie',
        operationId: 'op',
        workflowId: 'daily-check/mairie',
        key: '1-daily-check',
        at: later(24),
      },
      facts: {
        kind: 'daily-check',
        found: [{ message: late.message, fix: late.fix, since: monday }],
        over: [damaged.message],
      },
    } as const;
    const { subject, text } = noticeText(notice, null);
    expect(subject).toBe('[reprise] mairie: it did not start');
    expect(text).toContain(`Found    it did not start\nSince    ${monday}\nNext     reprise schedule trigger\n`);
    expect(text).toContain('Over     1 backup is quarantined\nType     reprise check mairie\n');
  });
});

describe('K7: a schedule that does not fire', () => {
  const schedule = { cron: '30 1 * * *', catchUpSeconds: 6 * 3600 };
  const one = { policy: 'nightly', starts: 'backup' as const, schedule };
  const ran: ScheduleState = {
    ...{ paused: false, note: null, isRunning: false, missedRuns: 0 },
    ...{ since: '2026-11-01T00:00:00Z', lastRun: '2026-11-23T01:30:00Z' },
  };
  const at = (now: string, state: ScheduleState | null): string | null => {
    const [dueAt] = previousRuns(schedule, owedUntil(one, new Date(now)), 1);
    return scheduleProblem('mairie', one, { state, dueAt })?.message ?? null;
  };

  it('is none that started the run that was due, has time to catch up, or was made after it', () => {
    expect(at('2026-11-23T12:00:00Z', ran)).toBeNull();
    expect(at('2026-11-24T07:00:00Z', ran)).toBeNull();
    expect(at('2026-11-24T12:00:00Z', { ...ran, since: '2026-11-24T08:00:00Z' })).toBeNull();
    // Somebody paused it for some hours of the day, or made up for it by hand.
    expect(at('2026-11-23T12:00:00Z', { ...ran, paused: true })).toBeNull();
    expect(at('2026-11-24T12:00:00Z', { ...ran, lastRun: '2026-11-24T09:00:00Z' })).toBeNull();
  });

  it('is named with the run that it owes, and why', () => {
    const noon = '2026-11-24T12:00:00Z';
    expect(at(noon, ran)).toBe('schedule reprise/mairie/nightly did not start its run of 2026-11-24T01:30Z');
    expect(at(noon, { ...ran, missedRuns: 2 })).toContain('(2 missed since it was made)');
    expect(at(noon, { ...ran, lastRun: null })).toContain('2026-11-24T01:30Z');
    expect(at(noon, { ...ran, paused: true, note: 'new disk' })).toBe(
      'schedule reprise/mairie/nightly is paused (new disk): its run of 2026-11-24T01:30Z did not take place',
    );
    expect(at(noon, { ...ran, isRunning: true })).toContain('the one before it is still running');
    expect(at(noon, null)).toContain('is not on the Temporal server');
  });
});

it('K7: a run that did not take place stays one while the next one still has time', () => {
  const schedule = { cron: '30 1 * * *', catchUpSeconds: 6 * 3600 };
  const one = { policy: 'nightly', starts: 'backup' as const, schedule };
  const paused: ScheduleState = {
    ...{ paused: true, note: 'new disk', isRunning: false, missedRuns: 0 },
    ...{ since: '2026-11-01T00:00:00Z', lastRun: '2026-11-22T01:30:00Z' },
  };
  // At all hours of a day, that of the daily check too.
  for (const hour of ['00:10', '01:35', '06:20', '07:39', '07:41', '23:50']) {
    const [dueAt] = previousRuns(schedule, owedUntil(one, new Date(`2026-11-24T${hour}:00Z`)), 1);
    expect(scheduleProblem('mairie', one, { state: paused, dueAt })?.message).toContain('did not take place');
  }
});

describe('K7: the schedule of the daily check', () => {
  const names = (more: string, schedule = 'schedule: { cron: "30 1 * * *" }'): readonly string[] => {
    const config: Config = parseConfig(
      `version: 1
hosts: { db1: { state_dir: ./state } }
repositories: { local: { type: directory, path: ./repo, host: db1 } }
clusters:
  mairie:
    host: db1
    connection: { host: 127.0.0.1, port: 5432, user: reprise }
    databases: [mairie]
    catalogue: local
    backups: { nightly: { engine: logical, repository: local, ${schedule} } }
${more}`,
      '/etc/reprise/reprise.yml',
    ).config;
    return Object.values(config.clusters)
      .flatMap((cluster) => schedulesOf(config, cluster))
      .map(({ policy }) => policy);
  };
  const heartbeat = 'notifiers: { out: { type: heartbeat, url: "https://example.org/ping" } }';

  it('is there where something is scheduled and somebody is told', () => {
    expect(names('')).toEqual(['nightly']);
    expect(names(heartbeat)).toEqual(['nightly', 'daily-check']);
    expect(names(heartbeat, '')).toEqual([]);
  });
});
