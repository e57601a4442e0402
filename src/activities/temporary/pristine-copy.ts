import { mkdir, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostConfig } from '../../domain/config.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { giveTo } from '../../files/directories.js';
import { isErrno, pathExists } from '../../files/paths.js';
import { removeTree } from '../../files/remove-tree.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { sha256Hex } from '../../records/digest.js';
import type { TemporaryInstance } from '../../records/temporary-instances.js';

/**
 * Where the scratch file system can copy by reference (XFS, Btrfs), the files of a backup as they were restored are kept beside the
 * instances that are made of it: each further one is copied from there within a second, and takes no room but for what it changes.
 * They go with the last instance of that backup.
 */
export interface CopyRequest {
  readonly host: Pick<HostConfig, 'scratchDir'>;
  readonly user: OsUser | null;
  readonly signal?: AbortSignal;
}

/** Names and references only; of a million files too. */
const LONGEST_MS = 3_600_000;

/** Of a physical backup with just this content; null for dumps, whose restored cluster is no copy of files. */
function pristineOf(
  { scratchDir }: Pick<HostConfig, 'scratchDir'>,
  { method, backups }: Pick<PlannedRestore, 'method' | 'backups'>,
): string | null {
  const [backup] = backups;
  if (method !== 'data-directory' || backup === undefined) return null;
  return join(scratchDir, `pristine-${sha256Hex(`${backup.id}\n${backup.content}`).slice(0, 12)}`);
}

/** Whether the files of a backup are there to be copied from. */
export async function hasPristine(
  host: Pick<HostConfig, 'scratchDir'>,
  restore: Pick<PlannedRestore, 'method' | 'backups'>,
): Promise<boolean> {
  const pristine = pristineOf(host, restore);
  return pristine !== null && (await pathExists(pristine));
}

/** Fills a data directory from what an earlier restore of the same backup has left; false where there is nothing to copy from. */
export async function copyFromPristine(
  request: CopyRequest,
  restore: Pick<PlannedRestore, 'method' | 'backups'>,
  dataDir: string,
): Promise<boolean> {
  const pristine = pristineOf(request.host, restore);
  // What an attempt has begun to restore goes on.
  if (pristine === null || !(await pathExists(pristine)) || (await pathExists(dataDir))) return false;
  return copyByReference(request, pristine, dataDir);
}

/**
 * Keeps restored files, before any server has run in them, where they can be copied by reference. Where they cannot, or where the backup
 * has tablespaces, whose links name the place that they were restored into, nothing is kept.
 */
export async function keepPristine(
  request: CopyRequest,
  restore: Pick<PlannedRestore, 'method' | 'backups'>,
  dataDir: string,
): Promise<void> {
  const pristine = pristineOf(request.host, restore);
  if (pristine === null || (await pathExists(pristine)) || (await hasTablespaces(dataDir))) return;
  await copyByReference(request, dataDir, pristine);
}

/** Nobody needs the files of a backup any more that only this instance was made of. */
export async function dropPristine(
  host: Pick<HostConfig, 'scratchDir'>,
  { dataDir, content }: TemporaryInstance,
  all: readonly TemporaryInstance[],
): Promise<void> {
  const pristine = content === undefined ? null : pristineOf(host, content.restore);
  if (pristine === null) return;
  const isUsed = all.some(
    (other) =>
      other.dataDir !== dataDir && other.content !== undefined && pristineOf(host, other.content.restore) === pristine,
  );
  if (!isUsed) await removeTree(pristine);
}

async function hasTablespaces(dataDir: string): Promise<boolean> {
  const links = await readdir(join(dataDir, 'pg_tblspc')).catch((): string[] => []);
  return links.length > 0 || (await pathExists(join(dataDir, 'tablespace_map')));
}

/**
 * Copies a directory whole or not at all; false where the file system cannot do it by reference. What an attempt was cut off in
 * lies beside the target and is made anew.
 */
async function copyByReference({ user, signal }: CopyRequest, from: string, to: string): Promise<boolean> {
  const making = join(dirname(to), `.copying-${sha256Hex(`${from}\n${to}`).slice(0, 12)}`);
  await removeTree(making);
  await mkdir(making, { mode: 0o700 });
  await giveTo(making, user);
  const cp = (argv: readonly string[], acceptCodes: readonly number[]) =>
    runProgram(['cp', '-a', '--reflink=always', ...argv], { user, signal, acceptCodes, timeoutMs: LONGEST_MS });
  try {
    // One file says whether it can: a tree that cannot be copied so would fail at its first one too, after making all of its directories.
    const { exitCode } = await cp([join(from, 'PG_VERSION'), join(making, 'PG_VERSION')], [0, 1]);
    if (exitCode !== 0) return false;
    await cp([`${from}/.`, making], [0]);
    await rename(making, to);
    return true;
  } catch (error) {
    // Another instance of the same backup was first.
    if (isErrno(error, 'ENOTEMPTY', 'EEXIST')) return true;
    throw error;
  } finally {
    await removeTree(making);
  }
}
