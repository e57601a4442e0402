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

/** One timeline of a path, from where it began to where it was left. */
interface PathStep {
  readonly id: number;
  readonly begin: string;
  /** Null for the last one of the path. */
  readonly until: string | null;
}

/** The timelines that lead to one, oldest first, and itself. */
export function pathOf({ id, history }: Timeline): readonly PathStep[] {
  const switches = history.map(({ switchLsn }) => switchLsn);
  return [...history.map(({ timeline }) => timeline), id].map((step, index) => ({
    id: step,
    begin: switches[index - 1] ?? '0/0',
    until: switches[index] ?? null,
  }));
}

/** Whether a recovery from a backup can follow this timeline: it goes through the backup's end. */
export function leadsTo(backup: { readonly timeline: number; readonly stopLsn: string }, timeline: Timeline): boolean {
  return followTimeline(backup, [timeline]).timeline.id === timeline.id;
}

/** The timelines known and all that they come from; one that no history names is taken for the first of its cluster. */
export function allTimelines(known: readonly Timeline[], ids: Iterable<number>): readonly Timeline[] {
  const all = new Map(known.map((timeline) => [timeline.id, timeline]));
  for (const { history } of known)
    history.forEach(({ timeline: id }, index) => {
      if (!all.has(id)) all.set(id, { id, history: history.slice(0, index) });
    });
  for (const id of ids) if (!all.has(id)) all.set(id, { id, history: [] });
  return [...all.values()].toSorted((a, b) => a.id - b.id);
}

/** A timeline that is not all in the past of the one that is followed. */
export interface Branch {
  readonly timeline: Timeline;
  /** Where the two went apart. */
  readonly parting: string;
  /** From here on its own WAL files hold what the followed timeline does not. */
  readonly at: string;
  /** The timeline on the followed path that was begun after it was left, and where. */
  readonly successor: PathStep | undefined;
}

/** Timelines with WAL of their own beside the followed one: what recoveries have left. */
export function branchesOf(followed: Timeline, all: readonly Timeline[]): readonly Branch[] {
  const path = pathOf(followed);
  return all
    .filter(({ id }) => id !== followed.id)
    .map((timeline) => ({
      timeline,
      parting: partingPoint(followed, timeline),
      at: switchedAt(followed, timeline.id) ?? timeline.history.at(-1)?.switchLsn ?? '0/0',
      successor: path.find(({ id }) => id > timeline.id),
    }));
}

/** Position until which a timeline of the history counts for the one that is followed; null for that one itself. */
export function switchedAt(timeline: Timeline, id: number): string | null {
  return timeline.history.find((entry) => entry.timeline === id)?.switchLsn ?? null;
}

/** Where two timelines went apart: the earlier of the switches from their last common timeline. */
function partingPoint(followed: Timeline, other: Timeline): string {
  const [left, right] = [switchedAt(followed, other.id), switchedAt(other, followed.id)];
  if (left !== null || right !== null) return left ?? right ?? '0/0';
  const shared = other.history.toReversed().find(({ timeline }) => switchedAt(followed, timeline) !== null);
  const ofFollowed = shared === undefined ? null : switchedAt(followed, shared.timeline);
  if (shared === undefined || ofFollowed === null) return followed.history.at(-1)?.switchLsn ?? '0/0';
  return compareLsn(shared.switchLsn, ofFollowed) < 0 ? shared.switchLsn : ofFollowed;
}
