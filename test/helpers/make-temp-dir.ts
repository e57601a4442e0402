import { readFileSync, statfsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { giveToPostgres } from './postgres-user.js';

const IN_MEMORY = '/dev/shm';
/** A whole run holds about 2 GB at its most. */
const ENOUGH_BYTES = 6 * 2 ** 30;

let parent: string | undefined;

/** A new directory, 0700, owned by `postgres` where we are root. Whoever makes it removes it. */
export async function makeTempDir(name: string): Promise<string> {
  parent ??= parentOfTempDirs();
  // Short: the path of a Unix socket has room for 107 characters only.
  const path = await mkdtemp(join(parent, `reprise-${name}-`));
  await giveToPostgres(path);
  return path;
}

/**
 * Memory where there is plenty, because databases and backups sync thousands of files, and a disk takes milliseconds for
 * each; else the usual place. `REPRISE_TEST_DIR` names another one.
 */
function parentOfTempDirs(): string {
  const named = process.env['REPRISE_TEST_DIR'];
  if (named !== undefined && named !== '') return named;
  return isUsable(IN_MEMORY) ? IN_MEMORY : tmpdir();
}

function isUsable(directory: string): boolean {
  try {
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .find(([, place, type]) => place === directory && type === 'tmpfs');
    const { bavail, bsize } = statfsSync(directory);
    // Archive commands are scripts in there.
    const runsPrograms = mount?.[3]?.split(',').includes('noexec') === false;
    return runsPrograms && Math.min(bavail * bsize, process.availableMemory()) >= ENOUGH_BYTES;
  } catch {
    return false;
  }
}
