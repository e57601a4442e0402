import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { TimelineChoice } from '../../domain/target/timeline-choice.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { parseLsn, parseSegmentName } from '../../domain/target/wal.js';
import { afterWal, assertRecoverable } from './assert-recoverable.js';
import { byTimeline, positionOf } from './by-timeline.js';
import type { Candidate, PlainTarget } from './choose-base-backup.js';
import { chooseBaseBackup } from './choose-base-backup.js';
import { segmentBytesOf } from './contiguous-wal.js';
import type { Commit, Course, NamedTarget, Occurrence, Place, Stop, TimeFound } from './find-stop.js';
import { findLsn, findNamed, findTime, latestInstant, stopAt } from './find-stop.js';
import { describeMissingWal } from './messages.js';
import { elsewhere, lsnReadings, namedReadings, refuseAmbiguous, timeReadings } from './other-timelines.js';
import type { RecoverableRange, WalSources } from './recoverable-range.js';
import { recoverableRange } from './recoverable-range.js';
import { followedSegments, type PresentSegments } from './scan/followed-segments.js';
import type { ScanSources } from './scan/scan-wal.js';
import type { Timeline } from './timelines.js';
import { followTimeline, leadsTo } from './timelines.js';
import type { WalReader } from './wal-archive.js';
import { compareInstants } from '../../domain/target/instant.js';

/** Everything that a recovery is chosen from, read once for an outline. */
export interface RecoverySources extends WalSources, ScanSources {
  /** Timelines known by a history, their ancestors, and those that backups and segments are on. */
  readonly all: readonly Timeline[];
  readonly present: PresentSegments;
}

export interface RecoveryWanted {
  readonly target: RecoveryTarget;
  /** Absent: the newest timeline, where the target cannot mean another one too. */
  readonly timeline?: TimelineChoice | undefined;
}

export interface RecoveryChoice<C extends Candidate> {
  readonly chosen: C;
  readonly range: RecoverableRange;
  readonly stop: Stop;
  /** Why other backups are not used, or what the chosen one does not lead to. */
  readonly warnings: readonly string[];
}

/** @throws RepriseError where the programs of this host cannot run a backup, or it is of another cluster */
type RequireFit<C> = (candidate: C) => Promise<void>;

const PLAIN: Stop = { target: null, commit: null, at: null, note: null };

/**
 * Chooses the backup that a recovery begins with, the timeline that it follows, and where it stops. Where nobody names a
 * timeline it is the newest one: a target that may mean a timeline which a recovery has left is refused, with both
 * readings, and so is one that is only there.
 * @param candidates newest first, at least one
 * @throws RepriseError `target-ambiguous`, `target-before-backup`, `target-after-wal`, `wal-gap`, `not-found`
 */
export async function chooseRecovery<C extends Candidate>(
  context: WalReader,
  wanted: RecoveryWanted,
  candidates: readonly C[],
  sources: RecoverySources,
  requireFit: RequireFit<C>,
): Promise<RecoveryChoice<C>> {
  const { target, timeline } = wanted;
  const search = new RecoverySearch(context, sources, requireFit);
  if (timeline === 'backup') return search.reach(target, candidates, (candidate) => [search.ownTimeline(candidate)]);
  const newest = newestOf(candidates, sources);
  if (timeline !== undefined) return onNamed(search, target, candidates, timeline === 'latest' ? newest : timeline);
  if (target.kind === 'backup') return search.reach(target, candidates);
  return onNewest(search, target, candidates, newest);
}

/** Along a timeline that somebody has named: what others hold is not looked at. */
async function onNamed<C extends Candidate>(
  search: RecoverySearch<C>,
  target: RecoveryTarget,
  candidates: readonly C[],
  id: number,
): Promise<RecoveryChoice<C>> {
  const timeline = search.sources.all.find((known) => known.id === id);
  if (timeline === undefined)
    throw new RepriseError(
      'not-found',
      `there is no timeline ${id}`,
      `these are known: ${search.sources.all.map((known) => known.id).join(', ')}`,
    );
  const leading = candidates.filter((candidate) => search.leads(candidate, timeline));
  if (leading.length === 0)
    throw new RepriseError(
      'target-before-backup',
      `no backup leads to timeline ${id}: those that there are ended after it was left, or are of another one`,
      'choose another timeline, or a backup: --to backup:ID',
    );
  return search.reach(target, leading, () => [timeline]);
}

/** Along the newest timeline, first with the backups that lead there. */
async function onNewest<C extends Candidate>(
  search: RecoverySearch<C>,
  target: RecoveryTarget,
  candidates: readonly C[],
  newest: number,
): Promise<RecoveryChoice<C>> {
  const { live, left, passedOver } = byTimeline(target, candidates, newest, search.sources.timelines);
  let refused: unknown = null;
  if (live.length > 0) {
    try {
      const found = await search.reachUnambiguously(target, live, candidates);
      return { ...found, warnings: [...passedOver, ...found.warnings] };
    } catch (error) {
      if (left.length === 0 || !isRepriseError(error) || error.code !== 'target-before-backup') throw error;
      refused = error;
    }
  }
  const choice = await search.reach(target, left).catch((error: unknown) => {
    // Where no backup leads to it, the first error is the helpful one.
    throw refused ?? error;
  });
  return {
    ...choice,
    warnings: [
      ...choice.warnings,
      `backup ${choice.chosen.stored.label} is on a timeline that an earlier recovery has ended: changes on the newest timeline, ${newest}, are not recovered`,
    ],
  };
}

function newestOf(candidates: readonly Candidate[], { timelines }: WalSources): number {
  return Math.max(
    ...timelines.map(({ id }) => id),
    ...candidates.map(({ stored }) => followTimeline(positionOf(stored), timelines).timeline.id),
  );
}

/** The timelines that a recovery from a backup may follow; the newest of them is. */
type Follow<C> = (candidate: C) => readonly Timeline[];

/** One target looked for, along one timeline or another. */
class RecoverySearch<C extends Candidate> {
  constructor(
    private readonly context: WalReader,
    readonly sources: RecoverySources,
    private readonly requireFit: RequireFit<C>,
  ) {}

  /** The newest timeline that goes through a backup. */
  followed(candidate: C, among: readonly Timeline[] = this.sources.timelines): Timeline {
    return followTimeline(positionOf(candidate.stored), among).timeline;
  }

  leads({ stored }: C, timeline: Timeline): boolean {
    return leadsTo(positionOf(stored), timeline);
  }

  ownTimeline({ stored }: C): Timeline {
    const { timeline: id } = positionOf(stored);
    return this.sources.all.find((known) => known.id === id) ?? { id, history: [] };
  }

  /** As PostgreSQL would come to it, whatever other timelines hold. */
  async reach(
    target: RecoveryTarget,
    candidates: readonly C[],
    follow: Follow<C> = () => this.sources.timelines,
  ): Promise<RecoveryChoice<C>> {
    switch (target.kind) {
      case 'xid':
      case 'before-xid':
      case 'name':
        return this.toNamed(target, candidates, follow, await this.occurrences(target, candidates, follow));
      case 'time': {
        const chosen = await this.fitting(target, candidates);
        const range = await this.rangeFrom(chosen, follow);
        return this.toTime(target, chosen, range, await this.timeIn(target, chosen, range));
      }
      case 'lsn': {
        const chosen = await this.fitting(target, candidates);
        return this.toLsn(target, chosen, await this.rangeFrom(chosen, follow));
      }
      default: {
        const chosen = await this.fitting(target, candidates);
        const range = await this.rangeFrom(chosen, follow);
        assertRecoverable(target, chosen, range);
        return { chosen, range, stop: PLAIN, warnings: [] };
      }
    }
  }

  /**
   * The same along the newest timeline, where the target has no other reading.
   * @param everything also the backups that do not lead there
   */
  async reachUnambiguously(
    target: RecoveryTarget,
    live: readonly C[],
    everything: readonly C[],
  ): Promise<RecoveryChoice<C>> {
    const others = {
      ...this.sources,
      leads: (timeline: Timeline) => everything.some((one) => this.leads(one, timeline)),
    };
    const follow: Follow<C> = () => this.sources.timelines;
    const timeline = this.followed(live[0] as C);
    switch (target.kind) {
      case 'time': {
        const chosen = await this.fitting(target, live);
        const range = await this.rangeFrom(chosen, follow);
        const found = await this.timeIn(target, chosen, range);
        const { segmentBytes } = range;
        const own = { timeline, segmentBytes, backupEnd: chosen.stored.lsn.stop, commit: found.place.commit };
        refuseAmbiguous(target, await timeReadings(this.context, others, own, target));
        return this.toTime(target, chosen, range, found);
      }
      case 'lsn': {
        const chosen = await this.fitting(target, live);
        const range = await this.rangeFrom(chosen, follow);
        refuseAmbiguous(
          target,
          lsnReadings(others, { timeline, segmentBytes: range.segmentBytes }, target, range.endLsn),
        );
        return this.toLsn(target, chosen, range);
      }
      case 'xid':
      case 'before-xid':
      case 'name': {
        const found = await this.occurrences(target, live, follow);
        const segmentBytes = segmentBytesOf((live[0] as C).stored);
        const readings = await namedReadings(this.context, others, { timeline, segmentBytes }, target);
        if (found.places.length === 0 && readings.length > 0) throw elsewhere(target, timeline.id, readings);
        const own = found.places.map(({ lsn, at }) => ({ timeline: timeline.id, lsn, at }));
        if (readings.length > 0) refuseAmbiguous(target, [...own, ...readings]);
        return this.toNamed(target, live, follow, found);
      }
      default:
        return this.reach(target, live);
    }
  }

  private async fitting(target: PlainTarget, candidates: readonly C[]): Promise<C> {
    const chosen = chooseBaseBackup(target, candidates);
    await this.requireFit(chosen);
    return chosen;
  }

  private rangeFrom(chosen: C, follow: Follow<C>): Promise<RecoverableRange> {
    return recoverableRange(this.context, chosen.stored, { ...this.sources, timelines: follow(chosen) });
  }

  /** The WAL from a backup's end on. */
  private courseFrom({ stored }: C, timeline: Timeline, toLsn: string | null): Course {
    const segmentBytes = segmentBytesOf(stored);
    const from = parseSegmentName(stored.wal.stop, segmentBytes).number;
    const to = toLsn === null ? null : parseLsn(toLsn) / BigInt(segmentBytes);
    const files = followedSegments(this.sources.present, timeline, segmentBytes, { from, to });
    return { files, segmentBytes, fromLsn: stored.lsn.stop, toLsn };
  }

  private timeIn(
    { time }: Extract<RecoveryTarget, { kind: 'time' }>,
    chosen: C,
    range: RecoverableRange,
  ): Promise<TimeFound> {
    assertRecoverable({ kind: 'end-of-backup' }, chosen, range);
    return findTime(this.context, this.sources, this.courseFrom(chosen, range.followed.timeline, null), time);
  }

  private async toTime(
    target: Extract<RecoveryTarget, { kind: 'time' }>,
    chosen: C,
    range: RecoverableRange,
    { place, next, latest, damaged }: TimeFound,
  ): Promise<RecoveryChoice<C>> {
    const isAfter = (instant: string | null): boolean => instant === null || compareInstants(target.time, instant) > 0;
    if (next === null && isAfter(latest)) {
      const course = this.courseFrom(chosen, range.followed.timeline, null);
      const told = (await latestInstant(this.context, this.sources, course)) ?? latest;
      if (isAfter(told))
        throw afterWal(target, withDamage({ ...range, lastCommitAt: told ?? range.lastCommitAt }, damaged));
    }
    return { chosen, range, stop: stopOf(target, place, null, { at: null, note: null }), warnings: [] };
  }

  private async toLsn(
    target: Extract<RecoveryTarget, { kind: 'lsn' }>,
    chosen: C,
    range: RecoverableRange,
  ): Promise<RecoveryChoice<C>> {
    assertRecoverable(target, chosen, range);
    const { timeline } = range.followed;
    const course = this.courseFrom(chosen, timeline, target.lsn);
    const { place, damaged } = await findLsn(this.context, this.sources, course, target.lsn);
    if (damaged !== null) throw afterWal(target, withDamage(range, damaged));
    const stop = stopOf(target, place, target.lsn, { at: null, note: null });
    const isItself = stop.target?.kind === 'lsn' && stop.target.lsn === target.lsn;
    return { chosen, range, stop: isItself ? { ...stop, target: null } : stop, warnings: [] };
  }

  /** The one place, and the newest backup that ended before it. */
  private async toNamed(
    target: NamedTarget,
    candidates: readonly C[],
    follow: Follow<C>,
    { places, damaged }: Found<C>,
  ): Promise<RecoveryChoice<C>> {
    const [found, another] = places;
    if (found === undefined) throw await this.notFound(target, candidates, follow, damaged);
    if (another !== undefined)
      refuseAmbiguous(
        target,
        places.map(({ lsn, at, candidate }) => ({ timeline: this.followed(candidate, follow(candidate)).id, lsn, at })),
      );
    const { candidate: chosen, lsn, at, note, place } = found;
    await this.requireFit(chosen);
    const range = await this.rangeFrom(chosen, follow);
    assertRecoverable(target, chosen, range);
    const exact = target.kind === 'before-xid' ? null : lsn;
    const stop = stopOf(target, place, exact, { at: target.kind === 'before-xid' ? null : at, note });
    return { chosen, range, stop, warnings: note === null ? [] : [note] };
  }

  /**
   * From the newest backup back, each one's WAL up to the next backup's end. The end of a transaction is in the WAL once; a
   * restore point's name may be used again, so that all of the WAL is searched for it.
   */
  private async occurrences(target: NamedTarget, candidates: readonly C[], follow: Follow<C>): Promise<Found<C>> {
    const places: (Occurrence & { readonly candidate: C })[] = [];
    const damaged: string[] = [];
    const ends = new Map<number, string>();
    for (const candidate of candidates) {
      const timeline = this.followed(candidate, follow(candidate));
      const course = this.courseFrom(candidate, timeline, ends.get(timeline.id) ?? null);
      ends.set(timeline.id, candidate.stored.lsn.stop);
      const { found, damaged: bad } = await findNamed(this.context, this.sources, course, target);
      if (bad !== null) damaged.push(bad);
      places.push(...found.map((one) => ({ ...one, candidate })));
      if (places.length > 0 && target.kind !== 'name') break;
    }
    return { places, damaged };
  }

  private async notFound(
    target: NamedTarget,
    candidates: readonly C[],
    follow: Follow<C>,
    damaged: readonly string[],
  ): Promise<RepriseError> {
    const newest = await this.rangeFrom(candidates[0] as C, follow);
    const unreadable = [...new Set([...damaged, ...newest.damaged])].sort();
    const missing = [...new Set([...unreadable, ...newest.missing])].sort();
    if (missing.length > 0)
      return new RepriseError(
        'wal-gap',
        `${formatTarget(target)} is not in the WAL that can be read: ${describeMissingWal({ missing, damaged: unreadable })}, and no recovery can continue after a gap`,
        'recover to a point in time before it, or put a good copy of it into the archive',
      );
    const { stored: earliest } = candidates.at(-1) as C;
    const isTransaction = target.kind === 'xid' || target.kind === 'before-xid';
    return new RepriseError(
      'target-after-wal',
      `${formatTarget(target)} is not in the WAL between ${earliest.lsn.stop} and ${newest.endLsn ?? 'its end'}`,
      `the latest recoverable time is ${newest.lastCommitAt ?? 'not known'}; ${isTransaction ? 'one that ended before the end of the oldest backup cannot be told apart; see the others: reprise wal transactions CLUSTER --from TIME' : 'compare the name with the log of the application'}`,
    );
  }
}

interface Found<C> {
  readonly places: readonly (Occurrence & { readonly candidate: C })[];
  readonly damaged: readonly string[];
}

function stopOf(target: RecoveryTarget, place: Place, exact: string | null, known: Pick<Stop, 'at' | 'note'>): Stop {
  const { commit }: { readonly commit: Commit | null } = place;
  return { target: stopAt(target, place, exact), commit, ...known };
}

/** The range with a segment that turned out to be damaged when it was read. */
function withDamage(range: RecoverableRange, damaged: string | null): RecoverableRange {
  if (damaged === null || range.missing.includes(damaged)) return range;
  return {
    ...range,
    missing: [...range.missing, damaged].sort(),
    damaged: [...range.damaged, damaged].sort(),
  };
}
