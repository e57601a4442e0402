import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRepriseError } from '../../domain/errors.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { runProgram } from '../../process/exec/run-program.js';
import { pathExists } from '../../files/paths.js';

/** What `global/pg_control` says of a data directory. */
export interface ControlData {
  readonly systemIdentifier: string;
  /** Major version from `PG_VERSION`, e.g. 15. */
  readonly major: number;
  /** As pg_controldata writes it: `in production`, `shut down`, `in archive recovery`... */
  readonly state: string;
  readonly timeline: number;
  readonly checkpointLsn: string;
  readonly redoLsn: string;
  /** Segment without which the server cannot start. */
  readonly redoSegment: string;
  /** Until here a restored directory is inconsistent; `0/0` where that does not apply. */
  readonly minRecoveryLsn: string;
  readonly segmentBytes: number;
  readonly walBlockBytes: number;
  readonly dataChecksums: boolean;
  /** UTC ISO-8601 of the last checkpoint, null where it cannot be read. */
  readonly checkpointAt: string | null;
  readonly settings: ControlSettings;
}

/** Settings that a server in recovery must have at least at the source's value (manual, "Hot Standby"). */
export interface ControlSettings {
  readonly max_connections: number;
  readonly max_worker_processes: number;
  readonly max_wal_senders: number;
  readonly max_prepared_transactions: number;
  readonly max_locks_per_transaction: number;
}

/**
 * The control file of a data directory; null where there is none or it is damaged.
 * @param pgBin programs of any version: the right ones for its major read it, others give null.
 * @throws RepriseError `tool-missing`.
 */
export async function readControlData(
  pgBin: string,
  dataDir: string,
  user: OsUser | null,
): Promise<ControlData | null> {
  if (!(await pathExists(join(dataDir, 'global', 'pg_control')))) return null;
  const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => ''), 10);
  try {
    const { stdout, stderr } = await runProgram([join(pgBin, 'pg_controldata'), '-D', dataDir], {
      user,
      env: { LC_ALL: 'C', TZ: 'UTC' },
    });
    if (/WARNING/.test(stdout + stderr)) return null;
    return parseControlData(stdout, Number.isInteger(major) ? major : 0);
  } catch (error) {
    if (isRepriseError(error) && error.code === 'tool-missing') throw error;
    return null;
  }
}

/** Reads pg_controldata's English output; null where an essential line is missing. */
function parseControlData(text: string, major: number): ControlData | null {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) values.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  const systemIdentifier = values.get('Database system identifier');
  const state = values.get('Database cluster state');
  const checkpointLsn = values.get('Latest checkpoint location');
  if (systemIdentifier === undefined || state === undefined || checkpointLsn === undefined) return null;
  const number = (name: string, preset = 0): number => Number(values.get(name) ?? preset);
  const checkpointAt = Date.parse(`${values.get('Time of latest checkpoint') ?? ''} UTC`);
  return {
    systemIdentifier,
    major,
    state,
    timeline: number("Latest checkpoint's TimeLineID", 1),
    checkpointLsn,
    redoLsn: values.get("Latest checkpoint's REDO location") ?? checkpointLsn,
    redoSegment: values.get("Latest checkpoint's REDO WAL file") ?? '',
    minRecoveryLsn: values.get('Minimum recovery ending location') ?? '0/0',
    segmentBytes: number('Bytes per WAL segment'),
    walBlockBytes: number('WAL block size', 8192),
    dataChecksums: number('Data page checksum version') > 0,
    checkpointAt: Number.isNaN(checkpointAt) ? null : new Date(checkpointAt).toISOString(),
    settings: {
      max_connections: number('max_connections setting'),
      max_worker_processes: number('max_worker_processes setting'),
      max_wal_senders: number('max_wal_senders setting'),
      max_prepared_transactions: number('max_prepared_xacts setting'),
      max_locks_per_transaction: number('max_locks_per_xact setting'),
    },
  };
}
