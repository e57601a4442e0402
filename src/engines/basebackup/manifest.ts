import { createHash } from 'node:crypto';
import type { BackupType, ServerFacts, TableCount } from '../../domain/backup/backup.js';
import { backupId } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ReadableStorage } from '../../storage/storage.js';
import type { MadeBackup } from '../engine.js';
import type { Fingerprint } from '../shared/hash.js';
import { backupPrefix, manifestKey } from './names.js';
import type { Place } from './names.js';

export const BASEBACKUP = 'basebackup';

/** One file of a backup as it lies in the repository. */
export interface BackupFile extends Fingerprint {
  /** `base.tar.gz`, `pg_wal.tar.gz`, `OID.tar.gz` of a tablespace, `backup_manifest`. */
  readonly name: string;
}

/** Facts of a finished base backup. Written last, it is what makes files a backup. */
export interface BaseManifest {
  readonly schemaVersion: 1;
  readonly engine: typeof BASEBACKUP;
  readonly label: string;
  readonly type: BackupType;
  readonly cluster: string;
  readonly policy: string;
  readonly operationId: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly files: readonly BackupFile[];
  /** Bytes of the restored cluster. */
  readonly databaseBytes: number;
  readonly segmentBytes: number;
  readonly wal: { readonly start: string; readonly stop: string };
  readonly lsn: { readonly start: string; readonly stop: string };
  readonly server: ServerFacts;
  /** Labels of the backups without which this one cannot be restored, nearest first. */
  readonly dependsOn: readonly string[];
  /** Rows as counted close to its end. */
  readonly contents: readonly TableCount[];
}

export const fileKey = (place: Place, label: string, { name }: Pick<BackupFile, 'name'>): string =>
  `${backupPrefix(place, label)}${name}`;

export const sizeOf = ({ files }: Pick<BaseManifest, 'files'>): number =>
  files.reduce((sum, file) => sum + file.sizeBytes, 0);

/** The manifest of a backup; null where there is none. Throws `backup-corrupt` where it is none. */
export async function readManifest(storage: ReadableStorage, key: string): Promise<BaseManifest | null> {
  const body = await storage.read(key).catch((error: unknown) => {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  });
  if (body === null) return null;
  try {
    const value = JSON.parse(body.toString('utf8')) as Partial<BaseManifest> | null;
    if (
      value?.schemaVersion === 1 &&
      value.engine === BASEBACKUP &&
      Array.isArray(value.files) &&
      value.wal &&
      value.lsn &&
      value.server
    )
      return value as BaseManifest;
  } catch (error) {
    if ((error as Error).name !== 'SyntaxError') throw error;
  }
  throw new RepriseError(
    'backup-corrupt',
    `the manifest ${key} cannot be read`,
    'choose another backup with recover --to backup:ID',
  );
}

/**
 * The manifest of a backup that somebody names.
 * @throws RepriseError `not-found`, `backup-corrupt`; `identity-mismatch` for files copied from another cluster's folder (F17)
 */
export async function manifestOf(
  context: Place & { readonly storage: ReadableStorage },
  label: string,
): Promise<BaseManifest> {
  const manifest = await readManifest(context.storage, manifestKey(context, label));
  if (manifest === null)
    throw new RepriseError('not-found', `there is no backup ${label}`, 'reprise backup list shows what there is');
  if (manifest.cluster !== context.cluster.name || manifest.label !== label) {
    throw new RepriseError(
      'identity-mismatch',
      `the files of ${label} are those of backup ${manifest.label} of cluster ${manifest.cluster}`,
      'put them back where they came from, and choose a backup of this cluster',
    );
  }
  return manifest;
}

/** The backup as the contract returns it. */
export function madeBackup(manifest: BaseManifest, repository: string): MadeBackup {
  const { cluster, policy, label, type, startedAt, finishedAt, wal, server, dependsOn, contents } = manifest;
  return {
    id: backupId(cluster, BASEBACKUP, label),
    ...{ cluster, policy, engine: BASEBACKUP, repository, type, startedAt, finishedAt },
    sizeBytes: sizeOf(manifest),
    label,
    sha256: hashOf(manifest),
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
    ...{ wal, server, contents },
  };
}

/** The manifest as it is written; the same text comes out of what was read. */
export function manifestText(manifest: BaseManifest): string {
  return `${JSON.stringify(manifest, null, 1)}\n`;
}

/** SHA-256 (hex) of the manifest, which holds those of all files. */
export function hashOf(manifest: BaseManifest): string {
  return createHash('sha256').update(manifestText(manifest)).digest('hex');
}
