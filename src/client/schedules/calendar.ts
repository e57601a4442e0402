import type { CalendarSpec, DayOfWeek, Month } from '@temporalio/client';
import { CronPattern } from 'croner';
import { days, months } from './schedule-differences.js';

/**
 * A cron line as the calendar that the server makes of it; a time matches when all fields match. Sent as a calendar,
 * what the server keeps can be compared with what the config says.
 */
export function calendarSpec(cron: string): CalendarSpec {
  const { minute, hour, day, month, dayOfWeek } = new CronPattern(cron, 'UTC', { mode: '5-part' });
  return {
    second: [{ start: 0, end: 0, step: 1 }],
    minute: ranges(minute, Number),
    hour: ranges(hour, Number),
    // Croner counts days and months from 0.
    dayOfMonth: ranges(day, (value) => value + 1),
    month: ranges(month, (value) => months[value] as Month),
    dayOfWeek: ranges(dayOfWeek, (value) => days[value] as DayOfWeek),
  };
}

/** The places of a field that are set, neighbours as one range. */
function ranges<T>(field: readonly number[], name: (value: number) => T): { start: T; end: T; step: number }[] {
  const set = field.flatMap((on, value) => (on ? [value] : []));
  const starts = set.filter((value) => !set.includes(value - 1));
  const ends = set.filter((value) => !set.includes(value + 1));
  return starts.map((start, index) => ({ start: name(start), end: name(ends[index] ?? start), step: 1 }));
}
