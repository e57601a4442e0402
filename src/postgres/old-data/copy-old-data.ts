import { realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { JobExit, Jobs } from '../../process/jobs/jobs.js';
import { tailOfFile } from '../../files/tail.js';
import { refuseLiving } from './move-old-data.js';
import { syncDirectory } from '../../files/directories.js';

/**
 * Copies a directory with its owners, modes and times, continues with what an earlier start of it left, and compares every
 * byte at the end. What a killed `cp` was writing is younger than its source, so that `--update` would keep it: what is
 * there and not the same goes first. What has no source any more is never touched.
 */
const COPY = `set -eu
from=$1 to=$2
if [ -d "$to" ]; then
  cd "$to"
  find . -type f -exec sh -c 'from=$1; shift; for file; do [ ! -e "$from/$file" ] || cmp -s -- "$file" "$from/$file" || rm -f -- "$file"; done' compare "$from" {} +
fi
mkdir -p -m 0700 "$to"
cp --archive --update --no-target-directory --verbose "$from/." "$to"
sync --file-system "$to"
diff --recursive --brief --no-dereference "$from" "$to" >&2
`;

/**
 * Copies a data directory to another place, on any file system: a job that a kill does not end, over only when the copy
 * was compared. The caller does it once an operation: {@link emptyOldData} takes away what it would be compared with.
 * @throws RepriseError `conflict` while a server is running in it; those of {@link Jobs}
 */
export async function copyOldData(jobs: Jobs, dataDir: string, oldDataDir: string): Promise<void> {
  const real = await realpath(dataDir).catch(() => null);
  // Gone, it has no old data.
  if (real === null) return;
  await refuseLiving(real, dataDir);
  await jobs.run({
    step: 'copy-old-data',
    tool: 'cp',
    argv: ['/bin/sh', '-c', COPY, 'copy-old-data', real, oldDataDir],
    onGone: 'resume',
    classifyExit: classifyCopy,
  });
  await syncDirectory(dirname(oldDataDir));
}

/**
 * Empties a data directory that {@link copyOldData} has copied. The directory itself stays: it may be a mount point.
 * @throws RepriseError `conflict` where the copy is not there, or while a server is running in it
 */
export async function emptyOldData(jobs: Jobs, dataDir: string, oldDataDir: string): Promise<void> {
  const real = await realpath(dataDir).catch(() => null);
  if (real === null) return;
  const copy = await stat(oldDataDir).catch(() => null);
  if (copy?.isDirectory() !== true)
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

async function classifyCopy({ code, stderr }: JobExit): Promise<'ok' | 'retry' | 'fail'> {
  if (code === 0) return 'ok';
  // Starting again makes no room; it would only hide why.
  if (/No space left|Disk quota|Permission denied/i.test(await tailOfFile(stderr))) return 'fail';
  return 'retry';
}
