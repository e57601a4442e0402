import type { Encryption, ServerFacts, TableCount } from '../../domain/backup/backup.js';
import { backupId } from '../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { DatabaseProperties } from '../../postgres/content/database-properties.js';
import type { ReadableStorage, WritableStorage } from '../../storage/storage.js';
import type { MadeBackup } from '../engine.js';
import type { Fingerprint } from '../shared/hash.js';
import { filesOf, manifestKeyOf } from './names.js';
import type { BackupFiles, Place } from './names.js';

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
  readonly globals: Fingerprint & { readonly passwords: boolean };
  /** For whom dump and roles are encrypted; absent where they are plain. */
  readonly encryption?: Encryption;
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
  /**
   * Of a dump that was there before Reprise: the file it was copied from. Its roles, owner and settings are those the
   * server had then, since a dump holds none.
   */
  readonly adopted?: { readonly from: string; readonly at: string };
}

/** Where the files of a backup lie, as its manifest has it: a policy may have been plain before it was encrypted. */
export function manifestFiles(place: Place, { label, encryption }: DumpManifest): BackupFiles {
  return filesOf(place, label, encryption !== undefined);
}

/** Reads the manifest at a key; null where there is none. Throws `backup-corrupt` where it cannot be read as one. */
export async function readManifest(storage: ReadableStorage, key: string): Promise<DumpManifest | null> {
  const body = await readIfThere(storage, key);
  if (body === null) return null;
  try {
    const value = JSON.parse(body.toString('utf8')) as Partial<DumpManifest> | null;
    if (
      value?.schemaVersion === 1 &&
      value.engine === LOGICAL &&
      isFingerprint(value.dump) &&
      isFingerprint(value.globals)
    ) {
      return value as DumpManifest;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError) && (error as Error).name !== 'SyntaxError') throw error;
  }
  throw new RepriseError(
    'backup-corrupt',
    `the manifest ${key} cannot be read`,
    'choose another backup with recover --to backup:ID',
  );
}

/**
 * The manifest of a backup that somebody names. Throws `not-found`, `backup-corrupt`, and `identity-mismatch` where it
 * is another's (F17): files copied from one cluster's folder into another's are no backup of that cluster.
 */
export async function manifestOf(
  context: {
    readonly storage: ReadableStorage;
    readonly cluster: { readonly name: string };
    readonly policy: { readonly name: string };
  },
  label: string,
): Promise<DumpManifest> {
  const manifest = await readManifest(context.storage, manifestKeyOf(context, label));
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

/**
 * Writes the manifest, which commits the backup. An incomplete one may be replaced; one that stands under its own name is
 * this operation's or nobody's.
 * @throws RepriseError `conflict` where another operation has the name
 */
export async function commitManifest(storage: WritableStorage, key: string, manifest: DumpManifest): Promise<void> {
  const body = `${JSON.stringify(manifest, null, 1)}\n`;
  if (storage.capabilities.localPath) return storage.write(key, body);
  if (await storage.createIfAbsent(key, body)) return;
  if ((await readManifest(storage, key))?.operationId === manifest.operationId) return;
  throw new RepriseError(
    'conflict',
    `the backup ${manifest.label} exists already and is another operation's`,
    'run the backup again: its name is the second it starts in',
  );
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
    server: manifest.server,
    ...(manifest.countedIn === 'nowhere' ? {} : { contents: manifest.contents }),
    ...(manifest.encryption === undefined ? {} : { encryption: manifest.encryption }),
  };
}

function isFingerprint(value: unknown): value is Fingerprint {
  const candidate = value as Partial<Fingerprint> | null | undefined;
  return typeof candidate?.sizeBytes === 'number' && typeof candidate.sha256 === 'string';
}
