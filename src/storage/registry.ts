import type { z } from 'zod';
import type { SecretReference } from '../domain/config.js';
import { isPlainUrl } from '../domain/plain-address.js';
import type { FileOwner } from '../files/directories.js';
import { directoryOptions, type DirectoryOptions } from './directory/options.js';
import { readS3Options, s3Options, s3Root, type S3Options } from './s3/options.js';
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
  /** Loads what opens it: whoever reads a configuration needs no client of a storage. */
  readonly load: () => Promise<(options: O, how: OpenStorageOptions) => WritableStorage>;
  /** The address of another machine to which data goes without TLS; absent or null: there is none. */
  readonly plainAddress?: (options: O) => string | null;
}

/** Every kind of storage: one line each; config schema and docs follow from it. `open-storage.ts` opens them. */
export const storageKinds: Readonly<Record<string, StorageKind>> = {
  directory: storageKind<DirectoryOptions>({
    options: directoryOptions,
    read: (options) => directoryOptions.parse(options),
    onHost: true,
    place: ({ path }) => path,
    load: async () => {
      const { openDirectory } = await import('./directory/directory-storage.js');
      return ({ path }, { owner, existing }) => openDirectory({ path, owner, existing });
    },
  }),
  s3: storageKind<S3Options>({
    options: s3Options,
    read: readS3Options,
    onHost: false,
    place: s3Root,
    load: async () => {
      const { openS3 } = await import('./s3/s3-storage.js');
      return (options, { secret }) => openS3(options, secret);
    },
    plainAddress: ({ endpoint }) => (endpoint !== undefined && isPlainUrl(endpoint) ? endpoint : null),
  }),
};

/** Checks that a line's parts belong together, before their types are forgotten. */
function storageKind<O extends Readonly<Record<string, unknown>>>(kind: StorageKind<O>): StorageKind {
  return kind as unknown as StorageKind;
}
