import { RepriseError } from '../../domain/errors.js';
import { isSegmentName } from '../../domain/target/wal.js';
import type { Timeline } from './timelines.js';

/** A timeline of which WAL is archived, and not where it comes from. */
export interface TimelineWithoutHistory {
  readonly id: number;
  /** First archived segment of it: it left its parent in there, or before. */
  readonly first: string;
}

/**
 * Timelines of archived segments that neither a history file nor the history of a later timeline tells of, ascending. The
 * first one never has a history, and one on which a backup begins needs none to be followed from there.
 */
export function timelinesWithoutHistory(
  segments: readonly string[],
  known: readonly Timeline[],
  ofBackup: number,
): TimelineWithoutHistory[] {
  const told = new Set([1, ofBackup, ...known.flatMap(({ history }) => history.map(({ timeline }) => timeline))]);
  // A file without a line says as little as none.
  for (const { id, history } of known) if (history.length > 0) told.add(id);
  const first = new Map<number, string>();
  for (const name of segments.filter(isSegmentName)) {
    const id = Number.parseInt(name.slice(0, 8), 16);
    const earlier = first.get(id);
    if (!told.has(id) && (earlier === undefined || name < earlier)) first.set(id, name);
  }
  return [...first].map(([id, name]) => ({ id, first: name })).sort((a, b) => a.id - b.id);
}

/**
 * Sees that no later timeline than the followed one is without its history: PostgreSQL would not find it either, and end on
 * an older one as if that were the latest.
 * @throws RepriseError `wal-gap`
 */
export function requireHistories(followed: number, unknown: readonly TimelineWithoutHistory[]): void {
  const later = unknown.findLast(({ id }) => id > followed);
  if (later === undefined) return;
  throw new RepriseError(
    'wal-gap',
    `${describe(later)}, so the latest state cannot be found: timeline ${followed} would be taken for it`,
    `put a copy of ${historyName(later.id)} into the archive (a server that was on this timeline has it in pg_wal), or name a target on timeline ${followed}, before ${later.first}: --to TIME or --to lsn:X`,
    { missing: [historyName(later.id)] },
  );
}

/** What a plan says of such timelines. */
export function historyWarnings(unknown: readonly TimelineWithoutHistory[]): string[] {
  return unknown.map((one) => `${describe(one)}: nothing of it is recovered`);
}

function describe({ id, first }: TimelineWithoutHistory): string {
  return `WAL of timeline ${id} is in the archive (from ${first} on), and its ${historyName(id)} is missing`;
}

function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}
