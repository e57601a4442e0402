import { RepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { formatTarget } from '../../domain/target/target.js';
import { compareLsn, parseSegmentName } from '../../domain/target/wal.js';
import type { Candidate } from './choose-base-backup.js';
import { compareInstants } from '../../domain/target/instant.js';
import type { RecoverableRange } from './recoverable-range.js';
import { describeMissingWal, describeLatestRecoverable } from './messages.js';

/**
 * Refuses a target that the WAL does not range: without a target PostgreSQL would end too early at a gap and report
 * nothing, with one it would stop in the middle of a recovery.
 * @throws RepriseError `wal-gap`, `target-after-wal`
 */
export function assertRecoverable(target: RecoveryTarget, chosen: Candidate, range: RecoverableRange): void {
  const gap = gapWithinBackup(chosen, range);
  if (gap !== undefined) throw gap;
  switch (target.kind) {
    case 'latest':
      if (range.missing.length > 0) throw gapBefore(range, 'the end of the WAL cannot be reached');
      if (range.endLsn === null) throw endUnknown(range);
      return;
    case 'time':
      if (range.lastCommitAt !== null && compareInstants(target.time, range.lastCommitAt) > 0)
        throw afterWal(target, range);
      return;
    case 'lsn':
      if (range.endLsn !== null && compareLsn(target.lsn, range.endLsn) > 0) throw afterWal(target, range);
      return;
    // The backup's own WAL was checked above; xid and name were found in the WAL.
    default:
      return;
  }
}

/** A gap between the backup's own start and stop: it can never be consistent. */
function gapWithinBackup({ stored }: Candidate, range: RecoverableRange): RepriseError | undefined {
  const place = (name: string): bigint => parseSegmentName(name, range.segmentBytes).number;
  const own = range.missing.filter((name) => place(name) <= place(stored.wal.stop));
  if (own.length === 0 && range.endSegment !== null && place(range.endSegment) >= place(stored.wal.stop))
    return undefined;
  return new RepriseError(
    'wal-gap',
    `backup ${stored.label} needs the WAL from ${stored.wal.start} to ${stored.wal.stop}, and ${own.length > 0 ? describeMissingWal({ missing: own, damaged: range.damaged }) : `${stored.wal.stop} is missing`}`,
    'recover from another backup: --to backup:ID, or a point in time before it',
  );
}

/** The refusal of a target beyond the WAL, or beyond a gap in it. */
export function afterWal(target: RecoveryTarget, range: RecoverableRange): RepriseError {
  if (range.missing.length > 0) return gapBefore(range, `${formatTarget(target)} cannot be reached`);
  return new RepriseError(
    'target-after-wal',
    `${formatTarget(target)} is after the end of the available WAL, which is at ${range.endLsn ?? 'an unknown position'}`,
    describeLatestRecoverable(range),
  );
}

/** Without a known end, a replay that ends too early would look complete. */
function endUnknown({ endSegment }: RecoverableRange): RepriseError {
  return new RepriseError(
    'wal-gap',
    `the end of the WAL is not known: in ${endSegment ?? 'the last segments'} no record could be read, so it could not be verified that latest was reached`,
    'name a target: --to TIME, --to lsn:X or --to end-of-backup',
  );
}

function gapBefore(range: RecoverableRange, what: string): RepriseError {
  return new RepriseError(
    'wal-gap',
    `${what}: ${describeMissingWal(range)}`,
    `${describeLatestRecoverable(range)}; or put good copies of these segments into the archive`,
    { missing: range.missing },
  );
}
