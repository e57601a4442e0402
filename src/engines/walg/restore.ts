import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { giveTo } from '../../files/directories.js';
import { nameExists } from '../../files/paths.js';
import { requireSameFor } from '../shared/bound-content.js';
import { claimDirectory, isRestoredDirectoryGone } from '../shared/claim-directory.js';
import type { EngineContext, RestoreFilesRequest } from '../engine.js';
import type { WalgBackup } from './backup-list.js';
import { readBackupList } from './backup-list.js';
import { requireBoundFiles } from './bound-files.js';
import { runWalgJob } from './command.js';
import type { ToFetch } from './tablespaces.js';
import { requireSafeToFetch } from './tablespaces.js';
import { emptyDirectory } from '../../files/remove-tree.js';

/**
 * Fetches a backup's files, and nothing else: recovery is configured by the caller. WAL-G fetches into an empty directory
 * only, so that one cut off is cleared and begun anew; pg_control comes last. Nothing is fetched but what is bound.
 * @throws RepriseError `path-refused` for a directory that is neither empty nor this operation's own; `not-found`
 */
export async function restoreFiles(context: EngineContext, request: RestoreFilesRequest): Promise<void> {
  const dataDir = resolve(request.dataDir);
  const backups = await readBackupList(context);
  const stored = backups.find(({ label }) => label === request.backup.label);
  if (stored === undefined)
    throw new RepriseError(
      'not-found',
      `backup ${request.backup.label} is not in the storage`,
      'list the backups: reprise backup list',
    );
  const seen = await requireBoundFiles(context, stored, request.content);
  await claimDirectory(context, dataDir);
  // One operation may restore several backups, each to verify it.
  await fetchBackup(
    context,
    backups,
    { stored, proven: request.backup.proven !== null },
    dataDir,
    `restore-${stored.label}`,
  );
  await requireSameFor(dataDir, seen);
}

/**
 * Fetches one of these backups into a directory that is this operation's own.
 * @throws RepriseError `capability-missing` where tablespaces could be written over living ones
 */
export async function fetchBackup(
  context: EngineContext,
  backups: readonly WalgBackup[],
  chosen: ToFetch,
  directory: string,
  step: string,
): Promise<void> {
  await requireSafeToFetch(context, backups, chosen);
  await runWalgJob(context, {
    step,
    args: ['backup-fetch', directory, chosen.stored.label],
    cleanUp: () => emptyDirectory(directory),
    resultIsGone: () => isRestoredDirectoryGone(directory),
  });
  // It stores directories only: a pg_wal that was a symbolic link is not among them, and without one no server starts.
  const wal = join(directory, 'pg_wal');
  if (await nameExists(wal)) return;
  await mkdir(wal, { mode: 0o700 });
  await giveTo(wal, context.user);
}
