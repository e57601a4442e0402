import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runTool } from '../process/run.js';
import type { OsUser } from '../process/jobs.js';
import { giveTo } from './files.js';

/** An owner-only directory for scratch work, given to the user that tools run as. */
export async function makeScratchDirectory(path: string, user: OsUser | null): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await giveTo(path, user);
}

/**
 * Makes a fresh data directory for a server that is thrown away; one that is there already is left as it is. Nothing
 * but a private socket will reach it, so it needs no password.
 */
export async function initScratchCluster(dataDir: string, pgBin: string, user: OsUser | null): Promise<void> {
  await makeScratchDirectory(dirname(dataDir), user);
  const entries = await readdir(dataDir).catch((): string[] => []);
  if (entries.includes('PG_VERSION')) return;
  const options = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions'];
  await runTool([join(pgBin, 'initdb'), `--pgdata=${dataDir}`, ...options], { user });
}
