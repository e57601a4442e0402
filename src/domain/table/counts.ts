import type { TableCount } from './repair.js';

const signed = (change: number): string => (change > 0 ? `+${change}` : String(change));

/** One count, for the journal, the report and the Web UI. */
export function countLine({ after, rows, change, suspicion }: TableCount): string {
  const since =
    change === null ? '' : ` (${change === 0 ? 'as many as after the repair' : `${signed(change)} since the repair`})`;
  return `after ${after}: ${rows} rows${since}${suspicion === null ? '' : `: abnormal, ${suspicion}`}`;
}

/** So often the rows are counted while a table is watched: a twelfth of the time, and not more than once a minute. */
export function watchEvery(seconds: number): number {
  return Math.max(60, Math.ceil(seconds / 12));
}
