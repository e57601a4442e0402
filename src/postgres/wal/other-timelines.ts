import { RepriseError } from '../../domain/errors.js';
import { compareInstants } from '../../domain/target/instant.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { compareLsn, parseLsn, parseSegmentName } from '../../domain/target/wal.js';
import type { Commit, Course, NamedTarget } from './find-stop.js';
import { findNamed, findTime } from './find-stop.js';
import { followedSegments, type PresentSegments } from './scan/followed-segments.js';
import { scanWal, type ScanSources } from './scan/scan-wal.js';
import { type Branch, branchesOf, type Timeline } from './timelines.js';
import type { WalReader } from './wal-archive.js';

/** One place that a target may mean. */
export interface Reading {
  readonly timeline: number;
  /** Position of what the target names, or of the last commit before it; null where it is not known. */
  readonly lsn: string | null;
  /** When that was. */
  readonly at: string | null;
  /** The target is after all that the timeline holds. */
  readonly atItsEnd?: true;
}

/** What is looked at of timelines beside the followed one. */
export interface OtherSources extends ScanSources {
  readonly all: readonly Timeline[];
  readonly present: PresentSegments;
  /** Whether any backup leads to a timeline. */
  readonly leads: (timeline: Timeline) => boolean;
}

/** The timeline that is followed unless another one is named. */
export interface FollowedTimeline {
  readonly timeline: Timeline;
  readonly segmentBytes: number;
}

/**
 * What an instant may mean: the followed timeline alone, or also one that was written to at that time, or last before it,
 * and was left by a recovery to an earlier point. Empty where there is no other than the followed one.
 */
export async function timeReadings(
  context: WalReader,
  sources: OtherSources,
  own: FollowedTimeline & { readonly backupEnd: string; readonly commit: Commit | null },
  { time }: { readonly time: string },
): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const branch of branches(sources, own)) {
    // The backup was made on the followed timeline, after that one was left and before the instant.
    if (compareLsn(branch.at, own.backupEnd) < 0) continue;
    const found = await findTime(context, sources, courseOf(sources, own, branch), time);
    const { commit } = found.place;
    // The instant is before anything that only that timeline has.
    if (commit === null) continue;
    const ended = found.next === null;
    if (ended && (await wasInUse(context, sources, own, branch, time))) continue;
    readings.push({
      timeline: branch.timeline.id,
      lsn: commit.lsn,
      at: commit.time,
      ...(ended ? { atItsEnd: true as const } : {}),
    });
  }
  return readings.length === 0
    ? []
    : [{ timeline: own.timeline.id, lsn: own.commit?.lsn ?? null, at: own.commit?.time ?? null }, ...readings];
}

/** Whether the followed timeline was the one in use at an instant, after the other had ended. */
async function wasInUse(
  context: WalReader,
  sources: OtherSources,
  own: FollowedTimeline & { readonly commit: Commit | null },
  { successor }: Branch,
  time: string,
): Promise<boolean> {
  if (successor === undefined) return false;
  if (own.commit !== null && compareLsn(own.commit.lsn, successor.begin) >= 0) return true;
  const number = parseLsn(successor.begin) / BigInt(own.segmentBytes);
  const files = followedSegments(sources.present, own.timeline, own.segmentBytes, { from: number, to: number });
  let promoted: string | null = null;
  await scanWal(context, sources, { files, segmentBytes: own.segmentBytes, control: true }, (event) => {
    if (event.kind === 'promotion' && event.lsn >= parseLsn(successor.begin)) promoted ??= event.time;
    return promoted === null;
  });
  return promoted !== null && compareInstants(time, promoted) >= 0;
}

/** Timelines beside the followed one on which there is a position, and that one; empty where there is no other. */
export function lsnReadings(
  sources: OtherSources,
  own: FollowedTimeline,
  { lsn }: { readonly lsn: string },
  ownEnd: string | null,
): readonly Reading[] {
  const others = branches(sources, own)
    .filter((branch) => compareLsn(lsn, branch.at) > 0 && parseLsn(lsn) < endOf(sources, own, branch))
    .map(({ timeline }) => ({ timeline: timeline.id, lsn, at: null }));
  if (others.length === 0) return [];
  const isThere = ownEnd === null || compareLsn(lsn, ownEnd) <= 0;
  return isThere ? [{ timeline: own.timeline.id, lsn, at: null }, ...others] : others;
}

/** Where other timelines, that a backup leads to, hold what a target names. */
export async function namedReadings(
  context: WalReader,
  sources: OtherSources,
  own: FollowedTimeline,
  target: NamedTarget,
): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const branch of branches(sources, own)) {
    const { found } = await findNamed(context, sources, courseOf(sources, own, branch), target);
    readings.push(...found.map(({ lsn, at }) => ({ timeline: branch.timeline.id, lsn, at })));
  }
  return readings;
}

/** The branches that could be recovered to, and hold WAL of their own. */
function branches(sources: OtherSources, own: FollowedTimeline): readonly Branch[] {
  return branchesOf(own.timeline, sources.all).filter(
    (branch) => sources.leads(branch.timeline) && parseLsn(branch.at) < endOf(sources, own, branch),
  );
}

/** Position after the last segment that a branch has of its own. */
function endOf({ present }: OtherSources, { segmentBytes }: FollowedTimeline, { timeline, at }: Branch): bigint {
  const size = BigInt(segmentBytes);
  let number = parseLsn(at) / size - 1n;
  for (const name of present.keys()) {
    const segment = parseSegmentName(name, segmentBytes);
    if (segment.timeline === timeline.id && segment.number > number) number = segment.number;
  }
  return (number + 1n) * size;
}

function courseOf({ present }: OtherSources, { segmentBytes }: FollowedTimeline, { timeline, at }: Branch): Course {
  const from = parseLsn(at) / BigInt(segmentBytes);
  const files = followedSegments(present, timeline, segmentBytes, { from, to: null });
  return { files, segmentBytes, fromLsn: at, toLsn: null };
}

/**
 * Refuses a target that has more than one reading, naming each with what to type for it.
 * @throws RepriseError `target-ambiguous`; nothing where there is none or one
 */
export function refuseAmbiguous(target: RecoveryTarget, readings: readonly Reading[]): void {
  if (readings.length === 0) return;
  if (readings.length === 1) throw elsewhere(target, null, readings);
  const places = readings.map((reading) => inWords(target, reading)).join('; ');
  throw new RepriseError(
    'target-ambiguous',
    `${formatTarget(target)} has ${readings.length} meanings: ${places}`,
    `name the one that is meant: ${readings.map((reading) => commandOf(target, reading, readings)).join(', or ')}`,
    { readings },
  );
}

/** The refusal of what only a timeline holds that a recovery has left. */
export function elsewhere(target: RecoveryTarget, newest: number | null, readings: readonly Reading[]): RepriseError {
  const places = readings.map((reading) => inWords(target, reading)).join('; ');
  return new RepriseError(
    'target-after-wal',
    `${formatTarget(target)} is not on the newest timeline${newest === null ? '' : `, ${newest}`}: ${places}`,
    `to recover to a timeline that was left, name it: ${readings.map((reading) => commandOf(target, reading, readings)).join(', or ')}`,
    { readings },
  );
}

function inWords({ kind }: RecoveryTarget, { timeline, lsn, at, atItsEnd }: Reading): string {
  const where = `${lsn === null ? '' : ` at ${lsn}`}${at === null ? '' : `, of ${at}`}`;
  if (kind !== 'time') return `on timeline ${timeline}${where}`;
  if (lsn === null) return `on timeline ${timeline} it is before the first commit after the backup`;
  return `on timeline ${timeline} the last commit ${atItsEnd ? 'of all' : 'before it'} is${where.replace(',', '')}`;
}

/** What to type for a reading; where a timeline has several, the position says which. */
function commandOf(target: RecoveryTarget, { timeline, lsn, atItsEnd }: Reading, all: readonly Reading[]): string {
  const isOnly = all.filter((other) => other.timeline === timeline).length === 1;
  const to = atItsEnd ? 'latest' : isOnly || lsn === null ? formatTarget(target) : `lsn:${lsn}`;
  return `--to ${to} --timeline ${timeline}`;
}
