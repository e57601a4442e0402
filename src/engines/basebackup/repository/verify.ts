import { join } from 'node:path';
import type { Backup } from '../../../domain/backup/backup.js';
import { isRepriseError } from '../../../domain/errors.js';
import type { Progress } from '../../../domain/operation/progress.js';
import { neededSegments } from '../../../domain/target/wal.js';
import { makeHostScratch } from '../../../postgres/server/scratch-directory.js';
import type { EngineContext, VerifyVerdict } from '../../engine.js';
import { failedVerification } from '../../shared/backup-record.js';
import { damageOf } from '../../shared/hash.js';
import { fileKey, hashOf, manifestOf } from './manifest.js';
import type { BaseManifest } from './manifest.js';
import { spoolOf } from './names.js';
import { chainOf } from './chain.js';
import { walArchive } from '../wal/wal-archive.js';
import { removeTree } from '../../../files/remove-tree.js';
import { makeOwnDirectory } from '../../../files/trusted-paths.js';

/**
 * Size and SHA-256 of every file: they are those that pg_verifybackup looked through when the backup was made. Then
 * the WAL that makes it consistent is read. Damage is a verdict; only what hinders looking is thrown.
 */
export async function verify(context: EngineContext, backup: Backup): Promise<VerifyVerdict> {
  try {
    const manifest = await manifestOf(context, backup.label);
    if (backup.sha256 !== undefined && backup.sha256 !== hashOf(manifest))
      return failedVerification('its manifest differs from the one recorded when it was made');
    for (const link of await chainOf(context, manifest)) {
      const damage = await damageOfFiles(context, link);
      if (damage !== null)
        return failedVerification(link === manifest ? damage : `it depends on ${link.label}: ${damage}`);
    }
    await readWal(context, manifest);
    const { files, wal } = manifest;
    return {
      ok: true,
      detail: `size and SHA-256 of ${files.length} files match, as pg_verifybackup saw them; WAL ${wal.start} to ${wal.stop} can be read`,
    };
  } catch (error) {
    if (!isRepriseError(error) || !['backup-corrupt', 'identity-mismatch', 'not-found', 'wal-gap'].includes(error.code))
      throw error;
    return failedVerification(error.message);
  }
}

/** Why a backup's files are not what was recorded; null where they are. */
async function damageOfFiles(context: EngineContext, manifest: BaseManifest): Promise<string | null> {
  const total = manifest.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let before = 0;
  // Of all files, and not of each from 0 to 100 %.
  const reading = {
    storage: context.storage,
    signal: context.signal,
    report: (progress: Progress) => context.report({ ...progress, done: before + progress.done, total }),
  };
  for (const file of manifest.files) {
    const damage = await damageOf(reading, fileKey(context, manifest.label, file), file);
    if (damage !== null) return damage;
    before += file.sizeBytes;
  }
  return null;
}

async function readWal(context: EngineContext, { wal, segmentBytes }: BaseManifest): Promise<void> {
  const archive = await walArchive(context);
  const directory = join(spoolOf(context), 'wal');
  await makeHostScratch(context.host, context.user);
  await makeOwnDirectory(directory, context.user);
  try {
    // One that is missing is told by its name.
    for (const segment of neededSegments(wal.start, wal.stop, { segmentBytes })) {
      context.signal.throwIfAborted();
      await archive.fetch(segment, directory);
      await removeTree(join(directory, segment));
    }
  } finally {
    await removeTree(spoolOf(context));
  }
}
