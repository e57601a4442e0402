import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '../../domain/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target.js';
import { parseSegmentName } from '../../domain/wal.js';
import { readControlData } from '../../postgres/control-data.js';
import { makeScratchDirectory } from '../../postgres/scratch-data-dir.js';
import { runTool } from '../../process/run.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../engine.js';
import { readArchive } from './archive.js';
import { chooseBackup, consistentFrom } from './choose.js';
import type { Candidate } from './choose.js';
import { optionsOf } from './command.js';
import type { StanzaInfo } from './info.js';
import { currentDatabase, readInfo } from './info.js';
import type { LogSources, Reach } from './reach.js';
import { reachFrom, readTimelines } from './reach.js';
import { requireReachable } from './reachable.js';

/** WAL that lies in a recovering server's pg_wal at a time: restart points remove what is older. */
const REPLAY_SEGMENTS = 64;

/**
 * Looks, without changing anything, whether and how a target can be reached: which backup, along which timeline, with
 * which WAL; and refuses what cannot be (F17, F23, F24, F25).
 * @throws RepriseError `no-usable-backup`, `identity-mismatch`, `version-mismatch`, `target-before-backup`,
 *   `target-after-wal`, `wal-gap`, `not-found`
 */
export async function outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline> {
  const info = await readInfo(context);
  const warnings: string[] = [];
  const candidates = restorable(info, request.candidates, warnings);
  if (candidates.length === 0) {
    throw new RepriseError('no-usable-backup', `stanza ${optionsOf(context).stanza} has no backup that could be restored`, 'see what there is, and why it does not count: reprise backup list');
  }
  return inScratch(context, async (scratch) => {
    const database = (candidates[0] as Candidate).stored.database;
    const archive = await readArchive(context, database.archiveId);
    const oldDataDir = request.oldDataDir;
    const sources: LogSources = { archive, timelines: await readTimelines(context, archive, oldDataDir), oldDataDir, scratch };
    const chosen = await chooseBackup(context, request.target, candidates, sources);
    await requireFit(context, chosen, request.oldDataDir);
    const reach = await reachFrom(context, chosen.stored, sources);
    requireReachable(request.target, chosen, reach);
    return outlineOf(chosen, candidates, reach, resolved(request.target), [...warnings, ...reachWarnings(request.target, reach)]);
  });
}

/** Candidates that the repository still has, of the stanza's present cluster, newest first. */
function restorable(info: StanzaInfo, candidates: readonly Backup[], warnings: string[]): Candidate[] {
  const current = currentDatabase(info);
  const found: Candidate[] = [];
  for (const backup of candidates) {
    const stored = info.backups.find(({ label }) => label === backup.label);
    if (stored === undefined) warnings.push(`backup ${backup.label} is in the catalogue and not in the repository`);
    else if (stored.error) warnings.push(`backup ${backup.label} is passed over: pages with wrong checksums were found while it was made`);
    else if (stored.wal === null || stored.lsn === null) warnings.push(`backup ${backup.label} is passed over: it was made offline, without WAL`);
    else if (stored.database.id !== current?.id) warnings.push(`backup ${backup.label} is passed over: it is of the cluster before the last major upgrade`);
    else found.push({ backup, stored: { ...stored, wal: stored.wal, lsn: stored.lsn } });
  }
  return found.sort((a, b) => b.stored.finishedAt.localeCompare(a.stored.finishedAt));
}

/** F17: the programs that will run it, and the cluster it is to replace. */
async function requireFit(context: ReadContext, { backup, stored }: Candidate, oldDataDir: string | null): Promise<void> {
  const { stdout } = await runTool([join(context.pgBin, 'postgres'), '--version'], { user: context.user });
  const major = Number(/ (\d+)/.exec(stdout)?.[1]);
  if (major !== stored.database.major) {
    throw new RepriseError('version-mismatch', `backup ${stored.label} is of PostgreSQL ${stored.database.major}, and the programs here are of ${major}`, `install postgresql-${stored.database.major}`);
  }
  const recorded = backup.server?.systemIdentifier;
  const old = oldDataDir === null ? null : await readControlData(context.pgBin, oldDataDir, context.user);
  const stranger = [recorded, old?.systemIdentifier].find((found) => found !== undefined && found !== stored.database.systemIdentifier);
  if (stranger !== undefined) {
    throw new RepriseError(
      'identity-mismatch',
      `backup ${stored.label} is of the cluster ${stored.database.systemIdentifier}, not of ${stranger}`,
      'compare the stanza, data_dir and the cluster in the configuration: they have to be one cluster',
    );
  }
}

function outlineOf(chosen: Candidate, candidates: readonly Candidate[], reach: Reach, target: RecoveryTarget, warnings: readonly string[]): RecoveryOutline {
  const { databaseBytes, database } = chosen.stored;
  const segments = Math.min(REPLAY_SEGMENTS, segmentsBetween(chosen, reach));
  return {
    backups: [chosen.backup],
    target,
    timeline: reach.followed.timeline.id,
    systemIdentifier: database.systemIdentifier,
    sizeBytes: databaseBytes,
    neededBytes: databaseBytes + segments * reach.segmentBytes,
    reachableFrom: earliest(candidates),
    reachableTo: reach.lastCommitAt,
    // Before a gap it is no end: a recovery sent on to latest would stop there and look whole (F23).
    walEnd: reach.missing.length > 0 ? null : reach.endLsn,
    salvageableSegments: reach.salvage?.segments.length ?? 0,
    warnings,
  };
}

/** From where the choice begins: the oldest backup's end. */
function earliest(candidates: readonly Candidate[]): string | null {
  const oldest = candidates.at(-1);
  return oldest === undefined ? null : consistentFrom(oldest.stored);
}

function segmentsBetween({ stored }: Candidate, { endSegment, segmentBytes }: Reach): number {
  if (endSegment === null) return 0;
  return Number(parseSegmentName(endSegment, segmentBytes).number - parseSegmentName(stored.wal.start, segmentBytes).number) + 1;
}

/** Directory for fetched WAL, the operation's own: what a killed worker left in it is removed by the next attempt. */
async function inScratch<T>(context: ReadContext, work: (directory: string) => Promise<T>): Promise<T> {
  await makeScratchDirectory(context.host.scratchDir, context.user);
  const directory = join(context.host.scratchDir, `outline-${context.operationId.replaceAll(/[^\w.-]/g, '_')}`);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A backup named by its id is recovered to its own end. */
function resolved(target: RecoveryTarget): RecoveryTarget {
  return target.kind === 'backup' ? { kind: 'end-of-backup' } : target;
}

function reachWarnings(target: RecoveryTarget, reach: Reach): string[] {
  const { timeline, left } = reach.followed;
  const warnings = [...left, ...reach.abandoned].map(
    ({ id, at }) => `timeline ${timeline.id} is followed; what timeline ${id} holds after ${at}, where they part, is not recovered`,
  );
  if (target.kind === 'time' && reach.lastCommitAt === null) {
    warnings.push('the last WAL holds no commit, so that it is not known whether the target can be reached');
  }
  return warnings;
}
