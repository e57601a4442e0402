import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OsUser } from '../../process/jobs/jobs.js';

interface Host {
  readonly pgBin: string;
  readonly user: OsUser | null;
  readonly signal: AbortSignal;
}

/** A dump that waits longer for a table's lock fails instead of standing in everybody's way behind an ALTER TABLE. */
export const LOCK_WAIT_TIMEOUT = '10min';
/** Longer than {@link LOCK_WAIT_TIMEOUT}, so that waiting for a lock is told as such and not as a hang. */
export const STALL_TIMEOUT_MS = 30 * 60_000;
/** Building one big index shows no sign of life for hours. */
export const RESTORE_STALL_TIMEOUT_MS = 12 * 3_600_000;

/** Major version of one of PostgreSQL's programs. */
export async function toolMajor(host: Host, program: 'pg_dump' | 'pg_restore'): Promise<number> {
  const { stdout } = await runProgram([join(host.pgBin, program), '--version'], {
    user: host.user,
    signal: host.signal,
  });
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
  if (Number.isNaN(major))
    throw new RepriseError(
      'tool-failed',
      `${program} does not print its version`,
      `run ${program} --version on the host`,
    );
  return major;
}

/** Major version in `server_version_num`, which counts so since PostgreSQL 10. */
export function majorOf(versionNum: number): number {
  return Math.floor(versionNum / 10_000);
}

/** A connection string that holds nothing but a database's name, for options that read one there. */
export function databaseConninfo(database: string): string {
  return `dbname='${database.replaceAll(/[\\']/g, '\\$&')}'`;
}
