import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { compareInstants } from '../../domain/target/instant.js';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { parseSegmentName } from '../../domain/target/wal.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import type { OnlineBackup, WalArchive } from '../../postgres/wal/wal-archive.js';
import { consistentFrom } from '../../postgres/wal/choose-base-backup.js';
import type { Candidate } from '../../postgres/wal/choose-base-backup.js';
import { chooseOnNewest } from '../../postgres/wal/newest-timeline.js';
import type { WalSources, RecoverableRange } from '../../postgres/wal/recoverable-range.js';
import { recoverableRange, readTimelines } from '../../postgres/wal/recoverable-range.js';
import { assertRecoverable } from '../../postgres/wal/assert-recoverable.js';
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
    const { oldDataDir, target } = request;
    const sources: WalSources = { archive, timelines: await readTimelines(archive, oldDataDir), oldDataDir, scratch };
    const { chosen, warnings: left } = await chooseOnNewest(context, target, candidates, sources);
    await requireFit(context, chosen, oldDataDir);
    const reach = await recoverableRange(context, chosen.stored, sources);
    const { timeline } = parseSegmentName(chosen.stored.wal.start, reach.segmentBytes);
    const unknown = timelinesWithoutHistory(archive.segments, sources.timelines, timeline);
    if (target.kind === 'latest') requireHistories(reach.followed.timeline.id, unknown);
    assertRecoverable(target, chosen, reach);
    return outlineOf(chosen, candidates, reach, resolved(target, reach), [
      ...warnings,
      ...left,
      ...reachWarnings(target, reach),
      ...historyWarnings(unknown),
      ...unloggedWarnings(chosen),
    ]);
  });
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
  warnings: readonly string[],
): RecoveryOutline {
  const { databaseBytes, systemIdentifier } = chosen.stored;
  const segments = Math.min(REPLAY_SEGMENTS, segmentsBetween(chosen, reach));
  return {
    backups: [chosen.backup],
    target,
    timeline: reach.followed.timeline.id,
    systemIdentifier,
    sizeBytes: databaseBytes,
    neededBytes: databaseBytes + segments * reach.segmentBytes,
    reachableFrom: earliest(candidates),
    reachableTo: reach.lastCommitAt,
    // Before a gap it is no end: a recovery sent on to latest would stop there and look whole.
    walEnd: reach.missing.length > 0 ? null : reach.endLsn,
    salvageableSegments: reach.salvage?.segments.length ?? 0,
    warnings,
  };
}

/** From where the choice begins: the oldest backup's end. */
function earliest(candidates: readonly PhysicalCandidate[]): string | null {
  const oldest = candidates.at(-1);
  return oldest === undefined ? null : consistentFrom(oldest.stored);
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

/**
 * A backup named by its id is recovered to its own end. The instant of the very last commit is named by its position:
 * PostgreSQL finds that a time is reached only by a later commit (`recoveryStopsBefore`), and none comes.
 */
function resolved(target: RecoveryTarget, { lastCommitAt, lastCommitLsn }: RecoverableRange): RecoveryTarget {
  if (target.kind === 'backup') return { kind: 'end-of-backup' };
  const isLast = target.kind === 'time' && lastCommitAt !== null && compareInstants(target.time, lastCommitAt) === 0;
  return isLast && lastCommitLsn !== null ? { kind: 'lsn', lsn: lastCommitLsn } : target;
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

function reachWarnings(target: RecoveryTarget, reach: RecoverableRange): string[] {
  const { timeline, left } = reach.followed;
  const warnings = [...left, ...reach.abandoned].map(
    ({ id, at }) =>
      `timeline ${timeline.id} is followed; changes on timeline ${id} after ${at}, where the timelines diverge, are not recovered`,
  );
  if (reach.missing.length > 0)
    warnings.push(
      `${describeMissingWal(reach)}: what follows cannot be recovered; ${describeLatestRecoverable(reach)}`,
    );
  if (target.kind === 'time' && reach.lastCommitAt === null) {
    warnings.push('the last WAL holds no commit, so it is not known whether the target can be reached');
  }
  return warnings;
}
