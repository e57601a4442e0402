import { createHash } from 'node:crypto';
import type { BackupType, ServerFacts, TableCount } from '../../../domain/backup/backup.js';
import { z } from 'zod';
import { backupId } from '../../../domain/backup/backup.js';
import type { RecordedObjects } from '../../../domain/backup/recorded-objects.js';
import type { ReadableStorage } from '../../../storage/storage.js';
import type { MadeBackup } from '../../engine.js';
import type { Fingerprint } from '../../shared/hash.js';
import {
  fingerprintSchema,
  instantSchema,
  lsnSchema,
  manifestOfBackup,
  readManifestAt,
  recordedObjectsSchema,
  segmentSchema,
  serverFactsSchema,
  tableCountSchema,
} from '../../shared/manifest.js';
import type { PolicyFolder } from '../../shared/policy-folder.js';
import { backupPrefix, isLabel, manifestKey } from './names.js';

export const BASEBACKUP = 'basebackup';

/** One file of a backup as it is in the repository. */
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
  /** What was there besides rows, at the same time; absent in manifests of older versions. */
  readonly objects?: RecordedObjects;
  /** Absent: every page was checked, or the cluster has no checksums. */
  readonly pageErrors?: readonly string[];
}

export const fileKey = (folder: PolicyFolder, label: string, { name }: Pick<BackupFile, 'name'>): string =>
  `${backupPrefix(folder, label)}${name}`;

export const sizeOf = ({ files }: Pick<BaseManifest, 'files'>): number =>
  files.reduce((sum, file) => sum + file.sizeBytes, 0);

const backupName = z.string().refine(isLabel);
const manifestSchema = z.object({
  schemaVersion: z.literal(1),
  engine: z.literal(BASEBACKUP),
  label: backupName,
  type: z.enum(['full', 'incr']),
  cluster: z.string(),
  policy: z.string(),
  operationId: z.string(),
  startedAt: instantSchema,
  finishedAt: instantSchema,
  // Names become parts of paths: no other than those that pg_basebackup gives.
  files: z.array(
    fingerprintSchema.extend({ name: z.string().regex(/^(?:(?:base|pg_wal|\d{1,10})\.tar\.gz|backup_manifest)$/) }),
  ),
  databaseBytes: z.int().nonnegative(),
  segmentBytes: z.int().positive(),
  wal: z.object({ start: segmentSchema, stop: segmentSchema }),
  lsn: z.object({ start: lsnSchema, stop: lsnSchema }),
  server: serverFactsSchema,
  dependsOn: z.array(backupName),
  contents: z.array(tableCountSchema),
  objects: recordedObjectsSchema.optional(),
  pageErrors: z.array(z.string()).optional(),
}) satisfies z.ZodType<BaseManifest>;

/** The manifest at a key; null where there is none. Throws `backup-corrupt` where it is none. */
export async function readManifest(storage: ReadableStorage, key: string): Promise<BaseManifest | null> {
  return (await readManifestAt(storage, key, manifestSchema))?.manifest ?? null;
}

/** The manifest of a backup that somebody names. Throws as {@link manifestOfBackup}. */
export async function manifestOf(
  context: PolicyFolder & { readonly storage: ReadableStorage },
  label: string,
): Promise<BaseManifest> {
  return (await manifestOfBackup(context, label, manifestKey(context, label), manifestSchema)).manifest;
}

/** The backup as the contract returns it. */
export function madeBackup(manifest: BaseManifest, repository: string): MadeBackup {
  const { cluster, policy, label, type, startedAt, finishedAt, wal, server, dependsOn, contents, objects, pageErrors } =
    manifest;
  return {
    id: backupId(cluster, BASEBACKUP, label),
    cluster,
    policy,
    engine: BASEBACKUP,
    repository,
    type,
    startedAt,
    finishedAt,
    sizeBytes: sizeOf(manifest),
    label,
    sha256: hashOf(manifest),
    dependsOn: dependsOn.length === 0 ? undefined : dependsOn,
    wal,
    server,
    contents,
    ...(objects === undefined ? {} : { objects }),
    ...(pageErrors === undefined ? {} : { pageErrors }),
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

/** Tablespaces of a backup, by their numbers: a name may hold a slash or anything else. */
export function tablespacesIn({ files }: Pick<BaseManifest, 'files'>): readonly string[] {
  return files.flatMap(({ name }) => /^(\d+)\.tar\.gz$/.exec(name)?.[1] ?? []);
}
