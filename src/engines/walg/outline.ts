import type { Backup } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { WalArchive } from '../../postgres/wal/wal-archive.js';
import type { OutlineRequest, ReadContext, RecoveryOutline } from '../engine.js';
import { outlinePhysical } from '../shared/physical-outline.js';
import type { PhysicalCandidate } from '../shared/physical-outline.js';
import { inOwnDirectory, readArchive, withoutCutOff } from './wal/archive.js';
import type { WalgBackup } from './backup-list.js';
import { readBackupList } from './backup-list.js';
import { optionsOf } from './command.js';
import { localPrefix, readEnvFile } from './env-file.js';
import type { ToFetch } from './tablespaces.js';
import { requireSafeToFetch } from './tablespaces.js';

/**
 * Looks, without changing anything, whether and how a target can be reached with the backups and WAL of the storage.
 * @throws RepriseError `no-usable-backup`, and what {@link outlinePhysical} throws
 */
export async function outlineRecovery(context: ReadContext, request: OutlineRequest): Promise<RecoveryOutline> {
  const warnings: string[] = [];
  const candidates = await restorable(context, request.candidates, warnings);
  if (candidates.length === 0) {
    throw new RepriseError(
      'no-usable-backup',
      `the storage named in ${optionsOf(context).envFile} has no backup that could be restored`,
      'list the backups and their status: reprise backup list',
    );
  }
  const { archive, cut } = await wholeArchive(context);
  if (cut !== null)
    warnings.push(`the last archived WAL segment, ${cut}, was not written completely: the archived WAL ends before it`);
  return outlinePhysical(context, request, { candidates, archive, warnings });
}

/** The archived WAL, without a last segment that was not written to its end, and which one that is. */
async function wholeArchive(
  context: ReadContext,
): Promise<{ readonly archive: WalArchive; readonly cut: string | null }> {
  const archive = await readArchive(context);
  if (localPrefix(await readEnvFile(optionsOf(context), context.user)) === undefined) return { archive, cut: null };
  return inOwnDirectory(context, (directory) => withoutCutOff(archive, directory));
}

/** The same without saying which. */
export async function readWholeArchive(context: ReadContext): Promise<WalArchive> {
  return (await wholeArchive(context)).archive;
}

/** Candidates that the storage still has, whole and of a known cluster. */
async function restorable(
  context: ReadContext,
  candidates: readonly Backup[],
  warnings: string[],
): Promise<PhysicalCandidate[]> {
  const backups = await readBackupList(context);
  const found: PhysicalCandidate[] = [];
  for (const backup of candidates) {
    const stored = backups.find(({ label }) => label === backup.label);
    if (stored === undefined) warnings.push(`backup ${backup.label} is in the catalogue and not in the storage`);
    else if (stored.baseless)
      warnings.push(`backup ${backup.label} is not used: the backup it depends on is no longer in the storage`);
    else if (stored.systemIdentifier === null)
      warnings.push(`backup ${backup.label} is not used: it does not say of which cluster it is`);
    else if (await isSafeToFetch(context, backups, { stored, proven: backup.proven !== null }, warnings))
      found.push({
        backup,
        stored: { ...stored, systemIdentifier: stored.systemIdentifier, major: Math.floor(stored.versionNum / 10_000) },
      });
  }
  return found;
}

/** Known before anything is stopped or moved, and not only where it is fetched. */
async function isSafeToFetch(
  context: ReadContext,
  backups: readonly WalgBackup[],
  chosen: ToFetch,
  warnings: string[],
): Promise<boolean> {
  try {
    await requireSafeToFetch(context, backups, chosen);
    return true;
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'capability-missing') throw error;
    warnings.push(error.message);
    return false;
  }
}
