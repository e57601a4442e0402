import { join } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { compareLsn, parseSegmentName } from '../../domain/target/wal.js';
import { compareInstants } from '../../domain/target/instant.js';
import type { NamedTarget, Search } from './locate-target.js';
import { findInArchive, findInDirectory } from './locate-target.js';
import type { OnlineBackup, WalReader } from './wal-archive.js';
import type { WalSources, RecoverableRange } from './recoverable-range.js';
import { recoverableRange } from './recoverable-range.js';
import { describeMissingWal } from './messages.js';

/** A backup as the catalogue knows it, and as the repository does. */
export interface Candidate<S extends OnlineBackup = OnlineBackup> {
  readonly backup: Backup;
  readonly stored: S;
}

/** First instant to which a backup can be recovered: its end, which engines round down to a second. */
export function consistentFrom(stored: Pick<OnlineBackup, 'finishedAt'>): string {
  return new Date(Date.parse(stored.finishedAt) + 1000).toISOString();
}

/**
 * The newest backup that ended before the target: a recovery cannot stop before its backup is consistent.
 * @param candidates newest first, at least one
 * @throws RepriseError `target-before-backup` naming the earliest; `target-after-wal`, `not-found`
 */
export async function chooseBaseBackup<C extends Candidate>(
  context: WalReader,
  target: RecoveryTarget,
  candidates: readonly C[],
  sources: WalSources,
): Promise<C> {
  switch (target.kind) {
    case 'latest':
    case 'end-of-backup':
      return candidates[0] as C;
    case 'backup':
      return named(candidates, target.id);
    case 'time':
      return before(candidates, target, ({ stored }) => compareInstants(consistentFrom(stored), target.time) <= 0);
    case 'lsn':
      return before(candidates, target, ({ stored }) => compareLsn(stored.lsn.stop, target.lsn) <= 0);
    case 'xid':
    case 'name':
      return located(context, target, candidates, sources);
  }
}

function named<C extends Candidate>(candidates: readonly C[], id: string): C {
  const found = candidates.find(({ backup }) => backup.id === id || backup.label === id);
  if (found !== undefined) return found;
  throw new RepriseError('not-found', `there is no restorable backup ${id}`, 'list them with: reprise backup list');
}

function before<C extends Candidate>(
  candidates: readonly C[],
  target: RecoveryTarget,
  ended: (candidate: C) => boolean,
): C {
  const found = candidates.find(ended);
  if (found !== undefined) return found;
  throw tooEarly(candidates, target);
}

function tooEarly(candidates: readonly Candidate[], target: RecoveryTarget): RepriseError {
  const { stored } = candidates.at(-1) as Candidate;
  return new RepriseError(
    'target-before-backup',
    `${formatTarget(target)} is before the end of the earliest backup, ${stored.label}, which ended at ${stored.finishedAt} (${stored.lsn.stop})`,
    `the earliest target is ${consistentFrom(stored)}, or backup:${stored.label}`,
  );
}

/** From the newest backup back: the one whose WAL, up to the next backup's end, holds the target. */
async function located<C extends Candidate>(
  context: WalReader,
  target: NamedTarget,
  candidates: readonly C[],
  sources: WalSources,
): Promise<C> {
  let upTo: string | null = null;
  let newest: RecoverableRange | undefined;
  const damaged = new Set<string>();
  for (const candidate of candidates) {
    const { stored } = candidate;
    const range = await recoverableRange(context, stored, sources);
    newest ??= range;
    const search: Search = { target, fromLsn: stored.lsn.stop, segmentBytes: range.segmentBytes };
    // The salvaged WAL first: it is on this host, and either way it is this backup.
    if (upTo === null && (await isInSalvage(context, search, range, sources))) return candidate;
    const segments = between(sources.archive.segments, stored.wal.stop, nearer(upTo, range), range);
    const found = await findInArchive(context, search, segments, sources);
    if (found.lsn !== null) return candidate;
    if (found.damaged !== null) damaged.add(found.damaged);
    upTo = stored.wal.stop;
  }
  for (const segment of newest?.damaged ?? []) damaged.add(segment);
  throw notFound(target, candidates.at(-1) as Candidate, newest, [...damaged].sort());
}

async function isInSalvage(
  context: WalReader,
  search: Search,
  { salvage }: RecoverableRange,
  { oldDataDir }: WalSources,
): Promise<boolean> {
  if (salvage === null || oldDataDir === null) return false;
  return (await findInDirectory(context, search, salvage.segments, join(oldDataDir, 'pg_wal'))) !== null;
}

function notFound(
  target: NamedTarget,
  { stored: earliest }: Candidate,
  newest: RecoverableRange | undefined,
  damaged: readonly string[],
): RepriseError {
  if (damaged.length > 0)
    return new RepriseError(
      'wal-gap',
      `${formatTarget(target)} is not in the WAL that can be read: ${describeMissingWal({ missing: damaged, damaged })}, and no recovery can continue after a gap`,
      'recover to a point in time before it, or put a good copy of it into the archive',
    );
  return new RepriseError(
    'target-after-wal',
    `${formatTarget(target)} is not in the WAL between ${earliest.lsn.stop} and ${newest?.endLsn ?? 'its end'}`,
    `the latest recoverable time is ${newest?.lastCommitAt ?? 'not known'}; compare the name with the log of the application`,
  );
}

/** Where the search of a backup's WAL ends: at the newer backup's, or before, where a gap ends it. */
export function nearer(
  upTo: string | null,
  { endSegment, segmentBytes }: Pick<RecoverableRange, 'endSegment' | 'segmentBytes'>,
): string | null {
  if (upTo === null || endSegment === null) return endSegment;
  return parseSegmentName(upTo, segmentBytes).number < parseSegmentName(endSegment, segmentBytes).number
    ? upTo
    : endSegment;
}

/** Archived segments of the followed WAL between two, both included, in the order of the WAL. */
function between(
  segments: readonly string[],
  from: string,
  to: string | null,
  { followed, segmentBytes }: RecoverableRange,
): string[] {
  if (to === null) return [];
  const place = (name: string): bigint => parseSegmentName(name, segmentBytes).number;
  const timelines = new Set([followed.timeline.id, ...followed.timeline.history.map(({ timeline }) => timeline)]);
  return segments
    .filter(
      (name) =>
        place(name) >= place(from) &&
        place(name) <= place(to) &&
        timelines.has(parseSegmentName(name, segmentBytes).timeline),
    )
    .sort((a, b) => (place(a) === place(b) ? a.localeCompare(b) : place(a) < place(b) ? -1 : 1));
}
