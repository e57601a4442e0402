import { z } from 'zod';
import type { RepositoryConfig, SecretReference } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { registered } from '../domain/fields.js';
import { isPlainUrl } from '../domain/plain-address.js';
import type { FileOwner } from '../files/directories.js';
import { openDirectory } from './directory/directory-storage.js';
import { directoryOptions, type DirectoryOptions } from './directory/options.js';
import { readS3Options, s3Options, s3Root, type S3Options } from './s3/options.js';
import { openS3 } from './s3/s3-storage.js';
import type { WritableStorage } from './storage.js';

export interface OpenStorageOptions {
  /** Who shall own new files and directories where we are root. */
  readonly owner?: FileOwner;
  /** What is missing is not made: a directory may be the mount point of a disk that is not there. */
  readonly existing?: boolean;
  /** The secret behind a reference, read when it is needed and kept nowhere. */
  readonly secret: (reference: SecretReference) => Promise<string>;
}

/** A kind of storage with the schema of its keys; one line in {@link storageKinds}. */
export interface StorageKind<O extends Readonly<Record<string, unknown>> = Readonly<Record<string, unknown>>> {
  /** Strict schema of the repository's keys besides `type` and `host`, as written in reprise.yml. */
  readonly options: z.ZodObject;
  /** Makes `RepositoryConfig.options` of what the schema accepted. */
  readonly read: (options: Readonly<Record<string, unknown>>) => O;
  /** True where the repository is on one host and only that host can open it. */
  readonly onHost: boolean;
  /** The `/`-separated root of its objects: two repositories never share one, and none is inside another. */
  readonly place: (options: O) => string;
  readonly open: (options: O, how: OpenStorageOptions) => WritableStorage;
  /** The address of another machine to which data goes without TLS; absent or null: there is none. */
  readonly plainAddress?: (options: O) => string | null;
}

/** Every kind of storage: one line each; config schema and docs follow from it. */
export const storageKinds: Readonly<Record<string, StorageKind>> = {
  directory: storageKind<DirectoryOptions>({
    options: directoryOptions,
    read: (options) => directoryOptions.parse(options),
    onHost: true,
    place: ({ path }) => path,
    open: ({ path }, { owner, existing }) => openDirectory({ path, owner, existing }),
  }),
  s3: storageKind<S3Options>({
    options: s3Options,
    read: readS3Options,
    onHost: false,
    place: s3Root,
    open: (options, { secret }) => openS3(options, secret),
    plainAddress: ({ endpoint }) => (endpoint !== undefined && isPlainUrl(endpoint) ? endpoint : null),
  }),
};

/**
 * Opens a repository on the host that owns it. Nothing is read or made before the first call on the handle.
 * Throws `config-invalid` for a kind that is not registered.
 */
export function openStorage(repository: RepositoryConfig, how: OpenStorageOptions): WritableStorage {
  const unknown = `repository ${repository.name} has the unknown type "${repository.type}"`;
  return registered(storageKinds, repository.type, unknown, 'known types').open(repository.options, how);
}

/**
 * Opens what is described with the keys of a repository in reprise.yml, checked as from there.
 * Throws `config-invalid` for keys that its kind does not take.
 */
export function openDescribed(
  type: string,
  values: Readonly<Record<string, unknown>>,
  how: OpenStorageOptions,
): WritableStorage {
  const kind = registered(storageKinds, type, `there is no storage of type "${type}"`, 'known types');
  const checked = kind.options.safeParse(values);
  if (!checked.success)
    throw new RepriseError(
      'config-invalid',
      `the settings name no storage of type ${type}: ${z.prettifyError(checked.error).replaceAll(/\s+/g, ' ')}`,
      'correct them in the file of the tool',
    );
  return kind.open(kind.read(values), how);
}

/** Checks that a line's parts belong together, before their types are forgotten. */
function storageKind<O extends Readonly<Record<string, unknown>>>(kind: StorageKind<O>): StorageKind {
  return kind as unknown as StorageKind;
}
