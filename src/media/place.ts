import type { Readable } from 'node:stream';
import { RepriseError } from '../domain/errors.js';
import { compareKeys } from '../storage/keys.js';
import type { Irregular, ObjectFacts, StorageEntry, WritableObjects, WritableStorage } from '../storage/storage.js';

/** A folder of a repository, opened. */
export interface MediaPlace {
  readonly name: string;
  readonly storage: WritableStorage;
  /** Empty, or with a slash at its end. */
  readonly folder: string;
}

/** Then the server copies any name; otherwise the content passes through here, under names that every repository accepts. */
export function isSameServer(from: MediaPlace, into: MediaPlace): boolean {
  const [theirs, ours] = [from.storage.objects, into.storage.objects];
  return theirs !== undefined && theirs.place.server === ours?.place.server;
}

/** Content of one object; `md5` (hex) where it is known. */
export async function openIn(
  { storage, folder }: MediaPlace,
  key: string,
  versionId?: string,
): Promise<{ readonly body: Readable; readonly md5: string | null }> {
  return storage.objects
    ? storage.objects.open(folder + key, versionId)
    : { body: await storage.open(folder + key), md5: null };
}

/** @throws RepriseError `capability-missing` for a storage without versions */
export function objectsOf({ storage, name }: MediaPlace): WritableObjects {
  if (storage.objects) return storage.objects;
  throw new RepriseError(
    'capability-missing',
    `${name} is of type ${storage.kind}: it keeps no versions`,
    'media are restored from the versions of a bucket; use a repository of type s3, or reprise media sync',
  );
}

/** What a folder shall hold: a listing, each entry perhaps an old version. */
export interface Wanted extends ObjectFacts {
  readonly versionId?: string;
}

/** What is there now, in the order of keys. */
export async function* listMedia(place: MediaPlace, after?: string): AsyncGenerator<Wanted> {
  for await (const entry of mediaEntries(place, after)) if (entry.irregular === undefined) yield entry;
}

/** The same with what is no object. That comes from the beginning on, also before `after`: a link stands for all below it. */
export async function* mediaEntries(
  { storage, folder }: MediaPlace,
  after?: string,
): AsyncGenerator<Wanted & { readonly irregular?: Irregular }> {
  if (storage.objects) return yield* storage.objects.list(folder, after);
  const entries: AsyncIterable<StorageEntry> = storage.entries?.(folder) ?? storage.list(folder);
  for await (const { key, ...facts } of entries) {
    const below = key.slice(folder.length);
    // Files have no checksum of their own: size and time decide.
    if (after === undefined || facts.irregular !== undefined || compareKeys(below, after) > 0)
      yield { ...facts, key: below, etag: '' };
  }
}
