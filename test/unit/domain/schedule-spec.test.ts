import { describe, expect, it } from '@jest/globals';
import { calendarOf } from '../../../src/domain/schedule/schedule-spec.js';
import { calendarSpec } from '../../../src/client/schedules/schedule-differences.js';

const cron = (text: string) => calendarOf({ cron: text, catchUpSeconds: 21_600 });
const one = (value: number) => [{ start: value, end: value, step: 1 }];
const everyDate = {
  dayOfMonth: [{ start: 1, end: 31, step: 1 }],
  month: [{ start: 1, end: 12, step: 1 }],
  dayOfWeek: [{ start: 0, end: 6, step: 1 }],
};

describe('D5: schedules of the config as calendars', () => {
  it('P1: daily at 02:15', () => {
    expect(cron('15 2 * * *')).toEqual({ second: one(0), minute: one(15), hour: one(2), ...everyDate });
  });

  it.each([
    ['*/15 * * * *', 'minute', [{ start: 0, end: 59, step: 15 }]],
    ['5/20 * * * *', 'minute', [{ start: 5, end: 59, step: 20 }]],
    ['0,30 * * * *', 'minute', [...one(0), ...one(30)]],
    ['0 8-18/2 * * *', 'hour', [{ start: 8, end: 18, step: 2 }]],
    ['0 2 * JAN,APR,jul,OCT *', 'month', [...one(1), ...one(4), ...one(7), ...one(10)]],
    ['0 2 * * 7', 'dayOfWeek', one(0)],
    ['0 2 * * MON-FRI', 'dayOfWeek', [1, 2, 3, 4, 5].flatMap(one)],
    ['0 2 * * 5-7', 'dayOfWeek', [0, 5, 6].flatMap(one)],
    ['0 2 * * 0-7', 'dayOfWeek', [{ start: 0, end: 6, step: 1 }]],
  ] as const)('%s: %s', (text, field, ranges) => {
    expect(cron(text)[field]).toEqual(ranges);
  });

  it.each(['* * * *', '60 * * * *', '0 2 * * FOO', '5-1 * * * *', '*/0 * * * *', '*-3 * * * *'])(
    '%s is refused',
    (text) => {
      expect(() => cron(text)).toThrow(expect.objectContaining({ code: 'config-invalid' }) as never);
    },
  );

  it('P4: the first Sunday of a quarter, as the config passes it', () => {
    const calendar = {
      dayOfWeek: ['SUNDAY'],
      dayOfMonth: [{ start: 1, end: 7 }],
      month: [
        { start: 'JANUARY', end: 'JANUARY' },
        { start: 'APRIL', end: 'APRIL' },
      ],
      hour: [{ start: 2, end: 2 }],
      minute: [{ start: 0, end: 0 }],
    };
    const times = calendarOf({ calendar, catchUpSeconds: 21_600 });
    expect(times).toEqual({
      second: one(0),
      minute: one(0),
      hour: one(2),
      dayOfMonth: [{ start: 1, end: 7, step: 1 }],
      month: [...one(1), ...one(4)],
      dayOfWeek: one(0),
    });
    expect(calendarSpec(times)).toMatchObject({
      dayOfWeek: [{ start: 'SUNDAY', end: 'SUNDAY' }],
      month: [{ start: 'JANUARY' }, { start: 'APRIL' }],
    });
  });
});
