import { Cron } from 'croner';
import type { ScheduleConfig } from '../domain/config.js';
import type { ClockChange } from '../domain/target/instant.js';

type Times = Pick<ScheduleConfig, 'cron' | 'timezone'>;

/** The next `count` times, oldest first, at which a schedule is due after an instant; fewer where it never is again. */
export function nextRuns(schedule: Times, after: Date, count: number): readonly Date[] {
  const cron = asTemporalReads(schedule);
  return thatMatch(cron, (more) => cron.nextRuns(more, after), count);
}

/** The last `count` times, newest first, at which a schedule was due up to an instant; fewer where it never was. */
export function previousRuns(schedule: Times, upTo: Date, count: number): readonly Date[] {
  const cron = asTemporalReads(schedule);
  // Croner leaves out a run at the very instant it counts from.
  return thatMatch(cron, (more) => cron.previousRuns(more, new Date(upTo.getTime() + 1)), count);
}

/** Of day of month and day of week both must match: so Temporal reads a calendar, other than cron. */
function asTemporalReads({ cron, timezone }: Times): Cron {
  const zone = timezone === undefined ? { utcOffset: 0 } : { timezone };
  return new Cron(cron, { mode: '5-part', ...zone, domAndDow: true, paused: true });
}

/** Where clocks are set forward, croner takes a time that they never show for a later one. Temporal leaves it out. */
function thatMatch(cron: Cron, runs: (count: number) => readonly Date[], count: number): readonly Date[] {
  for (let more = count; ; more *= 2) {
    const found = runs(more);
    const matching = found.filter((at) => cron.match(at)).slice(0, count);
    if (matching.length === count || found.length < more) return matching;
  }
}

/** Days on which one of these clock changes leaves a run of a schedule out, or makes it run twice. */
export function runsAtClockChanges(
  cron: string,
  changes: readonly ClockChange[],
): { readonly leftOut: readonly string[]; readonly twice: readonly string[] } {
  const affected = changes.flatMap(({ at, before, after }) => {
    // As clocks show them: what they jump over, or show again.
    const [from, to] = [at + Math.min(before, after) * 60_000, at + Math.max(before, after) * 60_000];
    const [run] = nextRuns({ cron }, new Date(from - 1), 1);
    return run !== undefined && run.getTime() < to
      ? [{ day: run.toISOString().slice(0, 10), isLeftOut: after > before }]
      : [];
  });
  const days = (wanted: boolean) => affected.filter(({ isLeftOut }) => isLeftOut === wanted).map(({ day }) => day);
  return { leftOut: days(true), twice: days(false) };
}
