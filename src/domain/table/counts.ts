import type { TableCount } from './repair.js';

const signed = (change: number): string => (change > 0 ? `+${change}` : String(change));

/** One count, for the journal, the report and the Web UI. */
export function countLine({ after, rows, change, since, suspicion }: TableCount): string {
  const how = change === 0 ? `as many as after ${since}` : `${signed(change ?? 0)} since ${since}`;
  const against = change === null ? '' : ` (${how})`;
  return `after ${after}: ${rows} rows${against}${suspicion === null ? '' : `: abnormal, ${suspicion}`}`;
}

/** So often the rows are counted while a table is watched: a twelfth of the time, and not more than once a minute. */
export function watchEvery(seconds: number): number {
  return Math.max(60, Math.ceil(seconds / 12));
}
