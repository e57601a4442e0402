import { Cron } from 'croner';
import type { ScheduleConfig } from '../domain/config.js';

/** The next `count` times, oldest first, at which a schedule is due after an instant; fewer where it never is again. */
export function nextRuns(schedule: Pick<ScheduleConfig, 'cron'>, after: Date, count: number): readonly Date[] {
  return asTemporalReads(schedule).nextRuns(count, after);
}

/** The last `count` times, newest first, at which a schedule was due up to an instant; fewer where it never was. */
export function previousRuns(schedule: Pick<ScheduleConfig, 'cron'>, upTo: Date, count: number): readonly Date[] {
  // Croner leaves out a run at the very instant it counts from.
  return asTemporalReads(schedule).previousRuns(count, new Date(upTo.getTime() + 1));
}

/** In UTC, and of day of month and day of week both must match: so Temporal reads a calendar, other than cron. */
function asTemporalReads({ cron }: Pick<ScheduleConfig, 'cron'>): Cron {
  return new Cron(cron, { mode: '5-part', utcOffset: 0, domAndDow: true, paused: true });
}
