import { join } from 'node:path';
import { parseSegmentName, segmentAt, segmentEnd } from '../../domain/target/wal.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { runProgram } from '../../process/exec/run-program.js';
import { readSegmentHeader } from './segment-file.js';
import { recordLines } from './waldump-lines.js';
import { commitIn, lastInARow, listSegments } from './read-wal.js';

/** Records of transactions that are searched: among so many in a row one is a commit. */
const SEARCHED_RECORDS = '1000';

/**
 * When the first transaction committed of which the archive has nothing yet, from the `pg_wal` of a server that may run:
 * an idle one has none, however old its archive is.
 * @param archived timeline and end of the archived WAL
 * @returns UTC ISO-8601; null where none did, or the WAL after that end is missing
 */
export async function firstCommitAfter(
  pgBin: string,
  walDir: string,
  archived: { readonly timeline: number; readonly endLsn: string },
  user: OsUser | null,
): Promise<string | null> {
  const [any] = await listSegments(walDir);
  const segmentBytes = any === undefined ? undefined : (await readSegmentHeader(join(walDir, any)))?.segmentBytes;
  if (segmentBytes === undefined) return null;
  const segment = segmentAt(archived.timeline, archived.endLsn, segmentBytes);
  const header = await readSegmentHeader(join(walDir, segment));
  // Of another position: made of an old one in advance, and not written yet.
  if (header === null || header.pageStart !== parseSegmentName(segment, segmentBytes).number * BigInt(segmentBytes))
    return null;
  // For one that is missing it would wait; without an end it reads no further than its first.
  const last = await lastInARow(walDir, segment, segmentBytes);
  const range = ['-s', archived.endLsn, '-e', segmentEnd(last, segmentBytes)];
  const { stdout } = await runProgram(
    [
      join(pgBin, 'pg_waldump'),
      '-p',
      walDir,
      ...range,
      '--rmgr',
      'Transaction',
      '--limit',
      SEARCHED_RECORDS,
      segment,
      last,
    ],
    {
      user,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      // 1 where the WAL ends before so many records, as it mostly does.
      acceptCodes: [0, 1],
    },
  );
  return (
    recordLines(stdout)
      .map(commitIn)
      .find((commit) => commit !== null)?.lastCommitAt ?? null
  );
}
