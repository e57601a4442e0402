import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { noSpace } from '../recovery/recovery-failure.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { emptyDirectory } from '../../files/remove-tree.js';
import { makeOwnDirectory } from '../../files/trusted-paths.js';

/**
 * An owner-only directory for the user that tools run as. One that is root's alone is given to that user; one that
 * others may enter is somebody's choice and stays as it is: they may make files there (`/tmp`), and replace none of ours.
 * @throws RepriseError `path-refused`
 */
export async function makeScratchDirectory(path: string, user: OsUser | null): Promise<void> {
  await makeOwnDirectory(path, user, { sticky: true });
}

/**
 * Makes a host's scratch directory, where the tools' user can work. As root the state directory around it may be root's
 * alone: it is given to that user too, and stays owner-only (what root keeps in it is in directories of root's own).
 * @throws RepriseError `path-refused` where that user cannot reach it all the same.
 */
export async function makeHostScratch(
  { name, stateDir, scratchDir }: Pick<HostConfig, 'name' | 'stateDir' | 'scratchDir'>,
  user: OsUser | null,
): Promise<void> {
  if (scratchDir.startsWith(`${stateDir}/`)) await makeScratchDirectory(stateDir, user);
  await makeScratchDirectory(scratchDir, user);
  if (user === null || process.getuid?.() !== 0) return;
  const { exitCode } = await runProgram(['test', '-w', scratchDir, '-a', '-x', scratchDir], {
    user,
    acceptCodes: [0, 1],
  });
  if (exitCode === 0) return;
  throw new RepriseError(
    'path-refused',
    `user ${user.name} cannot work in the scratch directory ${scratchDir}`,
    `name one it may write in under hosts.${name}.scratch_dir, and give it access to the directories above`,
  );
}

/** Written last: without it, initdb was cut off. */
const INITIALIZED = 'reprise_initialized';

/**
 * Makes a fresh data directory for a server that is thrown away; one that is there already is left as it is, and one that an attempt
 * was cut off in is made anew. Nothing but a private socket will reach it, so it needs no password.
 */
export async function initScratchCluster(dataDir: string, pgBin: string, user: OsUser | null): Promise<void> {
  await makeScratchDirectory(dirname(dataDir), user);
  const entries = await readdir(dataDir).catch((): string[] => []);
  if (entries.includes(INITIALIZED)) return;
  if (entries.length > 0) await emptyDirectory(dataDir);
  const options = [
    '--username=postgres',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
    '--no-instructions',
  ];
  await runProgram([join(pgBin, 'initdb'), `--pgdata=${dataDir}`, ...options], { user }).catch((error: unknown) => {
    throw isRepriseError(error) && noSpace(String(error.details['stderrTail'])) !== null ? noRoom(dataDir) : error;
  });
  await writeFileAtomic(join(dataDir, INITIALIZED), '', user);
}

function noRoom(dataDir: string): RepriseError {
  return new RepriseError(
    'disk-full',
    `the disk became full while a cluster was made in ${dataDir}`,
    'free space there, or name a directory on a larger disk: drill.data_dir of the cluster for drills, hosts.NAME.scratch_dir for restore tests',
  );
}
