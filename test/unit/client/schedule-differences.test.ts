import { describe, expect, it } from '@jest/globals';
import type { CalendarSpec, ScheduleDescription } from '@temporalio/client';
import { calendarSpec } from '../../../src/client/schedules/calendar.js';
import { actionOf, differences } from '../../../src/client/schedules/schedule-differences.js';

const range = (start: unknown, end = start) => ({ start, end, step: 1 });
const everyDate = {
  dayOfMonth: [range(1, 31)],
  month: [range('JANUARY', 'DECEMBER')],
  dayOfWeek: [range('SUNDAY', 'SATURDAY')],
};

describe('D5: schedules of the config as calendars of the server', () => {
  it('P1: daily at 02:15', () => {
    expect(calendarSpec('15 2 * * *')).toEqual({
      second: [range(0)],
      minute: [range(15)],
      hour: [range(2)],
      ...everyDate,
    });
  });

  it.each([
    ['*/15 * * * *', 'minute', [0, 15, 30, 45].map((value) => range(value))],
    ['0,30 * * * *', 'minute', [range(0), range(30)]],
    ['0 8-18/2 * * *', 'hour', [8, 10, 12, 14, 16, 18].map((value) => range(value))],
    ['0 2 1-7,31 * *', 'dayOfMonth', [range(1, 7), range(31)]],
    ['0 2 * JAN,APR,jul,OCT *', 'month', ['JANUARY', 'APRIL', 'JULY', 'OCTOBER'].map((month) => range(month))],
    ['0 2 * * 7', 'dayOfWeek', [range('SUNDAY')]],
    ['0 2 * * MON-FRI', 'dayOfWeek', [range('MONDAY', 'FRIDAY')]],
    ['0 2 * * 5-7', 'dayOfWeek', [range('SUNDAY'), range('FRIDAY', 'SATURDAY')]],
    ['0 2 * * 0-7', 'dayOfWeek', [range('SUNDAY', 'SATURDAY')]],
  ] as const)('%s: %s', (cron, field, ranges) => {
    expect(calendarSpec(cron)[field]).toEqual(ranges);
  });
});

describe('what differs between config and server', () => {
  const wanted = (cron: string) => ({
    ...{ id: 'reprise/mairie/dump', cluster: 'mairie', policy: 'dump', catchUpSeconds: 60 },
    starts: 'backup' as const,
    ...{ cron, calendar: calendarSpec(cron) },
  });
  const found = (calendar: CalendarSpec) =>
    ({
      spec: { calendars: [calendar] },
      policies: { catchupWindow: 60_000, overlap: 'SKIP', pauseOnFailure: false },
      action: actionOf(wanted('0 0 * * *')),
    }) as unknown as ScheduleDescription;

  it.each<[string, CalendarSpec]>([
    // As the server returns it: no end and no step for one value.
    ['15 2 * * *', { ...calendarSpec('15 2 * * *'), minute: [{ start: 15 }], hour: [{ start: 2, end: 0, step: 0 }] }],
    ['*/15 0 * * *', { ...calendarSpec('* 0 * * *'), minute: [{ start: 0, end: 59, step: 15 }] }],
    ['0 2 * */3 5-7', { ...calendarSpec('0 2 * * *'), ...quarters(), dayOfWeek: ['FRIDAY', 'SUNDAY', 'SATURDAY'] }],
  ] as const)('%s: nothing, however the server spells it', (cron, calendar) => {
    expect(differences(wanted(cron), found(calendar))).toEqual([]);
  });

  it('another time', () => {
    expect(differences(wanted('45 3 * * 0'), found(calendarSpec('45 2 * * 0')))).toEqual([
      expect.stringMatching(/^times: \["0 45 2 1,2.*becomes \["0 45 3 1,2/),
    ]);
  });
});

function quarters(): Pick<CalendarSpec, 'month'> {
  return { month: [{ start: 'JANUARY', end: 'DECEMBER', step: 3 }] };
}
