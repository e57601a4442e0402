import { lstat, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { syncDirectory } from '../../files/directories.js';
import { linkTarget, mountPoints, outsidePlaces } from '../server/layout.js';
import { processesIn } from '../server/postmaster.js';
import { nameExists } from '../../files/paths.js';

export interface MovedOldData {
  /** Where the old directory is now; null where there was none. */
  readonly movedTo: string | null;
  /** Places outside the directory that go on belonging to it: tablespaces, a `pg_wal` elsewhere. */
  readonly outside: readonly string[];
}

/**
 * Renames a data directory, on its own file system, durably. A symbolic link stays and its target is renamed, so that
 * the new data is on the same disk. Nothing is made in its place. A repeated call finds it moved and changes nothing.
 * @param inode of the directory to be moved, where it is known: only what has it is taken for moved
 * @throws RepriseError `conflict` while a server is running in it; `path-refused` for a mount point or another file system,
 *   or where something else has the name
 */
export async function moveOldData(dataDir: string, oldDataDir: string, inode?: string): Promise<MovedOldData> {
  if (await nameExists(oldDataDir)) {
    const found = await inodeOf(oldDataDir);
    if (found === null || (inode !== undefined && found !== inode)) throw taken(oldDataDir);
    return { movedTo: oldDataDir, outside: await outsidePlaces(oldDataDir) };
  }
  if (!(await nameExists(dataDir))) return { movedTo: null, outside: [] };
  const real = await linkTarget(dataDir);
  if (!(await nameExists(real))) return { movedTo: null, outside: [] };
  await refuse(real, dataDir);
  const outside = await outsidePlaces(real);
  await rename(real, oldDataDir).catch((error: unknown) => {
    throw renameRefused(error, real, oldDataDir);
  });
  await syncDirectory(dirname(oldDataDir));
  if (dirname(real) !== dirname(oldDataDir)) await syncDirectory(dirname(real));
  return { movedTo: oldDataDir, outside };
}

/** By what a directory is known whatever its name; null where none is there, or a link. */
export async function inodeOf(path: string): Promise<string | null> {
  const found = await lstat(path, { bigint: true }).catch(() => null);
  return found?.isDirectory() ? String(found.ino) : null;
}

/** @throws RepriseError `conflict` while a server is running in `real`, which people know as `dataDir` */
export async function refuseLiving(real: string, dataDir: string): Promise<void> {
  const living = await processesIn(real);
  if (living.length === 0) return;
  throw new RepriseError(
    'conflict',
    `a server is running in ${dataDir} (process ${living.join(', ')})`,
    'Stop it first, with all its backends.',
  );
}

async function refuse(real: string, dataDir: string): Promise<void> {
  await refuseLiving(real, dataDir);
  if ((await mountPoints()).includes(real)) {
    throw new RepriseError(
      'path-refused',
      `${dataDir} is a mount point, which cannot be renamed`,
      'Set recovery: old_data: { mode: aside-on, path: ... } to have it copied, or keep the data in a directory below the mount point.',
    );
  }
}

function renameRefused(error: unknown, from: string, to: string): unknown {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'EXDEV') {
    return new RepriseError(
      'path-refused',
      `${to} is on another file system than ${from}`,
      'Old data is kept by a rename: choose a directory on the same file system.',
    );
  }
  if (code === 'EBUSY')
    return new RepriseError(
      'path-refused',
      `${from} is in use as a mount point`,
      'Name a directory below the mount point as data_dir.',
    );
  return error;
}

function taken(path: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${path} is not the old data directory that this operation puts there`,
    'see what it is and who put it there, move it away, then: reprise continue',
  );
}
