import { describe, expect, it } from '@jest/globals';
import { Cron } from 'croner';
import { calendarOf } from '../../../src/domain/schedule/schedule-spec.js';
import { dueTimes } from '../../../src/domain/schedule/schedule-times.js';

const now = new Date('2026-11-21T02:10:00Z');
const due = (cron: string, count = 2) =>
  dueTimes(calendarOf({ cron, catchUpSeconds: 60 }), now, count).map((time) => time.toISOString().slice(0, 16));

describe('times at which a schedule was due', () => {
  it('newest first, the present minute included', () => {
    expect(due('30 1 * * *')).toEqual(['2026-11-21T01:30', '2026-11-20T01:30']);
    expect(due('15 2 * * *')).toEqual(['2026-11-20T02:15', '2026-11-19T02:15']);
    expect(due('10 2 * * *', 1)).toEqual(['2026-11-21T02:10']);
    expect(due('*/20 * * * *', 3)).toEqual(['2026-11-21T02:00', '2026-11-21T01:40', '2026-11-21T01:20']);
  });

  it('of a calendar whose fields must all match: first Sunday of a quarter', () => {
    const calendar = {
      dayOfWeek: ['SUNDAY'],
      dayOfMonth: [{ start: 1, end: 7 }],
      month: [1, 4, 7, 10].map((month) => ({ start: month })),
      hour: [{ start: 2 }],
    };
    expect(
      dueTimes(calendarOf({ calendar, catchUpSeconds: 60 }), now, 2).map((time) => time.toISOString().slice(0, 10)),
    ).toEqual(['2026-10-04', '2026-07-05']);
  });

  it('29 February is found, 30 February never', () => {
    expect(due('0 0 29 2 *')).toEqual(['2024-02-29T00:00', '2020-02-29T00:00']);
    expect(due('0 0 30 2 *')).toEqual([]);
  });

  it.each(['5 4 * * 1-5', '0 */6 * * *', '59 23 31 * *', '7 3 1,15 * *'])(
    '%s: running forward from each, the next one is the one before it in the list',
    (cron) => {
      const times = dueTimes(calendarOf({ cron, catchUpSeconds: 60 }), now, 30);
      const forward = new Cron(cron, { timezone: 'UTC', paused: true });
      expect(times).toHaveLength(30);
      times
        .slice(1)
        .forEach((time, index) => expect(forward.nextRun(time)?.toISOString()).toBe(times[index]?.toISOString()));
    },
  );
});
