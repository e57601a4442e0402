import { isTrusted, type Backup } from '../backup/backup.js';
import type { RetentionConfig } from '../config.js';

const dayMs = 86_400_000;
/** What nobody can recover from. */
const UNUSABLE: ReadonlySet<Backup['status']> = new Set(['quarantined', 'failed', 'partial']);

type Period = 'daily' | 'weekly' | 'monthly' | 'yearly';
const periods: Readonly<Record<Period, { readonly bucket: (at: Date) => string; readonly word: string }>> = {
  daily: { bucket: (at) => at.toISOString().slice(0, 10), word: 'day' },
  weekly: { bucket: isoWeek, word: 'week' },
  monthly: { bucket: (at) => at.toISOString().slice(0, 7), word: 'month' },
  yearly: { bucket: (at) => at.toISOString().slice(0, 4), word: 'year' },
};

/**
 * Backups of one group (newest first) that the configured rules keep, with the reason. Damaged, failed and partial backups do not
 * count for the rules; they expire by age only, so that they can be inspected as long as good ones of the same age. Adopted ones that
 * count for nothing take no place of the others: the rules keep as many of them beside.
 */
export function keepByRules(newestFirst: readonly Backup[], retention: RetentionConfig, now: Date): [Backup, string][] {
  const good = newestFirst.filter(({ status }) => status === 'complete' || status === 'cold');
  const kept: [Backup, string][] = [];
  if (!hasRule(retention)) return newestFirst.map((backup) => [backup, 'no retention rule is set']);
  const { days, count } = retention;
  if (days !== undefined) {
    const since = now.getTime() - days * dayMs;
    for (const backup of newestFirst) {
      if (endOf(backup).getTime() >= since) kept.push([backup, `within ${days} days`]);
    }
  }
  for (const [alike, what] of [
    [good.filter(isTrusted), ''],
    [good.filter((backup) => !isTrusted(backup)), ' adopted'],
  ] as const) {
    if (count !== undefined)
      for (const backup of alike.slice(0, count)) kept.push([backup, `one of the ${count} newest${what}`]);
    for (const period of Object.keys(periods) as Period[]) kept.push(...keepByPeriod(alike, period, retention[period]));
  }
  if (days === undefined) kept.push(...keepDamagedAmong(newestFirst, kept));
  return kept;
}

/** Why nothing keeps a backup, in words. */
export function noRuleKeeps(retention: RetentionConfig): string {
  const { days, count } = retention;
  const others: string[] = [];
  if (count !== undefined) others.push(`${count} newest`);
  for (const period of Object.keys(periods) as Period[]) {
    if (retention[period] !== undefined) others.push(`${retention[period]} ${period}`);
  }
  if (days === undefined) return `no rule keeps it (${others.join(', ')})`;
  return others.length === 0
    ? `older than ${days} days`
    : `older than ${days} days, and no rule keeps it (${others.join(', ')})`;
}

function hasRule({ days, count, daily, weekly, monthly, yearly }: RetentionConfig): boolean {
  return [days, count, daily, weekly, monthly, yearly].some((rule) => rule !== undefined);
}

/** The newest backup of each of the last `amount` periods that have any: a pause in backups uses nothing up. */
function keepByPeriod(good: readonly Backup[], period: Period, amount: number | undefined): [Backup, string][] {
  if (amount === undefined) return [];
  const { bucket, word } = periods[period];
  const newest = new Map<string, Backup>();
  for (const backup of good) {
    const name = bucket(endOf(backup));
    if (!newest.has(name)) newest.set(name, backup);
  }
  return [...newest.entries()].slice(0, amount).map(([name, backup]) => [backup, `newest of the ${word} ${name}`]);
}

/** Where no rule speaks of age, damaged ones go when they are older than every good backup the rules keep. */
function keepDamagedAmong(newestFirst: readonly Backup[], kept: readonly [Backup, string][]): [Backup, string][] {
  const oldest = Math.min(...kept.map(([backup]) => endOf(backup).getTime()));
  return newestFirst
    .filter((backup) => UNUSABLE.has(backup.status) && endOf(backup).getTime() >= oldest)
    .map((backup) => [backup, `${backup.status}, among the kept ones`]);
}

function endOf(backup: Backup): Date {
  return new Date(backup.finishedAt ?? backup.startedAt);
}

/** ISO 8601 week in UTC, `2026-W53`: the week belongs to the year that its Thursday is in. */
function isoWeek(at: Date): string {
  const weekday = (at.getUTCDay() + 6) % 7;
  const thursday = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate() - weekday + 3));
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / (7 * dayMs));
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
