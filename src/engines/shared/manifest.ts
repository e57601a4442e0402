/** Manifests that engines of ours write beside a backup's files, last: they are what makes files a backup. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ServerFacts, TableCount } from '../../domain/backup/backup.js';
import type { RecordedObjects } from '../../domain/backup/recorded-objects.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { isLsn, isSegmentName } from '../../domain/target/wal.js';
import type { ReadableStorage } from '../../storage/storage.js';
import type { Fingerprint } from './hash.js';
import type { PolicyFolder } from './policy-folder.js';

const count = z.int().nonnegative();

export const fingerprintSchema = z.object({
  sizeBytes: count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
}) satisfies z.ZodType<Fingerprint>;

export const serverFactsSchema = z.object({
  versionNum: count,
  systemIdentifier: z.string(),
  encoding: z.string().optional(),
  dataChecksums: z.boolean().optional(),
}) satisfies z.ZodType<ServerFacts>;

export const tableCountSchema = z.object({
  database: z.string(),
  schema: z.string(),
  table: z.string(),
  rows: count,
  bytes: count.optional(),
  unlogged: z.boolean().optional(),
  hash: z
    .string()
    .regex(/^\d{1,20}$/)
    .optional(),
}) satisfies z.ZodType<TableCount>;

const name = z.string();

export const recordedObjectsSchema = z.object({
  roles: z.array(name),
  tablespaces: z.array(name),
  databases: z.array(
    z.object({
      database: name,
      extensions: z.array(name),
      largeObjects: z.object({
        count,
        hash: z
          .string()
          .regex(/^-?\d+$/)
          .optional(),
      }),
      sequences: z.array(
        z.object({
          name,
          last: z
            .string()
            .regex(/^-?\d+$/)
            .nullable(),
        }),
      ),
      definitions: z.array(
        z.object({
          kind: name,
          count,
          hash: z.string().regex(/^-?\d+$/),
          each: z.record(name, z.string()).optional(),
        }),
      ),
    }),
  ),
}) satisfies z.ZodType<RecordedObjects>;

export const segmentSchema = z.string().refine(isSegmentName);
export const lsnSchema = z.string().refine(isLsn);
export const instantSchema = z.iso.datetime();

/** A manifest, and the SHA-256 (hex) of the very bytes that it was read from. */
export interface StoredManifest<T> {
  readonly manifest: T;
  readonly sha256: string;
}

/**
 * The manifest at a key, as it was written: its text makes its hash. Null where there is none.
 * @throws RepriseError `backup-corrupt` where the schema does not accept it
 */
export async function readManifestAt<T>(
  storage: ReadableStorage,
  key: string,
  schema: z.ZodType<T>,
): Promise<StoredManifest<T> | null> {
  const body = await readIfThere(storage, key);
  if (body === null) return null;
  const value = parseJson(body.toString('utf8'));
  const checked = schema.safeParse(value);
  if (checked.success) return { manifest: value as T, sha256: createHash('sha256').update(body).digest('hex') };
  throw new RepriseError(
    'backup-corrupt',
    `the manifest ${key} cannot be read`,
    'choose another backup with recover --to backup:ID',
  );
}

/**
 * The manifest of a backup that somebody names.
 * @throws RepriseError `not-found`, `backup-corrupt`; `identity-mismatch` for files copied from another cluster's folder
 */
export async function manifestOfBackup<T extends { readonly cluster: string; readonly label: string }>(
  { storage, cluster }: PolicyFolder & { readonly storage: ReadableStorage },
  label: string,
  key: string,
  schema: z.ZodType<T>,
): Promise<StoredManifest<T>> {
  const stored = await readManifestAt(storage, key, schema);
  if (stored === null)
    throw new RepriseError('not-found', `there is no backup ${label}`, 'reprise backup list shows the backups');
  const { manifest } = stored;
  if (manifest.cluster === cluster.name && manifest.label === label) return stored;
  throw new RepriseError(
    'identity-mismatch',
    `backup ${label}: ${misplaced(manifest)}`,
    'move them back to their own folder, and choose a backup of this cluster',
  );
}

/** Why files that somebody copied or renamed are no backup under the name that they have. */
export function misplaced({ label, cluster }: { readonly label: string; readonly cluster: string }): string {
  return `its files are those of backup ${label} of cluster ${cluster}`;
}

/** Reads a small object as it is; null where there is none. */
export async function readIfThere(storage: ReadableStorage, key: string): Promise<Buffer | null> {
  try {
    return await storage.read(key);
  } catch (error) {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  }
}

/** What a JSON text says; undefined, which no schema accepts, where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * What a tool printed as JSON.
 * @param hint what to do where the tool prints another form
 * @throws RepriseError `tool-failed` for an unknown form
 */
export function parseToolJson<T>(name: string, text: string, schema: z.ZodType<T>, hint: string): T {
  const found = schema.safeParse(parseJson(text));
  if (found.success) return found.data;
  throw new RepriseError('tool-failed', `${name} has an unknown form: ${z.prettifyError(found.error)}`, hint);
}
