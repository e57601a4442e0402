import { join } from 'node:path';
import type { ConnectionConfig, ServiceConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { pathExists } from '../../files/paths.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { withMaintenance } from '../connection/with-client.js';
import { holdsUnfinishedRecovery } from '../server/data-directory.js';
import { type ArchiveSettings, readArchiveSettings } from '../wal/archiving.js';

/** A server, and where its files are while it is down. */
export interface ArchivingServer {
  readonly connection: ConnectionConfig;
  /** Null where they are gone. */
  readonly dataDir: string | null;
  readonly service?: ServiceConfig;
  readonly pgBin: string;
  readonly user: OsUser | null;
}

/**
 * With what a server archives, or did when it was last started: it is asked, or its configuration is read. Null where neither can be
 * done, or where that is not its own: of a recovery that was given up.
 */
export async function presentArchiving(server: ArchivingServer): Promise<ArchiveSettings | null> {
  const { connection, dataDir } = server;
  if (dataDir !== null && (await holdsUnfinishedRecovery(dataDir))) return null;
  try {
    return await withMaintenance(connection, readArchiveSettings);
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'database-unreachable') throw error;
    return dataDir === null ? null : configuredArchiving({ ...server, dataDir });
  }
}

/** `postgres -C` reads the configuration files as the server would, and starts nothing. */
async function configuredArchiving(server: ArchivingServer & { dataDir: string }): Promise<ArchiveSettings | null> {
  if ((await settingOf(server, 'archive_mode')) === 'off') return null;
  const command = await settingOf(server, 'archive_command');
  // PostgreSQL 14 and older have no library.
  return command === null ? null : { command, library: (await settingOf(server, 'archive_library')) ?? '' };
}

async function settingOf(
  { dataDir, service, pgBin, user }: ArchivingServer & { dataDir: string },
  name: string,
): Promise<string | null> {
  const debian =
    service?.kind === 'pg_ctlcluster' ? `/etc/postgresql/${service.version}/${service.name}/postgresql.conf` : null;
  const isOwn = await pathExists(join(dataDir, 'postgresql.conf'));
  const file = isOwn || debian === null ? [] : ['-c', `config_file=${debian}`];
  // An old directory that was renamed is still named by its configuration.
  const argv = [join(pgBin, 'postgres'), '-D', dataDir, ...file, '-c', `data_directory=${dataDir}`, '-C', name];
  const { stdout, exitCode } = await runProgram(argv, { user, acceptCodes: [0, 1, 2] });
  return exitCode === 0 ? stdout : null;
}
