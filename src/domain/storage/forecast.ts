/** Backups of one policy: what came and, as negative bytes, what went. */
export interface PolicyGrowth {
  readonly events: readonly { readonly at: string; readonly bytes: number }[];
  /** Days after which retention lets a backup go; null where no rule speaks of days alone. */
  readonly keepDays: number | null;
}

export interface SpaceForecast {
  /** Net growth of the last days; 0 or less: it does not grow. */
  readonly bytesPerDay: number;
  /** Days until it is full at that pace; null where it never is: it does not grow, or retention levels it out before. */
  readonly daysLeft: number | null;
}

const DAY_MS = 86_400_000;
const WINDOW_DAYS = 14;

/**
 * When a place is full, from what backups took there in the last fourteen days. Null while less than a day is known.
 * A young repository grows by all that is made until retention begins to remove: where every policy keeps by days, its
 * final size is what a day makes times the days, and only if that does not fit it fills up.
 */
export function forecastSpace(policies: readonly PolicyGrowth[], freeBytes: number, now: Date): SpaceForecast | null {
  const first = Math.min(...policies.flatMap(({ events }) => events.map(({ at }) => Date.parse(at))));
  const days = Math.min(WINDOW_DAYS, (now.getTime() - first) / DAY_MS);
  if (!(days >= 1)) return null;
  const since = now.getTime() - days * DAY_MS;
  const recent = policies.map(({ events }) => events.filter(({ at }) => Date.parse(at) >= since));
  const bytesPerDay = sum(recent.flat()) / days;
  if (bytesPerDay <= 0) return { bytesPerDay, daysLeft: null };
  const finalSizes = policies.map(({ keepDays }, index) => {
    const madePerDay = sum((recent[index] ?? []).filter(({ bytes }) => bytes > 0)) / days;
    return keepDays === null ? Infinity : madePerDay * (keepDays + 1);
  });
  const stored = sum(policies.flatMap(({ events }) => events));
  const stillToCome = finalSizes.reduce((total, size) => total + size, 0) - stored;
  return { bytesPerDay, daysLeft: stillToCome <= freeBytes ? null : freeBytes / bytesPerDay };
}

function sum(events: readonly { readonly bytes: number }[]): number {
  return events.reduce((total, { bytes }) => total + bytes, 0);
}
