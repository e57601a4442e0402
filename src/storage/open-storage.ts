import { z } from 'zod';
import type { RepositoryConfig } from '../domain/config.js';
import { RepriseError } from '../domain/errors.js';
import { registered } from '../domain/fields.js';
import { storageKinds, type OpenStorageOptions, type StorageKind } from './registry.js';
import type { WritableStorage } from './storage.js';

const opened = async ([name, kind]: readonly [string, StorageKind]) =>
  [name, { ...kind, open: await kind.load() }] as const;
const kinds = Object.fromEntries(await Promise.all(Object.entries(storageKinds).map(opened)));

/**
 * Opens a repository on the host that owns it. Nothing is read or made before the first call on the handle.
 * Throws `config-invalid` for a kind that is not registered.
 */
export function openStorage(repository: RepositoryConfig, how: OpenStorageOptions): WritableStorage {
  const unknown = `repository ${repository.name} has the unknown type "${repository.type}"`;
  return registered(kinds, repository.type, unknown, 'known types').open(repository.options, how);
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
  const kind = registered(kinds, type, `there is no storage of type "${type}"`, 'known types');
  const checked = kind.options.safeParse(values);
  if (!checked.success)
    throw new RepriseError(
      'config-invalid',
      `the settings name no storage of type ${type}: ${z.prettifyError(checked.error).replaceAll(/\s+/g, ' ')}`,
      'correct them in the file of the tool',
    );
  return kind.open(kind.read(values), how);
}
