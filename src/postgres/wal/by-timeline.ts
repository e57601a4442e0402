import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { parseSegmentName } from '../../domain/target/wal.js';
import type { Candidate } from './choose-base-backup.js';
import { segmentBytesOf } from './contiguous-wal.js';
import { followTimeline, type Timeline } from './timelines.js';

/**
 * Backups that lead to the newest timeline, the others, and why these are not used.
 * @throws RepriseError `wal-gap` where the end of the WAL is wanted, and none leads there
 */
export function byTimeline<C extends Candidate>(
  target: RecoveryTarget,
  candidates: readonly C[],
  newest: number,
  timelines: readonly Timeline[],
): { readonly live: readonly C[]; readonly left: readonly C[]; readonly passedOver: readonly string[] } {
  const followed = candidates.map((candidate) => ({
    candidate,
    id: followTimeline(positionOf(candidate.stored), timelines).timeline.id,
  }));
  const live = followed.filter(({ id }) => id === newest).map(({ candidate }) => candidate);
  const left = followed.filter(({ id }) => id !== newest);
  const [first] = left;
  const toTheEnd = target.kind === 'latest' || target.kind === 'end-of-backup';
  if (live.length === 0 && first !== undefined && toTheEnd) throw givenUp(first.candidate, first.id, newest);
  return {
    live,
    left: left.map(({ candidate }) => candidate),
    passedOver: left.map(
      ({ candidate, id }) =>
        `backup ${candidate.stored.label} is not used: it is on timeline ${id}, and the newest is ${newest}`,
    ),
  };
}

/** Where a backup ended, and on which timeline it began. */
export function positionOf(stored: Candidate['stored']): { readonly timeline: number; readonly stopLsn: string } {
  const { timeline } = parseSegmentName(stored.wal.start, segmentBytesOf(stored));
  return { timeline, stopLsn: stored.lsn.stop };
}

function givenUp({ stored: { label } }: Candidate, id: number, newest: number): RepriseError {
  return new RepriseError(
    'wal-gap',
    `backup ${label} is on timeline ${id}, which ended before the backup was complete: the newest timeline, ${newest}, cannot be reached from it`,
    `take a full backup of the running server; to recover from timeline ${id}, name a point in time or --to backup:${label}`,
  );
}
