import { compareInstants } from '../../domain/target/instant.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { RepriseError } from '../../domain/errors.js';
import { formatTarget } from '../../domain/target/target.js';
import { formatLsn, parseLsn } from '../../domain/target/wal.js';
import type { FollowedSegment } from './scan/followed-segments.js';
import { scanWal, type ScanSources } from './scan/scan-wal.js';
import { type DropRecord, precedes, type TransactionEnd, type WalEvent, xidInWal } from './scan/wal-events.js';
import type { WalReader } from './wal-archive.js';

/** A target that only the WAL itself knows. */
export type NamedTarget = Extract<RecoveryTarget, { kind: 'xid' | 'before-xid' | 'name' }>;

export interface Commit {
  readonly lsn: string;
  /** UTC ISO-8601 with microseconds. */
  readonly time: string;
}

/** The WAL that is searched. */
export interface Course {
  readonly files: readonly FollowedSegment[];
  readonly segmentBytes: number;
  /** Only commits at or after this position count: before it a recovery is not consistent. */
  readonly fromLsn: string;
  /** Null: to the end. */
  readonly toLsn: string | null;
}

/** A place in the WAL: what was committed before it, and what was being dropped. */
export interface Place {
  /** Null where nothing was committed since the course begins. */
  readonly commit: Commit | null;
  /** Drops that have begun and not ended, oldest first. */
  readonly drops: readonly OpenDrop[];
}

interface OpenDrop {
  readonly xid: string;
  readonly what: DropRecord['what'];
  readonly lsn: string;
  /** The last commit before it. */
  readonly before: Commit | null;
}

/** Where a recovery stops, as PostgreSQL is told, and what it comes to. */
export interface Stop {
  /** Null: the target itself. */
  readonly target: Extract<RecoveryTarget, { kind: 'lsn' | 'end-of-backup' }> | null;
  /** The last commit that is recovered; null where it is not after the backup. */
  readonly commit: Commit | null;
  /** When what the target names happened: the end of the transaction, the restore point. */
  readonly at: string | null;
  /** What whoever approves has to know of it. */
  readonly note: string | null;
}

/** Follows commits and drops through the WAL. */
class CommitTracker {
  private commit: Commit | null = null;
  private readonly drops = new Map<string, OpenDrop>();

  constructor(private readonly fromLsn: bigint) {}

  get place(): Place {
    return { commit: this.commit, drops: [...this.drops.values()] };
  }

  note(event: WalEvent): void {
    if (event.kind === 'drop') {
      const { xid, what, lsn } = event;
      // The row of the database goes first, its files later.
      if (!this.drops.has(xid)) this.drops.set(xid, { xid, what, lsn: formatLsn(lsn), before: this.commit });
    }
    if (event.kind === 'running')
      for (const xid of this.drops.keys()) if (precedes(xid, event.oldest)) this.drops.delete(xid);
    if (event.kind !== 'commit' && event.kind !== 'abort') return;
    this.drops.delete(event.xid);
    if (event.kind === 'commit' && event.lsn >= this.fromLsn) this.commit = commitOf(event);
  }
}

const commitOf = ({ lsn, time }: Pick<TransactionEnd, 'lsn' | 'time'>): Commit => ({ lsn: formatLsn(lsn), time });

/** What was found for an instant. */
export interface TimeFound {
  readonly place: Place;
  /** The first commit of the course, at whatever time. */
  readonly first: Commit | null;
  /** The first commit, in the order of the WAL, that is later; null where the WAL ends before one. */
  readonly next: Commit | null;
  /** The latest time of a commit or a rollback before it: clocks are set, so that it need not be the last one's. */
  readonly latest: string | null;
  readonly damaged: string | null;
}

/**
 * Finds the last commit before the first one, in the order of the WAL, whose time is later than the instant. PostgreSQL
 * stops at that first one too, but by then has replayed what comes before its commit record: the removal of a database.
 */
export async function findTime(
  context: WalReader,
  sources: ScanSources,
  course: Course,
  time: string,
): Promise<TimeFound> {
  const from = parseLsn(course.fromLsn);
  const tracker = new CommitTracker(from);
  let [first, next, latest]: [Commit | null, Commit | null, string | null] = [null, null, null];
  const { damaged } = await scanWal(context, sources, course, (event) => {
    if (event.kind === 'commit' && event.lsn >= from) {
      first ??= commitOf(event);
      if (compareInstants(event.time, time) > 0) {
        next = commitOf(event);
        return false;
      }
    }
    if ((event.kind === 'commit' || event.kind === 'abort') && event.lsn >= from) latest = laterOf(event.time, latest);
    tracker.note(event);
    return true;
  });
  return { place: tracker.place, first, next, latest, damaged };
}

/**
 * The latest instant that the WAL tells of, also where nothing was committed then: a promotion, a restore point. What was
 * committed at any instant before it is known.
 */
export async function latestInstant(context: WalReader, sources: ScanSources, course: Course): Promise<string | null> {
  const from = parseLsn(course.fromLsn);
  let latest: string | null = null;
  await scanWal(context, sources, { ...course, control: true }, (event) => {
    if ('time' in event && event.time !== undefined && event.lsn >= from) latest = laterOf(event.time, latest);
    return true;
  });
  return latest;
}

function laterOf(time: string, latest: string | null): string {
  return latest === null || compareInstants(time, latest) > 0 ? time : latest;
}

/** What was committed, and being dropped, at a position: a record that begins there is replayed too. */
export async function findLsn(
  context: WalReader,
  sources: ScanSources,
  course: Course,
  lsn: string,
): Promise<{ readonly place: Place; readonly damaged: string | null }> {
  const tracker = new CommitTracker(parseLsn(course.fromLsn));
  const last = recordAt(parseLsn(lsn), BigInt(course.segmentBytes));
  const { damaged } = await scanWal(context, sources, course, (event) => {
    if (event.lsn > last) return false;
    tracker.note(event);
    return true;
  });
  return { place: tracker.place, damaged };
}

const WAL_BLOCK = 8192n;

/** A record does not begin at the beginning of a page, but behind the page's header. */
function recordAt(lsn: bigint, segmentBytes: bigint): bigint {
  if (lsn % WAL_BLOCK !== 0n) return lsn;
  return lsn + (lsn % segmentBytes === 0n ? 40n : 24n);
}

/** One place that a name or a transaction id means. */
export interface Occurrence {
  readonly lsn: string;
  readonly at: string | null;
  readonly place: Place;
  readonly note: string | null;
}

/** Every place in a course that a restore point's name means, or the one end of a transaction. */
export async function findNamed(
  context: WalReader,
  sources: ScanSources,
  course: Course,
  target: NamedTarget,
): Promise<{ readonly found: readonly Occurrence[]; readonly damaged: string | null }> {
  const [from, to] = [parseLsn(course.fromLsn), course.toLsn === null ? null : parseLsn(course.toLsn)];
  const tracker = new CommitTracker(from);
  const found: Occurrence[] = [];
  const match = matcher(target);
  const control = target.kind === 'name';
  const { damaged } = await scanWal(context, sources, { ...course, control }, (event) => {
    if (to !== null && event.lsn >= to) return false;
    const matched = event.lsn >= from ? match(event) : null;
    const before = tracker.place;
    tracker.note(event);
    if (matched === null) return true;
    const place = target.kind === 'before-xid' ? before : tracker.place;
    found.push({ lsn: formatLsn(event.lsn), place, ...matched });
    return target.kind === 'name';
  });
  return { found, damaged };
}

type Match = Pick<Occurrence, 'at' | 'note'>;

function matcher(target: NamedTarget): (event: WalEvent) => Match | null {
  if (target.kind === 'name')
    return (event) =>
      event.kind === 'restore-point' && event.name === target.name ? { at: event.time ?? null, note: null } : null;
  const xid = xidInWal(target.xid);
  return (event) => {
    if (event.kind !== 'commit' && event.kind !== 'abort') return null;
    const isPart = event.subxacts.includes(xid);
    if (event.xid !== xid && !isPart) return null;
    const part = isPart ? [`transaction ${xid} is a part (a savepoint) of transaction ${event.xid}`] : [];
    const undone = event.kind === 'abort' ? [`transaction ${event.xid} was rolled back`] : [];
    const notes = [...part, ...undone];
    return { at: event.time, note: notes.length === 0 ? null : `${notes.join(', and ')}: it ended at ${event.time}` };
  };
}

/**
 * Where the recovery stops for a place: after its last commit where a drop has begun since, whose files would be gone.
 * @param exact the very record to stop after; null: the last commit
 * @throws RepriseError `target-ambiguous` where others committed after the drop began: one of both is lost
 */
export function stopAt(target: RecoveryTarget, { commit, drops }: Place, exact: string | null): Stop['target'] {
  const last = {
    ...(commit === null ? { kind: 'end-of-backup' as const } : { kind: 'lsn' as const, lsn: commit.lsn }),
  };
  const [drop] = drops;
  if (drop === undefined) return exact === null ? last : { kind: 'lsn', lsn: exact };
  // Nothing was committed after it began.
  if (drop.before?.lsn === commit?.lsn) return last;
  throw dropUnderWay(target, drop);
}

function dropUnderWay(target: RecoveryTarget, { xid, what, lsn, before }: OpenDrop): RepriseError {
  const whole = before === null ? 'end-of-backup' : `lsn:${before.lsn}`;
  return new RepriseError(
    'target-ambiguous',
    `at ${formatTarget(target)} ${what} by transaction ${xid} had begun, at ${lsn}, and was not committed: files are removed before the commit, and others committed in between`,
    `name the one that is meant: --to ${whole} (before it began${before === null ? '' : `, last commit ${before.time}`}), or --to xid:${xid} (after it)`,
    { drop: { xid, what, lsn }, before },
  );
}
