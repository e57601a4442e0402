import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { parseSegmentName } from '../../domain/target/wal.js';
import type { WalReader } from './wal-archive.js';
import { chooseBaseBackup } from './choose-base-backup.js';
import type { Candidate } from './choose-base-backup.js';
import { segmentBytesOf } from './contiguous-wal.js';
import type { WalSources } from './recoverable-range.js';
import { followTimeline } from './timelines.js';
import type { Timeline } from './timelines.js';

export interface TimelineChoice<C extends Candidate> {
  readonly chosen: C;
  /** Why other backups are not used, or what the chosen one does not lead to. */
  readonly warnings: readonly string[];
}

/**
 * As {@link chooseBaseBackup}, first among the backups that lead to the newest timeline: one made on another timeline after
 * the switch leads to a history that a recovery has left since. An instant that is only there is still found, with a warning.
 * @param candidates newest first, at least one
 * @throws RepriseError `wal-gap` where the target is `latest` and no backup leads there; what {@link chooseBaseBackup} throws
 */
export async function chooseOnNewest<C extends Candidate>(
  context: WalReader,
  target: RecoveryTarget,
  candidates: readonly C[],
  sources: WalSources,
): Promise<TimelineChoice<C>> {
  if (target.kind === 'backup')
    return { chosen: await chooseBaseBackup(context, target, candidates, sources), warnings: [] };
  const { newest, live, left } = byTimeline(candidates, sources.timelines);
  const among = async (some: readonly C[]): Promise<C> => chooseBaseBackup(context, target, some, sources);
  const passedOver = left.map(
    ({ candidate, id }) =>
      `backup ${candidate.stored.label} is not used: it is on timeline ${id}, and the newest is ${newest}`,
  );
  const [first] = left;
  if (first === undefined) return { chosen: await among(live), warnings: [] };
  const toTheEnd = target.kind === 'latest' || target.kind === 'end-of-backup';
  if (live.length === 0 && toTheEnd) throw givenUp(first.candidate, first.id, newest);
  let refused: unknown = null;
  if (live.length > 0) {
    try {
      return { chosen: await among(live), warnings: passedOver };
    } catch (error) {
      if (!isRepriseError(error) || !['target-before-backup', 'target-after-wal'].includes(error.code)) throw error;
      refused = error;
    }
  }
  const chosen = await among(left.map(({ candidate }) => candidate)).catch((error: unknown) => {
    // Where no backup leads to it, the first error is the helpful one.
    throw refused ?? error;
  });
  return {
    chosen,
    warnings: [
      `backup ${chosen.stored.label} is on a timeline that an earlier recovery has ended: changes on the newest timeline, ${newest}, are not recovered`,
    ],
  };
}

interface ByTimeline<C> {
  /** Number of the newest timeline there is. */
  readonly newest: number;
  /** Backups from which it is reached. */
  readonly live: readonly C[];
  readonly left: readonly { readonly candidate: C; readonly id: number }[];
}

function byTimeline<C extends Candidate>(candidates: readonly C[], timelines: readonly Timeline[]): ByTimeline<C> {
  const followed = candidates.map((candidate) => ({ candidate, id: followedFrom(candidate, timelines) }));
  const newest = Math.max(...timelines.map(({ id }) => id), ...followed.map(({ id }) => id));
  return {
    newest,
    live: followed.filter(({ id }) => id === newest).map(({ candidate }) => candidate),
    left: followed.filter(({ id }) => id !== newest),
  };
}

function followedFrom({ stored }: Candidate, timelines: readonly Timeline[]): number {
  const { timeline } = parseSegmentName(stored.wal.start, segmentBytesOf(stored));
  return followTimeline({ timeline, stopLsn: stored.lsn.stop }, timelines).timeline.id;
}

function givenUp({ stored: { label } }: Candidate, id: number, newest: number): RepriseError {
  return new RepriseError(
    'wal-gap',
    `backup ${label} is on timeline ${id}, which ended before the backup was complete: the newest timeline, ${newest}, cannot be reached from it`,
    `take a full backup of the running server; to recover from timeline ${id}, name a point in time or --to backup:${label}`,
  );
}
