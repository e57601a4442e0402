import { describe, expect, it } from '@jest/globals';
import { nextRuns, previousRuns } from '../../../src/config/schedule.js';
import { calendarSpec } from '../../../src/client/schedules/calendar.js';
import { complaint, parsed, with_ } from './given.js';

const now = new Date('2026-11-21T02:10:00Z');
const minutes = (times: readonly Date[]) => times.map((time) => time.toISOString().slice(0, 16));
const due = (cron: string, count = 2) => minutes(previousRuns({ cron }, now, count));
const scheduled = (schedule: string) => with_('engine: logical', `engine: logical\n        schedule: ${schedule}`);
const cronOf = (schedule: string) =>
  parsed(scheduled(schedule)).clusters['mairie']?.policies['dump']?.schedule?.cron ?? '';

describe('times at which a schedule is due', () => {
  it('past ones newest first, the present minute included', () => {
    expect(due('30 1 * * *')).toEqual(['2026-11-21T01:30', '2026-11-20T01:30']);
    expect(due('15 2 * * *')).toEqual(['2026-11-20T02:15', '2026-11-19T02:15']);
    expect(due('10 2 * * *', 1)).toEqual(['2026-11-21T02:10']);
    expect(due('*/20 * * * *', 3)).toEqual(['2026-11-21T02:00', '2026-11-21T01:40', '2026-11-21T01:20']);
  });

  it('next ones oldest first, the present minute not included', () => {
    expect(minutes(nextRuns({ cron: '10 2 * * *' }, now, 2))).toEqual(['2026-11-22T02:10', '2026-11-23T02:10']);
  });

  it('29 February is found, 30 February never', () => {
    expect(due('0 0 29 2 *')).toEqual(['2024-02-29T00:00', '2020-02-29T00:00']);
    expect(due('0 0 30 2 *')).toEqual([]);
  });

  it.each(['5 4 * * 1-5', '0 */6 * * *', '59 23 31 * *', '7 3 1,15 * *', '0 4 1-7 1,4,7,10 0'])(
    '%s: running forward from each, the next one is the one before it in the list',
    (cron) => {
      const times = previousRuns({ cron }, now, 30);
      expect(times).toHaveLength(30);
      times.slice(1).forEach((time, index) => expect(nextRuns({ cron }, time, 1)).toEqual([times[index]]));
    },
  );
});

describe('O17: a schedule in a time zone', () => {
  const nightly = { cron: '30 2 * * *', timezone: 'Europe/Paris' };

  it('is due when the clocks there show it, for the first time where they show it twice', () => {
    expect(minutes(previousRuns(nightly, new Date('2026-10-27T00:00:00Z'), 3))).toEqual([
      '2026-10-26T01:30',
      '2026-10-25T00:30',
      '2026-10-24T00:30',
    ]);
    expect(minutes(nextRuns(nightly, new Date('2026-07-01T00:00:00Z'), 1))).toEqual(['2026-07-01T00:30']);
  });

  it('F26: is left out where clocks jump over it, as Temporal does', () => {
    const around = new Date('2026-03-28T12:00:00Z');
    expect(minutes(nextRuns(nightly, around, 2))).toEqual(['2026-03-30T00:30', '2026-03-31T00:30']);
    expect(minutes(previousRuns(nightly, new Date('2026-03-30T12:00:00Z'), 2))).toEqual([
      '2026-03-30T00:30',
      '2026-03-28T01:30',
    ]);
  });

  it('the config takes IANA names only, keeps UTC as none, and warns of the days on which clocks are changed', () => {
    const text = (zone: string, cron = '30 2 * * *') => scheduled(`{ cron: "${cron}", timezone: ${zone} }`);
    const zoneOf = (zone: string) => parsed(text(zone)).clusters['mairie']?.policies['dump']?.schedule?.timezone;
    expect([zoneOf('Europe/Paris'), zoneOf('UTC')]).toEqual(['Europe/Paris', undefined]);
    for (const zone of ['Mars/Olympus', '"+01:00"', 'CEST', '""'])
      expect(complaint(text(zone))[0]).toContain('IANA name');
    const { warnings } = parsed(text('Europe/Paris'));
    expect(warnings.map(({ message }) => message).join('\n')).toMatch(
      /is left out on \d{4}-03-\d\d and runs twice on \d{4}-10-\d\d, when the clocks of Europe\/Paris are changed/,
    );
    expect(parsed(text('Europe/Paris', '30 4 * * *')).warnings).toEqual([]);
    expect(parsed(text('Africa/Tunis')).warnings).toEqual([]);
  });
});

describe('a schedule of the config is one cron line, whichever way it is written', () => {
  it('P4: the first Sunday of a quarter: day of month and day of week must both match, as Temporal reads them', () => {
    const cron = cronOf('{ calendar: { day_of_week: SUNDAY, day_of_month: "1-7", months: [1, 4, 7, 10], hour: 2 } }');
    expect(cron).toBe('0 2 1-7 1,4,7,10 0');
    expect(due(cron)).toEqual(['2026-10-04T02:00', '2026-07-05T02:00']);
    expect(calendarSpec(cron)).toMatchObject({
      dayOfMonth: [{ start: 1, end: 7 }],
      dayOfWeek: [{ start: 'SUNDAY', end: 'SUNDAY' }],
      month: ['JANUARY', 'APRIL', 'JULY', 'OCTOBER'].map((month) => ({ start: month, end: month })),
    });
  });

  it.each([
    ['{ cron: "  15  2 * * * " }', '15 2 * * *'],
    ['{ calendar: { hour: "2-4" } }', '0 2-4 * * *'],
    ['{ calendar: { hour: [1, "8-9"], minute: [0, 30], day_of_week: [MONDAY, SATURDAY] } }', '0,30 1,8-9 * * 1,6'],
  ])('%s: %s', (schedule, cron) => {
    expect(cronOf(schedule)).toBe(cron);
  });

  it('one that never comes is refused, as a calendar too', () => {
    expect(complaint(scheduled('{ cron: "0 0 30 2 *" }'))).toEqual([
      'reprise.yml:10:27: this cron line matches no date',
    ]);
    expect(complaint(scheduled('{ calendar: { day_of_month: 30, months: 2, hour: 0 } }'))).toEqual([
      'reprise.yml:10:21: this calendar matches no date',
    ]);
  });
});
