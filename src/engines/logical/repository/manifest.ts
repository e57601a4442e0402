import { createHash } from 'node:crypto';
import type { Backup, BoundContent, Encryption, ServerFacts, TableCount } from '../../../domain/backup/backup.js';
import { z } from 'zod';
import { backupId } from '../../../domain/backup/backup.js';
import type { RecordedObjects } from '../../../domain/backup/recorded-objects.js';
import { RepriseError } from '../../../domain/errors.js';
import type { DatabaseProperties } from '../../../postgres/content/database-properties.js';
import type { ReadableStorage, WritableStorage } from '../../../storage/storage.js';
import type { MadeBackup } from '../../engine.js';
import { requireBound, requireRecorded } from '../../shared/bound-content.js';
import type { Fingerprint } from '../../shared/hash.js';
import type { StoredManifest } from '../../shared/manifest.js';
import {
  fingerprintSchema,
  instantSchema,
  manifestOfBackup,
  readManifestAt,
  recordedObjectsSchema,
  serverFactsSchema,
  tableCountSchema,
} from '../../shared/manifest.js';
import type { PolicyFolder } from '../../shared/policy-folder.js';
import { databaseOf, filesOf, manifestKeyOf } from './names.js';
import type { BackupFiles } from './names.js';

export const LOGICAL = 'logical';

/** What was known of the database before its dump began; taken once for an operation. */
export interface DumpFacts {
  readonly server: ServerFacts;
  /** Major version of the pg_dump that wrote it: pg_restore must be as new. */
  readonly toolMajor: number;
  /** Bytes the database took on the server: about what a restore needs. */
  readonly databaseSizeBytes: number;
  readonly properties: DatabaseProperties;
  /** Comment on the database itself, which pg_restore leaves out. */
  readonly comment: string | null;
  readonly extensions: readonly string[];
  /** Extensions' own tables whose rows are in the dump and not in the counts. */
  readonly extensionTables: readonly { readonly schema: string; readonly table: string }[];
  /** Tablespaces in use besides the default ones. */
  readonly tablespaces: readonly string[];
  /** `missing`: why there are none in the file. */
  readonly globals: Fingerprint & { readonly passwords: boolean; readonly missing?: string };
  /** For whom dump and roles are encrypted; absent where they are plain. */
  readonly encryption?: Encryption;
  /** Dumped from a standby, which refuses to read unlogged tables: they are in the dump without their rows. */
  readonly standby?: boolean;
}

/** How many of each kind of object a database holds, extensions' own left out. */
export type ObjectCounts = Readonly<Record<string, number>>;

/** Facts of a finished dump. Written last, it is what makes files a backup. */
export interface DumpManifest extends DumpFacts {
  readonly schemaVersion: 1;
  readonly engine: typeof LOGICAL;
  readonly label: string;
  readonly cluster: string;
  readonly policy: string;
  readonly database: string;
  readonly operationId: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly dump: Fingerprint;
  readonly contents: readonly TableCount[];
  /**
   * `snapshot`: counted by SQL in the very snapshot that was dumped; `dump`: counted in the dump itself; `nowhere`: that
   * snapshot was lost with its worker, and this host has no key to look into the dump.
   */
  readonly countedIn: 'snapshot' | 'dump' | 'nowhere';
  /** Null where the contents were not counted by SQL. */
  readonly objects: ObjectCounts | null;
  /** What the same snapshot held besides rows; absent where it was not read, and in manifests of older versions. */
  readonly recorded?: RecordedObjects;
  /**
   * Of a dump that was there before Reprise: the file it was copied from. Its roles, owner and settings are those the
   * server had then, since a dump holds none. `whole` and `unknown` as {@link Backup.adopted}.
   */
  readonly adopted?: {
    readonly from: string;
    readonly at: string;
    readonly unknown?: string;
    readonly whole?: boolean;
  };
  /** Why it is only a part of the database, as {@link Backup.partial}. */
  readonly partial?: string;
}

/** Where the files of a backup are, as its manifest has it: a policy may have been plain before it was encrypted. */
export function manifestFiles(folder: PolicyFolder, { label, encryption }: DumpManifest): BackupFiles {
  return filesOf(folder, label, encryption !== undefined);
}

export const dumpFactsSchema = z.object({
  server: serverFactsSchema,
  toolMajor: z.int().nonnegative(),
  databaseSizeBytes: z.int().nonnegative(),
  // Parts of these go into SQL where no literal is possible, so that only words that PostgreSQL knows are accepted.
  properties: z.object({
    owner: z.string(),
    encoding: z.string(),
    collate: z.string(),
    ctype: z.string(),
    localeProvider: z.enum(['libc', 'icu', 'builtin']),
    icuLocale: z.string().nullable(),
    collationVersion: z.string().nullable(),
    connectionLimit: z.int(),
    tablespace: z.string(),
    template: z.boolean().optional(),
    labels: z.array(z.object({ provider: z.string(), label: z.string() })).optional(),
    settings: z.array(z.object({ role: z.string().nullable(), name: z.string(), value: z.string() })),
    grants: z
      .array(
        z.object({
          grantee: z.string().nullable(),
          privilege: z.enum(['CREATE', 'CONNECT', 'TEMPORARY']),
          grantable: z.boolean(),
        }),
      )
      .nullable(),
  }),
  comment: z.string().nullable(),
  extensions: z.array(z.string()),
  extensionTables: z.array(z.object({ schema: z.string(), table: z.string() })),
  tablespaces: z.array(z.string()),
  globals: fingerprintSchema.extend({ passwords: z.boolean(), missing: z.string().optional() }),
  encryption: z.object({ tool: z.literal('age'), recipients: z.array(z.string()) }).optional(),
  standby: z.boolean().optional(),
}) satisfies z.ZodType<DumpFacts>;

const manifestSchema = dumpFactsSchema.extend({
  schemaVersion: z.literal(1),
  engine: z.literal(LOGICAL),
  label: z.string().refine((label) => databaseOf(label) !== null),
  cluster: z.string(),
  policy: z.string(),
  database: z.string(),
  operationId: z.string(),
  startedAt: instantSchema,
  finishedAt: instantSchema,
  dump: fingerprintSchema,
  contents: z.array(tableCountSchema),
  countedIn: z.enum(['snapshot', 'dump', 'nowhere']),
  objects: z.record(z.string(), z.int().nonnegative()).nullable(),
  recorded: recordedObjectsSchema.optional(),
  adopted: z
    .object({ from: z.string(), at: instantSchema, whole: z.boolean().optional(), unknown: z.string().optional() })
    .optional(),
  partial: z.string().optional(),
}) satisfies z.ZodType<DumpManifest>;

/** The manifest at a key; null where there is none. Throws `backup-corrupt` where it cannot be read as one. */
export async function readManifest(storage: ReadableStorage, key: string): Promise<DumpManifest | null> {
  return (await readStoredManifest(storage, key))?.manifest ?? null;
}

/** The same with the SHA-256 of what was read. */
export function readStoredManifest(
  storage: ReadableStorage,
  key: string,
): Promise<StoredManifest<DumpManifest> | null> {
  return readManifestAt(storage, key, manifestSchema);
}

type Folder = PolicyFolder & { readonly storage: ReadableStorage };

/** The manifest of a backup that somebody names. Throws as {@link manifestOfBackup}. */
export async function manifestOf(context: Folder, label: string): Promise<DumpManifest> {
  return (await storedManifestOf(context, label)).manifest;
}

function storedManifestOf(context: Folder, label: string): Promise<StoredManifest<DumpManifest>> {
  return manifestOfBackup(context, label, manifestKeyOf(context, label), manifestSchema);
}

/** Name under which the manifest is bound: it holds the hashes of dump and roles, and all properties of the database. */
const MANIFEST = 'manifest';

/**
 * What is approved of a backup. Throws `backup-corrupt` where its manifest is not the recorded one, and as
 * {@link manifestOfBackup}.
 */
export async function bindBackup(context: Folder, backup: Backup): Promise<BoundContent> {
  const { sha256 } = await storedManifestOf(context, backup.label);
  requireRecorded(backup, backup.manifestSha256, sha256);
  return { [MANIFEST]: sha256 };
}

/**
 * The manifest of a backup, where it is the one that is bound: hashed and parsed are the same bytes.
 * @throws RepriseError as {@link requireBound} and {@link manifestOfBackup}
 */
export async function boundManifest(context: Folder, label: string, content: BoundContent): Promise<DumpManifest> {
  const { manifest, sha256 } = await storedManifestOf(context, label);
  requireBound(content, MANIFEST, { label, found: sha256 });
  return manifest;
}

/**
 * Writes the manifest, which commits the backup. An incomplete one may be replaced; one that is under its own name is
 * this operation's or nobody's.
 * @throws RepriseError `conflict` where another operation has the name
 */
export async function commitManifest(storage: WritableStorage, key: string, manifest: DumpManifest): Promise<void> {
  const body = manifestText(manifest);
  if (storage.capabilities.localPath) return storage.write(key, body);
  if (await storage.createIfAbsent(key, body)) return;
  if ((await readManifest(storage, key))?.operationId === manifest.operationId) return;
  throw new RepriseError(
    'conflict',
    `the backup ${manifest.label} exists already and belongs to another operation`,
    'run the backup again: its name is the second it starts in',
  );
}

/** The manifest as it is written; the same text comes out of what was read. */
function manifestText(manifest: DumpManifest): string {
  return `${JSON.stringify(manifest, null, 1)}\n`;
}

/** The backup as the contract returns it. */
export function madeBackup(manifest: DumpManifest, repository: string): MadeBackup {
  return {
    id: backupId(manifest.cluster, LOGICAL, manifest.label),
    cluster: manifest.cluster,
    policy: manifest.policy,
    engine: LOGICAL,
    repository,
    type: 'full',
    startedAt: manifest.startedAt,
    finishedAt: manifest.finishedAt,
    sizeBytes: manifest.dump.sizeBytes,
    label: manifest.label,
    database: manifest.database,
    sha256: manifest.dump.sha256,
    manifestSha256: createHash('sha256').update(manifestText(manifest)).digest('hex'),
    server: manifest.server,
    contents: manifest.countedIn === 'nowhere' ? undefined : manifest.contents,
    ...(manifest.recorded === undefined ? {} : { objects: manifest.recorded }),
    encryption: manifest.encryption,
    partial: manifest.partial,
    ...(manifest.adopted === undefined ? {} : { adopted: adoptedAs(manifest.adopted) }),
  };
}

/** Of a dump nobody can tell which cluster it is of. */
function adoptedAs({ whole, unknown }: NonNullable<DumpManifest['adopted']>): NonNullable<Backup['adopted']> {
  return { checked: false, ...(whole === undefined ? {} : { whole }), ...(unknown === undefined ? {} : { unknown }) };
}
