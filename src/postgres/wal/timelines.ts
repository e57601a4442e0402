import type { TimelineSwitch } from '../../domain/target/wal.js';
import { compareLsn } from '../../domain/target/wal.js';

/** A timeline and the switches that led to it; the first timeline has none. */
export interface Timeline {
  readonly id: number;
  readonly history: readonly TimelineSwitch[];
}

export interface Followed {
  readonly timeline: Timeline;
  /** Other timelines that continued after the backup, and where they left the one that is followed. */
  readonly left: readonly { readonly id: number; readonly at: string }[];
}

/**
 * The timeline a recovery follows from a backup: the newest one that goes through the backup's end, as PostgreSQL's
 * `recovery_target_timeline = latest` chooses it. A timeline that was left before the backup ended leads elsewhere.
 */
export function followTimeline(
  backup: { readonly timeline: number; readonly stopLsn: string },
  known: readonly Timeline[],
): Followed {
  const through = known.filter(({ id, history }) => {
    if (id === backup.timeline) return true;
    const step = history.find((entry) => entry.timeline === backup.timeline);
    return step !== undefined && compareLsn(step.switchLsn, backup.stopLsn) >= 0;
  });
  const own: Timeline = known.find(({ id }) => id === backup.timeline) ?? { id: backup.timeline, history: [] };
  const timeline = through.reduce((newest, candidate) => (candidate.id > newest.id ? candidate : newest), own);
  const ancestors = new Map(timeline.history.map((entry) => [entry.timeline, entry.switchLsn]));
  const left = through
    .filter(({ id }) => id !== timeline.id && !ancestors.has(id))
    .map((other) => ({ id: other.id, at: partingPoint(timeline, other) }));
  return { timeline, left };
}

/** Position until which a timeline of the history counts for the one that is followed; null for that one itself. */
export function switchedAt(timeline: Timeline, id: number): string | null {
  return timeline.history.find((entry) => entry.timeline === id)?.switchLsn ?? null;
}

/** Where two timelines went apart: the earlier of the switches from their last common timeline. */
function partingPoint(followed: Timeline, other: Timeline): string {
  const shared = other.history.toReversed().find(({ timeline }) => switchedAt(followed, timeline) !== null);
  const ofFollowed = shared === undefined ? null : switchedAt(followed, shared.timeline);
  if (shared === undefined || ofFollowed === null) return followed.history.at(-1)?.switchLsn ?? '0/0';
  return compareLsn(shared.switchLsn, ofFollowed) < 0 ? shared.switchLsn : ofFollowed;
}
