import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { compareLsn, parseSegmentName } from '../../domain/target/wal.js';
import type { Candidate } from './choose-base-backup.js';
import { compareInstants } from '../../domain/target/instant.js';
import type { RecoverableRange } from './recoverable-range.js';
import { describeMissingWal, describeLatestRecoverable } from './messages.js';

/**
 * Refuses a target that the log does not lead to: without a target PostgreSQL would end short at a gap and say
 * nothing (F23), with one it would stop in the middle of a recovery (F25).
 * @throws RepriseError `wal-gap`, `target-after-wal`
 */
export function assertRecoverable(target: RecoveryTarget, chosen: Candidate, reach: RecoverableRange): void {
  const gap = gapOf(chosen, reach);
  if (gap !== undefined) throw gap;
  switch (target.kind) {
    case 'latest':
      if (reach.missing.length > 0) throw broken(reach, 'the end of the log cannot be reached');
      if (reach.endLsn === null) throw endless(reach);
      return;
    case 'time':
      if (reach.lastCommitAt !== null && compareInstants(target.time, reach.lastCommitAt) > 0)
        throw beyond(target, reach);
      return;
    case 'lsn':
      if (reach.endLsn !== null && compareLsn(target.lsn, reach.endLsn) > 0) throw beyond(target, reach);
      return;
    // The backup's own log was looked at above; xid and name were found in the log.
    case 'xid':
    case 'name':
    case 'end-of-backup':
    case 'backup':
      return;
  }
}

/** A gap between the backup's own start and stop: it can never be consistent. */
function gapOf({ stored }: Candidate, reach: RecoverableRange): RepriseError | undefined {
  const place = (name: string): bigint => parseSegmentName(name, reach.segmentBytes).number;
  const own = reach.missing.filter((name) => place(name) <= place(stored.wal.stop));
  if (own.length === 0 && reach.endSegment !== null && place(reach.endSegment) >= place(stored.wal.stop))
    return undefined;
  return new RepriseError(
    'wal-gap',
    `backup ${stored.label} needs the WAL from ${stored.wal.start} to ${stored.wal.stop}, and ${own.length > 0 ? describeMissingWal({ missing: own, damaged: reach.damaged }) : `${stored.wal.stop} is missing`}`,
    'recover from another backup: --to backup:ID, or an instant before it',
  );
}

function beyond(target: RecoveryTarget, reach: RecoverableRange): RepriseError {
  if (reach.missing.length > 0) return broken(reach, `${formatTarget(target)} cannot be reached`);
  return new RepriseError(
    'target-after-wal',
    `${formatTarget(target)} is after the last WAL there is, which ends at ${reach.endLsn ?? 'an unknown position'}`,
    describeLatestRecoverable(reach),
  );
}

/** Without an end to wait for, a replay that ends short would look like one that is whole. */
function endless({ endSegment }: RecoverableRange): RepriseError {
  return new RepriseError(
    'wal-gap',
    `where the WAL ends is not known: in ${endSegment ?? 'the last segments'} no record could be read, so that nobody could tell whether latest was reached`,
    'name what is to be reached: --to TIME, --to lsn:X or --to end-of-backup',
  );
}

function broken(reach: RecoverableRange, what: string): RepriseError {
  return new RepriseError(
    'wal-gap',
    `${what}: ${describeMissingWal(reach)}`,
    `${describeLatestRecoverable(reach)}; or put good copies of these segments into the archive`,
    { missing: reach.missing },
  );
}
