import { MOST_MISSING } from '../../domain/target/wal.js';
import type { RecoverableRange } from './recoverable-range.js';

const NAMED = 5;

/** Why the WAL cannot be followed further, in words: `WAL is missing, NAMES`, `archived WAL is damaged, NAMES`. */
export function describeMissingWal({ missing, damaged }: Pick<RecoverableRange, 'missing' | 'damaged'>): string {
  const [bad, nowhere] = [
    missing.filter((name) => damaged.includes(name)),
    missing.filter((name) => !damaged.includes(name)),
  ];
  return [
    ...(nowhere.length > 0 ? [`WAL is missing, ${listSegments(nowhere)}`] : []),
    ...(bad.length > 0 ? [`archived WAL is damaged, ${listSegments(bad)}`] : []),
  ].join('; ');
}

/** The last commit there is, as what can be typed after `--to`. */
export function describeLatestRecoverable({
  lastCommitAt,
  lastCommitLsn,
}: Pick<RecoverableRange, 'lastCommitAt' | 'lastCommitLsn'>): string {
  return `the latest recoverable time is ${lastCommitAt ?? 'that of the backup'}${lastCommitLsn === null ? '' : ` (lsn:${lastCommitLsn})`}`;
}

/** Names of missing segments for a message, the first ones. */
export function listSegments(segments: readonly string[]): string {
  const more = segments.length - NAMED;
  const least = segments.length >= MOST_MISSING ? 'at least ' : '';
  return `${segments.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${least}${more} more` : ''}`;
}
