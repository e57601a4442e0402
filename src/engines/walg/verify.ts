import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { freeBytes } from '../../postgres/server/disk.js';
import { isCancelled, isLeaving } from '../../process/jobs/jobs.js';
import { removeTree } from '../../files/remove-tree.js';
import { makeOwnDirectory } from '../../files/trusted-paths.js';
import { isErrno } from '../../files/paths.js';
import { makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { missingFor } from '../../postgres/wal/contiguous-wal.js';
import { listSegments } from '../../postgres/wal/messages.js';
import type { EngineContext, VerifyVerdict } from '../engine.js';
import { failedVerification } from '../shared/backup-record.js';
import { pagesInWords } from '../shared/page-errors.js';
import { toolHasEnded } from '../shared/run-tool-job.js';
import { readArchive } from './wal/archive.js';
import type { WalgBackup } from './backup-list.js';
import { readBackupList } from './backup-list.js';
import { optionsOf } from './command.js';
import { fingerprintOf } from './storage-layout.js';
import { strayLink } from './wal/lineage.js';
import { fetchBackup } from './restore.js';
import { safeFileName } from '../../files/safe-names.js';

/** Room left over beside what is fetched. */
const SLACK = 1.05;

/**
 * Compares the stored files with what was recorded where they are on this host, and fetches the whole backup into
 * scratch, where every file is unpacked: WAL-G has no command that verifies a backup. Its WAL has to be there too.
 * @throws RepriseError `disk-full` where scratch has no room for it
 */
export async function verify(context: EngineContext, backup: Backup): Promise<VerifyVerdict> {
  const backups = await readBackupList(context);
  const stored = backups.find(({ label }) => label === backup.label);
  if (stored === undefined) return failedVerification(`backup ${backup.label} is no longer in the storage`);
  if (stored.baseless) return failedVerification('the backup it depends on is no longer in the storage');
  if (backup.pageErrors !== undefined && optionsOf(context).pageErrors !== 'accept')
    return failedVerification(`pages were damaged when it was taken: ${pagesInWords(backup.pageErrors)}`);
  const changed = backup.sha256 === undefined ? undefined : await changeOf(context, backup.label, backup.sha256);
  if (changed !== undefined) return failedVerification(changed);
  const archive = await readArchive(context);
  const missing = missingFor(stored, archive.segments);
  if (missing.length > 0)
    return failedVerification(`WAL that it needs to be consistent is not in the archive: ${listSegments(missing)}`);
  const stray = await strayLink(context, backups, stored, archive);
  if (stray !== null)
    return failedVerification(
      `it depends on ${stray.label}, of a timeline that a recovery had left before that backup ended: a restore would mix two timelines`,
    );
  return inScratch(context, stored, async (directory) => {
    try {
      for (const segment of archive.segments.filter((name) => name >= stored.wal.start && name <= stored.wal.stop)) {
        await archive.fetch(segment, directory);
        await rm(join(directory, segment), { force: true });
      }
      await fetchBackup(
        context,
        backups,
        { stored, proven: backup.proven !== null },
        directory,
        `verify-${stored.label}`,
      );
    } catch (error) {
      if (isRepriseError(error) && error.code === 'backup-corrupt') return failedVerification(error.message);
      throw error;
    }
    return verdictOn(context, stored, directory, backup.sha256 !== undefined);
  });
}

async function verdictOn(
  context: EngineContext,
  stored: WalgBackup,
  directory: string,
  compared: boolean,
): Promise<VerifyVerdict> {
  const control = await readControlData(context.pgBin, directory, context.user);
  if (control === null) return failedVerification('its pg_control cannot be read');
  if (stored.systemIdentifier !== null && control.systemIdentifier !== stored.systemIdentifier) {
    return failedVerification(
      `its files are of the cluster ${control.systemIdentifier}, and its record says ${stored.systemIdentifier}`,
    );
  }
  const how = compared ? 'stored files have their recorded SHA-256, and the' : 'the';
  return {
    ok: true,
    detail: `${how} whole backup was fetched and unpacked; its WAL from ${stored.wal.start} to ${stored.wal.stop} is archived`,
  };
}

async function changeOf(context: EngineContext, label: string, recorded: string): Promise<string | undefined> {
  const found = await fingerprintOf(context, label).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  });
  if (found === null) return 'files of it are missing';
  return found === undefined || found === recorded
    ? undefined
    : 'its stored files differ from those recorded when it was made';
}

/** A directory of the operation's own for one fetched backup, with room for it. */
async function inScratch(
  context: EngineContext,
  stored: WalgBackup,
  work: (directory: string) => Promise<VerifyVerdict>,
): Promise<VerifyVerdict> {
  const { scratchDir } = context.host;
  await makeScratchDirectory(scratchDir, context.user);
  const directory = join(scratchDir, `verify-${safeFileName(context.operationId)}-${stored.label}`);
  // What an earlier attempt has fetched takes no room again.
  if (!(await readdir(scratchDir)).includes(basename(directory))) await requireRoom(scratchDir, stored);
  await makeOwnDirectory(directory, context.user);
  const remove = () => removeTree(directory);
  try {
    const verdict = await work(directory);
    await remove();
    return verdict;
  } catch (error) {
    // Kept where it was interrupted: a job may still write there, and the next attempt continues with it.
    const isInterrupted =
      !toolHasEnded(error) && (isLeaving(context) || (!isCancelled(context) && isTriedAgain(error)));
    if (!isInterrupted) await remove();
    throw error;
  }
}

async function requireRoom(scratchDir: string, { label, databaseBytes }: WalgBackup): Promise<void> {
  const free = await freeBytes(scratchDir);
  const needed = Math.ceil(databaseBytes * SLACK);
  if (free >= needed) return;
  throw new RepriseError(
    'disk-full',
    `verifying ${label} needs ${needed} bytes in ${scratchDir}, and ${free} are free`,
    'free space there, or name another scratch_dir for the host: WAL-G verifies a backup only by fetching it',
  );
}

function isTriedAgain(error: unknown): boolean {
  return isRepriseError(error) && isRetryable(error);
}
