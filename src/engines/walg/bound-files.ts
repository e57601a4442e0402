import { createHash } from 'node:crypto';
import type { Backup, BoundContent } from '../../domain/backup/backup.js';
import { RepriseError } from '../../domain/errors.js';
import { isErrno } from '../../files/paths.js';
import type { ReadContext } from '../engine.js';
import type { SeenFiles } from '../shared/bound-content.js';
import { requireBound, requireRecorded, seeFiles } from '../shared/bound-content.js';
import { readIfThere } from '../shared/manifest.js';
import type { WalgBackup } from './backup-list.js';
import { optionsOf } from './command.js';
import { localPrefix, readEnvFile } from './env-file.js';
import { BACKUP_FOLDER, fingerprintOf, localFiles, sentinelName } from './storage-layout.js';
import { describeStore } from './tool-store.js';

/**
 * What is approved of a backup, and of those it rests on: on this host all of its files; in an object store the sentinel,
 * which names the chain and the parts, and the metadata of its files. Those parts hold no checksums of WAL-G's, and are
 * read only when they are fetched.
 * @throws RepriseError `backup-corrupt` where it is not as recorded
 */
export async function bindBackup(
  context: ReadContext,
  backup: Backup,
  known: readonly Backup[],
): Promise<BoundContent> {
  const bound: Record<string, string> = {};
  for (const label of [backup.label, ...(backup.dependsOn ?? [])]) {
    const recorded = label === backup.label ? backup : known.find((one) => one.label === label);
    const files = await contentOf(context, label);
    const whole = files[wholeOf(label)];
    if (whole !== undefined) requireRecorded(backup, recorded?.sha256, whole);
    Object.assign(bound, files);
  }
  return bound;
}

/**
 * Refuses to fetch what is not bound, in the whole chain.
 * @returns with which it is told after the fetch whether WAL-G read what was compared
 * @throws RepriseError as {@link requireBound}
 */
export async function requireBoundFiles(
  context: ReadContext,
  { label, dependsOn }: Pick<WalgBackup, 'label' | 'dependsOn'>,
  content: BoundContent,
): Promise<SeenFiles> {
  const prefix = localPrefix(await readEnvFile(optionsOf(context), context.user));
  const chain = [label, ...dependsOn];
  const compare = async (): Promise<void> => {
    for (const link of chain)
      for (const [name, found] of Object.entries(await contentOf(context, link)))
        requireBound(content, name, { label, found });
  };
  if (prefix === undefined) {
    await compare();
    return { requireSame: compare };
  }
  const seen = await seeFiles((await Promise.all(chain.map((link) => localFiles(prefix, link)))).flat());
  await compare();
  return seen;
}

const wholeOf = (label: string): string => `files of ${label}`;

/** Hashes of one backup of a chain, by what they are of. */
async function contentOf(context: ReadContext, label: string): Promise<BoundContent> {
  const whole = await fingerprintOf(context, label).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw missing(label);
  });
  if (whole !== undefined) return { [wholeOf(label)]: whole };
  const described = await describeStore(context);
  if (described === null)
    throw new RepriseError(
      'capability-missing',
      'the files of the backup cannot be compared: their storage is neither S3 nor a directory of this host',
      'use WALG_S3_PREFIX or WALG_FILE_PREFIX',
    );
  const storage = context.openToolStore(described);
  const sentinel = await readIfThere(storage, `${BACKUP_FOLDER}/${sentinelName(label)}`);
  if (sentinel === null) throw missing(label);
  // Newer versions keep there what older ones have in the sentinel.
  const metadata = await readIfThere(storage, `${BACKUP_FOLDER}/${label}/files_metadata.json`);
  return {
    [`sentinel of ${label}`]: sha256(sentinel),
    [`metadata of the files of ${label}`]: metadata === null ? sha256(Buffer.alloc(0)) : sha256(metadata),
  };
}

const sha256 = (body: Buffer): string => createHash('sha256').update(body).digest('hex');

function missing(label: string): RepriseError {
  return new RepriseError(
    'backup-corrupt',
    `files of backup ${label} are missing in the storage`,
    'choose another backup with recover --to backup:ID',
  );
}
