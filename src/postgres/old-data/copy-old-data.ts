import { mkdir, realpath, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { JobExit, Jobs, OsUser } from '../../process/jobs/jobs.js';
import { giveTo, syncDirectory } from '../../files/directories.js';
import { isErrno } from '../../files/paths.js';
import { tailOfFile } from '../../files/tail.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';
import { inodeOf, refuseLiving } from './move-old-data.js';

/** Ends so where the directory of the copy is not the one that was made for it. */
const REPLACED = 64;

/**
 * Copies a directory with its owners, modes and times, continues with what an earlier start of it left, and compares every
 * byte at the end. What a killed `cp` was writing is younger than its source, so that `--update` would keep it: what is
 * there and not the same goes first. What has no source any more is never touched. All of it by the working directory,
 * which is the one that was made for the copy: another one that is put in its place, or a link, is never entered.
 */
const COPY = `set -eu
from=$1 to=$2 inode=$3
cd -P -- "$to"
[ ! -L "$to" ] && [ "$(stat --format=%i .)" = "$inode" ] || exit ${REPLACED}
find . -type f -exec sh -c 'from=$1; shift; for file; do [ ! -e "$from/$file" ] || cmp -s -- "$file" "$from/$file" || rm -f -- "$file"; done' compare "$from" {} +
cp --archive --update --no-target-directory --verbose "$from/." .
sync --file-system .
diff --recursive --brief --no-dereference "$from" . >&2
`;

/** Where old data is copied to. */
interface CopyPlace {
  /** Whose data it is. */
  readonly owner?: OsUser | null;
  /** Inode of the directory that {@link makeCopyDirectory} has made; absent: it is made, or found, now. */
  readonly inode?: string;
}

/**
 * Copies a data directory to another place, on any file system: a job that a kill does not end, over only when the copy
 * was compared. The caller does it once an operation: {@link emptyOldData} takes away what it would be compared with.
 * @throws RepriseError `conflict` while a server is running in it; `path-refused` where others may write in the place, or
 *   something else is there than was made for the copy; those of {@link Jobs}
 */
export async function copyOldData(
  jobs: Jobs,
  dataDir: string,
  oldDataDir: string,
  { owner = null, inode }: CopyPlace = {},
): Promise<void> {
  const real = await realpath(dataDir).catch(() => null);
  // Gone, it has no old data.
  if (real === null) return;
  await refuseLiving(real, dataDir);
  await refuseSharedPath(dirname(oldDataDir), { owner });
  const made = inode ?? (await makeCopyDirectory(oldDataDir, owner)) ?? (await inodeOf(oldDataDir));
  if (made === null) throw replaced(oldDataDir);
  await jobs.run({
    step: 'copy-old-data',
    tool: 'cp',
    argv: ['/bin/sh', '-c', COPY, 'copy-old-data', real, oldDataDir, made],
    onGone: 'resume',
    classifyExit: (exit) => classifyCopy(exit, oldDataDir),
  });
  await syncDirectory(dirname(oldDataDir));
}

/**
 * Makes the directory for a copy, which must not exist, owner-only.
 * @returns its inode; null where the name is taken
 */
export async function makeCopyDirectory(path: string, owner: OsUser | null): Promise<string | null> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return null;
    throw error;
  }
  await giveTo(path, owner);
  return inodeOf(path);
}

/**
 * Empties a data directory that {@link copyOldData} has copied. The directory itself stays: it may be a mount point.
 * @param inode of the copy, where it is known
 * @throws RepriseError `conflict` where the copy is not there, or while a server is running in it
 */
export async function emptyOldData(jobs: Jobs, dataDir: string, oldDataDir: string, inode?: string): Promise<void> {
  const real = await realpath(dataDir).catch(() => null);
  if (real === null) return;
  const copy = await inodeOf(oldDataDir);
  if (copy === null || (inode !== undefined && inode !== copy))
    throw new RepriseError(
      'conflict',
      `the copy of the old data is no longer in ${oldDataDir}`,
      'mount again what it was copied to: nothing is emptied without it',
    );
  await refuseLiving(real, dataDir);
  await jobs.run({
    step: 'empty-old-data',
    tool: 'find',
    argv: ['find', real, '-mindepth', '1', '-delete'],
    onGone: 'resume',
  });
}

/**
 * Makes a data directory ready to be overwritten: a killed server leaves its lock file, over which nothing is restored.
 * @throws RepriseError `conflict` while a server is running in it
 */
export async function readyToOverwrite(dataDir: string): Promise<void> {
  await refuseLiving(dataDir, dataDir);
  await rm(join(dataDir, 'postmaster.pid'), { force: true });
}

async function classifyCopy({ code, stderr }: JobExit, oldDataDir: string): Promise<'ok' | 'retry' | 'fail'> {
  if (code === 0) return 'ok';
  if (code === REPLACED) throw replaced(oldDataDir);
  // Starting again makes no room; it would only hide why.
  if (/No space left|Disk quota|Permission denied/i.test(await tailOfFile(stderr))) return 'fail';
  return 'retry';
}

function replaced(oldDataDir: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${oldDataDir} is not the directory that was made for the copy of the old data: it is a link, or was replaced`,
    'see what it is and who put it there, move it away, then: reprise continue',
  );
}
