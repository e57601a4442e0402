import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { TimelineHistory } from '../../domain/plan/timeline-history.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn, parseLsn, parseSegmentName } from '../../domain/target/wal.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { isFreshCluster } from '../../postgres/server/data-directory.js';
import { makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import type { OnlineBackup, WalArchive } from '../../postgres/wal/wal-archive.js';
import { consistentFrom } from '../../domain/target/consistent-from.js';
import type { Candidate } from '../../postgres/wal/choose-base-backup.js';
import { chooseRecovery, type RecoverySources } from '../../postgres/wal/choose-recovery.js';
import type { Stop } from '../../postgres/wal/find-stop.js';
import { type RecoverableRange, readTimelines } from '../../postgres/wal/recoverable-range.js';
import { presentSegments } from '../../postgres/wal/scan/followed-segments.js';
import { allTimelines, branchesOf, pathOf, switchedAt } from '../../postgres/wal/timelines.js';
import {
  historyWarnings,
  requireHistories,
  timelinesWithoutHistory,
} from '../../postgres/wal/timelines-without-history.js';
import { describeMissingWal, describeLatestRecoverable } from '../../postgres/wal/messages.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../engine.js';
import { removeTree } from '../../files/remove-tree.js';
import { safeFileName } from '../../files/safe-names.js';

/** WAL that is in a recovering server's pg_wal at a time: restart points remove what is older. */
const REPLAY_SEGMENTS = 64;

/** A physical backup as its repository knows it. */
export interface StoredBackup extends OnlineBackup {
  /** Bytes of the restored cluster. */
  readonly databaseBytes: number;
  /** Major version of its PostgreSQL. */
  readonly major: number;
}
export type PhysicalCandidate = Candidate<StoredBackup>;

/** What an engine found of a request's candidates. */
export interface PhysicalFind {
  /** Those that can be restored, at least one. */
  readonly candidates: readonly PhysicalCandidate[];
  readonly archive: WalArchive;
  /** Why others are passed over. */
  readonly warnings: readonly string[];
}

/**
 * Looks, without changing anything, whether and how a target can be reached: which backup, along which timeline, with
 * which WAL; and refuses what cannot be. The same for every engine that keeps WAL.
 * @throws RepriseError `identity-mismatch`, `version-mismatch`, `target-before-backup`, `target-after-wal`, `wal-gap`,
 *   `not-found`
 */
export async function outlinePhysical(
  context: ReadContext,
  request: OutlineRequest,
  { candidates: found, archive, warnings }: PhysicalFind,
): Promise<RecoveryOutline> {
  const candidates = found.toSorted((a, b) => b.stored.finishedAt.localeCompare(a.stored.finishedAt));
  return inScratch(context, async (scratch) => {
    const { target } = request;
    const fresh = await freshStranger(context, request.oldDataDir, candidates);
    // Nothing of the lost server is in there.
    const oldDataDir = fresh === null ? request.oldDataDir : null;
    const sources = await readSources(candidates, archive, oldDataDir, scratch);
    const {
      chosen,
      range,
      stop,
      warnings: left,
    } = await chooseRecovery(context, request, candidates, sources, (one) => requireFit(context, one, oldDataDir));
    const { timeline } = parseSegmentName(chosen.stored.wal.start, range.segmentBytes);
    const unknown = timelinesWithoutHistory(archive.segments, sources.timelines, timeline);
    if (target.kind === 'latest' && (request.timeline ?? 'latest') === 'latest')
      requireHistories(range.followed.timeline.id, unknown);
    return {
      ...outlineOf(chosen, candidates, range, target, stop),
      ...(fresh === null ? {} : { freshCluster: fresh }),
      history: historyOf(range, sources),
      warnings: [
        ...warnings,
        ...left,
        ...rangeWarnings(range, chosen, sources),
        ...historyWarnings(unknown),
        ...unloggedWarnings(chosen),
      ],
    };
  });
}

async function readSources(
  candidates: readonly PhysicalCandidate[],
  archive: WalArchive,
  oldDataDir: string | null,
  scratch: string,
): Promise<RecoverySources> {
  const timelines = await readTimelines(archive, oldDataDir);
  const present = await presentSegments(archive, oldDataDir);
  const ids = [...present.keys(), ...candidates.map(({ stored }) => stored.wal.start)].map(
    (name) => parseSegmentName(name).timeline,
  );
  const major = candidates[0]?.stored.major ?? 0;
  return { archive, timelines, oldDataDir, scratch, present, all: allTimelines(timelines, new Set(ids)), major };
}

/** A new, empty cluster where the one of the backups was: its system identifier; null for anything else. */
async function freshStranger(
  { pgBin, user }: ReadContext,
  dataDir: string | null,
  candidates: readonly PhysicalCandidate[],
): Promise<string | null> {
  const found = dataDir === null ? null : await readControlData(pgBin, dataDir, user);
  if (dataDir === null || found === null) return null;
  const isKnown = candidates.some(({ stored }) => stored.systemIdentifier === found.systemIdentifier);
  return !isKnown && (await isFreshCluster(dataDir)) ? found.systemIdentifier : null;
}

/** The programs that will run it, and the cluster it is to replace. */
async function requireFit(
  context: ReadContext,
  { backup, stored }: PhysicalCandidate,
  oldDataDir: string | null,
): Promise<void> {
  const { stdout } = await runProgram([join(context.pgBin, 'postgres'), '--version'], { user: context.user });
  const major = Number(/ (\d+)/.exec(stdout)?.[1]);
  if (major !== stored.major) {
    throw new RepriseError(
      'version-mismatch',
      `backup ${stored.label} is of PostgreSQL ${stored.major}, and the programs here are of ${major}`,
      `install postgresql-${stored.major}`,
    );
  }
  const recorded = backup.server?.systemIdentifier;
  const old = oldDataDir === null ? null : await readControlData(context.pgBin, oldDataDir, context.user);
  const stranger = [recorded, old?.systemIdentifier].find(
    (found) => found !== undefined && found !== stored.systemIdentifier,
  );
  if (stranger !== undefined) {
    throw new RepriseError(
      'identity-mismatch',
      `backup ${stored.label} is of the cluster ${stored.systemIdentifier}, not of ${stranger}`,
      'compare the options of the policy, data_dir and the cluster in the configuration: they have to be one cluster',
    );
  }
}

function outlineOf(
  chosen: PhysicalCandidate,
  candidates: readonly PhysicalCandidate[],
  reach: RecoverableRange,
  target: RecoveryTarget,
  stop: Stop,
): Omit<RecoveryOutline, 'history' | 'warnings'> {
  const { databaseBytes, systemIdentifier } = chosen.stored;
  const between = segmentsBetween(chosen, reach);
  const walBytes = Math.min(REPLAY_SEGMENTS, between) * reach.segmentBytes;
  return {
    backups: [chosen.backup],
    target: stop.target ?? (target.kind === 'backup' ? { kind: 'end-of-backup' } : target),
    stateAt: stateAt(target, stop, chosen, reach),
    lastCommitAt: target.kind === 'latest' ? reach.lastCommitAt : (stop.commit?.time ?? null),
    ...(target.kind === 'latest' && reach.lastCommitLsn !== null && { lastCommitLsn: reach.lastCommitLsn }),
    timeline: reach.followed.timeline.id,
    systemIdentifier,
    sizeBytes: databaseBytes,
    neededBytes: databaseBytes + walBytes,
    walBytes,
    replayBytes: target.kind === 'end-of-backup' ? 0 : between * reach.segmentBytes,
    reachableFrom: earliest(candidates),
    reachableTo: reach.lastCommitAt,
    // Before a gap it is no end: a recovery sent on to latest would stop there and look whole.
    walEnd: reach.missing.length > 0 ? null : reach.endLsn,
    salvageableSegments: reach.salvage?.segments.length ?? 0,
  };
}

/** From where the choice begins: the oldest backup's end. */
function earliest(candidates: readonly PhysicalCandidate[]): string | null {
  const oldest = candidates.at(-1);
  return oldest === undefined ? null : consistentFrom(oldest.stored.finishedAt);
}

function segmentsBetween({ stored }: PhysicalCandidate, { endSegment, segmentBytes }: RecoverableRange): number {
  if (endSegment === null) return 0;
  return (
    Number(
      parseSegmentName(endSegment, segmentBytes).number - parseSegmentName(stored.wal.start, segmentBytes).number,
    ) + 1
  );
}

/** Directory for fetched WAL, the operation's own: what a killed worker left in it is removed by the next attempt. */
async function inScratch<T>(context: ReadContext, work: (directory: string) => Promise<T>): Promise<T> {
  await makeScratchDirectory(context.host.scratchDir, context.user);
  const directory = join(context.host.scratchDir, `outline-${safeFileName(context.operationId)}`);
  await removeTree(directory);
  await mkdir(directory, { mode: 0o700 });
  try {
    return await work(directory);
  } finally {
    await removeTree(directory);
  }
}

/** The instant whose data comes back; null where nothing says it. */
function stateAt(
  target: RecoveryTarget,
  { at, commit }: Stop,
  { backup, stored }: PhysicalCandidate,
  range: RecoverableRange,
): string | null {
  switch (target.kind) {
    case 'latest':
      return range.lastCommitAt;
    case 'time':
      return target.time;
    case 'backup':
    case 'end-of-backup':
      return backup.finishedAt ?? stored.finishedAt;
    default:
      return at ?? commit?.time ?? null;
  }
}

/** So many tables are named; the rest is counted. */
const NAMED_TABLES = 3;

function unloggedWarnings({ backup: { contents = [] } }: PhysicalCandidate): string[] {
  const unlogged = contents.filter((count) => count.unlogged === true && count.rows > 0);
  if (unlogged.length === 0) return [];
  const named = unlogged.slice(0, NAMED_TABLES).map(({ database, schema, table }) => `${database}: ${schema}.${table}`);
  const more = unlogged.length - named.length;
  return [
    `unlogged tables come back empty, as PostgreSQL writes no WAL for them: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`,
  ];
}

/** Which history is followed, where the cluster has more than one. */
function historyOf({ followed: { timeline } }: RecoverableRange, { all }: RecoverySources): TimelineHistory {
  return {
    newest: Math.max(timeline.id, ...all.map(({ id }) => id)),
    path: pathOf(timeline).map(({ id, until }) => ({ timeline: id, until })),
  };
}

function rangeWarnings(
  range: RecoverableRange,
  { stored }: PhysicalCandidate,
  { all, present }: RecoverySources,
): string[] {
  const { timeline } = range.followed;
  const { segmentBytes } = range;
  const others = branchesOf(timeline, all).filter(
    ({ timeline: { id, history }, at, parting }) =>
      (history.length > 0 || switchedAt(timeline, id) !== null) &&
      compareLsn(parting, stored.lsn.stop) >= 0 &&
      (id > timeline.id || [...present.keys()].some((name) => isBeyond(name, id, at, segmentBytes))),
  );
  const warnings = others.map(
    ({ timeline: { id }, parting }) =>
      `timeline ${timeline.id} is followed; changes on timeline ${id} after ${parting}, where the timelines diverge, are not recovered`,
  );
  if (range.missing.length > 0)
    warnings.push(
      `${describeMissingWal(range)}: what follows cannot be recovered; ${describeLatestRecoverable(range)}`,
    );
  return warnings;
}

/** Whether a segment is of a timeline's own, after it went apart from the one that is followed. */
function isBeyond(name: string, id: number, at: string, segmentBytes: number): boolean {
  const { timeline, number } = parseSegmentName(name, segmentBytes);
  return timeline === id && number >= parseLsn(at) / BigInt(segmentBytes);
}
