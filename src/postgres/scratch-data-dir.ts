import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { runTool } from '../process/run.js';
import type { OsUser } from '../process/jobs.js';
import { giveTo } from './files.js';

/** An owner-only directory for scratch work, given to the user that tools run as. */
export async function makeScratchDirectory(path: string, user: OsUser | null): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await giveTo(path, user);
}

/**
 * Makes a host's scratch directory, where the tools' user can work. As root the state directory around it may be root's
 * alone: it is given to that user too, and stays owner-only (what root keeps in it lies in directories of root's own).
 * @throws RepriseError `path-refused` where that user cannot reach it all the same.
 */
export async function makeHostScratch({ name, stateDir, scratchDir }: Pick<HostConfig, 'name' | 'stateDir' | 'scratchDir'>, user: OsUser | null): Promise<void> {
  await makeScratchDirectory(scratchDir, user);
  if (user === null || process.getuid?.() !== 0) return;
  if (scratchDir.startsWith(`${stateDir}/`) && (await stat(stateDir)).uid === 0) await giveTo(stateDir, user);
  const { exitCode } = await runTool(['test', '-w', scratchDir, '-a', '-x', scratchDir], { user, acceptCodes: [0, 1] });
  if (exitCode === 0) return;
  throw new RepriseError('path-refused', `user ${user.name} cannot work in the scratch directory ${scratchDir}`, `name one it may write in under hosts.${name}.scratch_dir, and let it pass through what leads there`);
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
