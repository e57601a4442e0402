import type { CalendarRange, CalendarTimes } from './schedule-spec.js';

const DAY_MS = 86_400_000;
/** The rarest calendar is 29 February of a leap year on one day of the week. */
const MOST_DAYS = 366 * 29;

/** The latest times, newest first, at which a calendar was due up to `now`; fewer where it never was. UTC, to the minute. */
export function dueTimes(calendar: CalendarTimes, now: Date, count: number): readonly Date[] {
  const due: Date[] = [];
  const [hours, minutes] = [descending(calendar.hour), descending(calendar.minute)];
  const midnight = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  for (let day = 0; day < MOST_DAYS && due.length < count; day++) {
    const date = new Date(midnight - day * DAY_MS);
    if (
      !holds(calendar.month, date.getUTCMonth() + 1) ||
      !holds(calendar.dayOfMonth, date.getUTCDate()) ||
      !holds(calendar.dayOfWeek, date.getUTCDay())
    )
      continue;
    for (const hour of hours) {
      for (const minute of minutes) {
        const at = date.getTime() + (hour * 60 + minute) * 60_000;
        if (at <= now.getTime() && due.length < count) due.push(new Date(at));
      }
    }
  }
  return due;
}

function holds(ranges: readonly CalendarRange[], value: number): boolean {
  return ranges.some(({ start, end, step }) => value >= start && value <= end && (value - start) % step === 0);
}

function descending(ranges: readonly CalendarRange[]): readonly number[] {
  return Array.from({ length: 60 }, (_, value) => 59 - value).filter((value) => holds(ranges, value));
}
