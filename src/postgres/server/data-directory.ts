import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSegmentName } from '../../domain/target/wal.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { readControlData } from './control-data.js';
import type { ControlData } from './control-data.js';
import { RECOVERY_NOTES } from '../recovery/auto-conf.js';
import { pathExists } from '../../files/paths.js';

/** What an inspection of a data directory found, before anything is planned: `whole` means a restart is worth trying first. */
export interface DataDirInspection {
  readonly state: 'whole' | 'damaged' | 'missing' | 'empty';
  /** One sentence: what is missing, or what was inspected. */
  readonly reason: string;
  /** Segments in `pg_wal` can be listed: salvage is worth trying. */
  readonly walReadable: boolean;
  readonly control: ControlData | null;
}

const ESSENTIAL = [
  'global',
  'base',
  'pg_wal',
  'pg_xact',
  'pg_multixact',
  'pg_tblspc',
  'global/pg_filenode.map',
  'base/1/PG_VERSION',
];

/**
 * Looks at a data directory without changing anything: control file, essential directories, every database's own
 * files, tablespaces, and the WAL that a crash start needs. It reads no table: a whole one may still hold bad pages.
 */
export async function inspectDataDir(pgBin: string, dataDir: string, user: OsUser | null): Promise<DataDirInspection> {
  const entries = await readdir(dataDir).catch(() => null);
  const found = (
    state: DataDirInspection['state'],
    reason: string,
    walReadable = false,
    control: ControlData | null = null,
  ): DataDirInspection => ({
    state,
    reason,
    walReadable,
    control,
  });
  if (entries === null) return found('missing', `${dataDir} does not exist or cannot be read`);
  if (entries.length === 0) return found('empty', `${dataDir} is empty`);
  const segments = await readdir(join(dataDir, 'pg_wal')).catch(() => [] as string[]);
  const walReadable = segments.some(isSegmentName);
  const missing = await firstMissing(dataDir, ESSENTIAL);
  if (missing !== null) return found('damaged', `${missing} is missing`, walReadable);
  const control = await readControlData(pgBin, dataDir, user);
  if (control === null)
    return found('damaged', 'the control file is missing, damaged or of another version', walReadable);
  const fault = (await databaseFault(dataDir)) ?? (await walFault(dataDir, control, segments));
  if (fault !== null) return found('damaged', fault, walReadable, control);
  return found(
    'whole',
    `control file, databases and WAL are in place; last state: ${control.state}`,
    walReadable,
    control,
  );
}

async function databaseFault(dataDir: string): Promise<string | null> {
  for (const oid of await readdir(join(dataDir, 'base'))) {
    if (!/^\d+$/.test(oid)) continue;
    const missing = await firstMissing(join(dataDir, 'base', oid), ['PG_VERSION', 'pg_filenode.map']);
    if (missing !== null) return `base/${oid}/${missing} is missing`;
  }
  for (const oid of await readdir(join(dataDir, 'pg_tblspc'))) {
    if ((await firstMissing(join(dataDir, 'pg_tblspc'), [`${oid}/.`])) !== null) return `tablespace ${oid} is missing`;
  }
  return null;
}

async function walFault(dataDir: string, control: ControlData, segments: readonly string[]): Promise<string | null> {
  // With a backup label the start point is in it, and the WAL comes from an archive: never restarted as it is.
  const label = await readFile(join(dataDir, 'backup_label'), 'utf8').catch(() => null);
  if (label !== null) return 'it holds a base backup whose recovery never began (backup_label)';
  // Started as it is, it would go on as a standby that nobody can write to, and seem recovered.
  if (await holdsUnfinishedRecovery(dataDir)) return 'a recovery that Reprise began in it has not ended';
  const shutDown = control.state === 'shut down' || control.state === 'shut down in recovery';
  if (segments.includes(control.redoSegment)) return null;
  return `pg_wal lacks ${control.redoSegment}, from which ${shutDown ? 'a start' : 'crash recovery'} reads`;
}

/** From here on PostgreSQL gives numbers to what users create (`FirstNormalObjectId`). */
const FIRST_OF_USERS = 16_384;

/**
 * Whether a cluster is as initdb made it, such as one that the installation of a package leaves: no database, table or tablespace was
 * ever created in it. Told by the names of files, so that it need not run.
 */
export async function isFreshCluster(dataDir: string): Promise<boolean> {
  const databases = await readdir(join(dataDir, 'base')).catch(() => null);
  if (databases === null || (await readdir(join(dataDir, 'pg_tblspc'))).length > 0) return false;
  for (const directory of ['global', ...databases.map((oid) => join('base', oid))]) {
    const files = await readdir(join(dataDir, directory)).catch(() => [] as string[]);
    if ([directory.replace('base/', ''), ...files].some((name) => Number.parseInt(name, 10) >= FIRST_OF_USERS))
      return false;
  }
  return true;
}

/** A recovery of ours that was never promoted: not a standby, even if it looks like one, and not what was lost. */
export async function holdsUnfinishedRecovery(dataDir: string): Promise<boolean> {
  const holds = (name: string): Promise<boolean> => pathExists(join(dataDir, name));
  return (await holds(RECOVERY_NOTES)) && ((await holds('recovery.signal')) || (await holds('standby.signal')));
}

async function firstMissing(directory: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    if (!(await pathExists(join(directory, name)))) return name;
  }
  return null;
}
