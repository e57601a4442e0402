import { Readable } from 'node:stream';
import { RepriseError, isRepriseError } from '../domain/errors.js';
import { isKey } from '../storage/keys.js';
import type { ObjectCopy, ObjectDescription, ObjectFacts, WritableObjects, WritableStorage } from '../storage/storage.js';
import type { CopiedVersion, MediaAction } from './action.js';
import { byKey, sideBySide } from './ordered.js';
import { coldAs, isCopy, isMarked, type Later, markOf, restoreInPlace, versionAt } from './restore.js';

/** A folder of a repository, opened. */
export interface MediaPlace {
  readonly name: string;
  readonly storage: WritableStorage;
  /** Empty, or with a slash at its end. */
  readonly folder: string;
}

export type MediaWork =
  | { readonly kind: 'restore'; readonly place: MediaPlace; readonly at: number; readonly later: Later }
  | { readonly kind: 'restore-into'; readonly from: MediaPlace; readonly into: MediaPlace; readonly at: number }
  | { readonly kind: 'sync'; readonly from: MediaPlace; readonly into: MediaPlace; readonly delete: boolean };

/** What has to be done, object by object in the order of their keys, after one of them where it is named; reads only. */
export function actionsOf(work: MediaWork, after?: string): AsyncIterable<MediaAction> {
  switch (work.kind) {
    case 'restore':
      return restored(work, after);
    case 'restore-into':
      return compared(work, stateAt(work.from, work.at, after), 'keep', after);
    case 'sync':
      return compared(work, listed(work.from, after), work.delete ? 'remove' : 'keep', after);
  }
}

/** Content of one object; `md5` (hex) where it is known. */
export async function openIn({ storage, folder }: MediaPlace, key: string, versionId?: string): Promise<{ readonly body: Readable; readonly md5: string | null; readonly described?: ObjectDescription }> {
  return storage.objects ? storage.objects.open(folder + key, versionId) : { body: await storage.open(folder + key), md5: null };
}

/** @throws RepriseError `capability-missing` for a storage without versions */
export function objectsOf({ storage, name }: MediaPlace): WritableObjects {
  if (storage.objects) return storage.objects;
  throw new RepriseError('capability-missing', `${name} is of type ${storage.kind}: it keeps no versions`, 'media are brought back from the versions of a bucket; use a repository of type s3, or reprise media sync');
}

async function* restored({ place, at, later }: Extract<MediaWork, { kind: 'restore' }>, after?: string): AsyncGenerator<MediaAction> {
  const objects = objectsOf(place);
  const copiedFrom = (key: string) => objects.copiedFrom(place.folder + key);
  for await (const versions of byKey(objects.versions(place.folder, after))) yield await restoreInPlace(versions, at, later, copiedFrom);
}

/** What a folder shall hold: a listing, each entry perhaps an old version. */
interface Wanted extends ObjectFacts {
  readonly versionId?: string;
}

async function* stateAt(place: MediaPlace, at: number, after?: string): AsyncGenerator<Wanted> {
  for await (const versions of byKey(objectsOf(place).versions(place.folder, after))) {
    const then = versionAt(versions, at);
    if (then !== null) yield then;
  }
}

/** What is there now, in the order of keys. */
export async function* listed({ storage, folder }: MediaPlace, after?: string): AsyncGenerator<Wanted> {
  if (storage.objects) return yield* storage.objects.list(folder, after);
  for await (const { key, ...facts } of storage.list(folder)) {
    const below = key.slice(folder.length);
    // Files have no checksum of their own: size and time have to tell.
    if (after === undefined || below > after) yield { ...facts, key: below, etag: '' };
  }
}

async function* compared({ from, into }: Exclude<MediaWork, { kind: 'restore' }>, wanted: AsyncIterable<Wanted>, others: 'keep' | 'remove', after?: string): AsyncGenerator<MediaAction> {
  for await (const { left, right } of sideBySide(wanted, listed(into, after))) {
    if (left === undefined) {
      if (right !== undefined) yield { name: others, key: right.key, sizeBytes: right.sizeBytes, presentSince: right.modifiedAt };
    } else if (right !== undefined && (await isSame(left, right, into))) {
      yield { name: 'right', key: left.key, sizeBytes: left.sizeBytes };
    } else if (!isSameServer(from, into) && !areKeys(from, into, left.key)) {
      yield { name: 'keep', key: left.key, sizeBytes: left.sizeBytes, unfit: true };
    } else {
      const source: CopiedVersion = { etag: left.etag, ...(left.versionId === undefined ? {} : { versionId: left.versionId }) };
      const there = right === undefined ? ({ name: 'copy' } as const) : ({ name: 'overwrite', presentSince: right.modifiedAt } as const);
      yield { ...there, ...coldAs(left), key: left.key, sizeBytes: left.sizeBytes, source };
    }
  }
}

/** Then the server copies any name at all; otherwise content passes here, under names that every repository takes (F37). */
function isSameServer(from: MediaPlace, into: MediaPlace): boolean {
  const [theirs, ours] = [from.storage.objects, into.storage.objects];
  return theirs !== undefined && theirs.place.server === ours?.place.server;
}

function areKeys(from: MediaPlace, into: MediaPlace, key: string): boolean {
  return isKey(into.folder + key) && (from.storage.objects !== undefined || isKey(from.folder + key));
}

async function isSame(wanted: Wanted, there: ObjectFacts, { storage, folder }: MediaPlace): Promise<boolean> {
  if (wanted.etag === '' || there.etag === '') return wanted.sizeBytes === there.sizeBytes && there.modifiedAt >= wanted.modifiedAt;
  return isCopy(there, wanted, (key) => storage.objects?.copiedFrom(folder + key) ?? Promise.resolve(null));
}

export interface CopyHow {
  /** Bigger objects are copied in parts. */
  readonly singleCopyBytes: number;
  readonly signal?: AbortSignal;
}

/** Carries out one action. Done again, it does no harm: what is done is found right before. */
export async function carryOut(work: MediaWork, action: MediaAction, how: CopyHow): Promise<void> {
  const into = work.kind === 'restore' ? work.place : work.into;
  const from = work.kind === 'restore' ? work.place : work.from;
  const key = into.folder + action.key;
  switch (action.name) {
    case 'right':
    case 'keep':
      return;
    case 'undelete':
      for (const marker of action.markers) await objectsOf(into).removeMarker(key, marker);
      return;
    case 'remove':
      return into.storage.objects ? into.storage.objects.remove(key) : into.storage.remove(key);
    default:
      return copyObject(from, into, action, how);
  }
}

async function copyObject(from: MediaPlace, into: MediaPlace, { key, sizeBytes, source }: Extract<MediaAction, { source: CopiedVersion }>, how: CopyHow): Promise<void> {
  const [ours, theirs] = [into.storage.objects, from.storage.objects];
  const { versionId } = source;
  if (ours && theirs && ours.place.server === theirs.place.server) {
    const inParts = sizeBytes > how.singleCopyBytes;
    const mark = inParts || isMarked(source.etag) ? markOf(source) : undefined;
    const copy: ObjectCopy = { from: theirs.place, key: from.folder + key, sizeBytes, ...(versionId === undefined ? {} : { versionId }), ...(mark === undefined ? {} : { mark }) };
    return ours.copyFrom(copy, into.folder + key, how);
  }
  const { body, described } = await openIn(from, key, versionId);
  const kept = { ...(described ? { described } : {}), ...(source.etag === '' ? {} : { mark: markOf(source) }) };
  try {
    await into.storage.writeStream(into.folder + key, Readable.from(whole(body, sizeBytes), { objectMode: false }), { ...kept, ...(how.signal ? { signal: how.signal } : {}) });
  } catch (error) {
    if (how.signal?.aborted || isRepriseError(error)) throw error;
    throw brokenOff(key, error instanceof Error ? error.message : String(error));
  } finally {
    body.destroy();
  }
}

/** All of it or an error: half an object is no copy. */
async function* whole(body: Readable, sizeBytes: number): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    yield chunk;
  }
  if (length !== sizeBytes) throw new Error(`${length} bytes came of ${sizeBytes}`);
}

/** The next attempt lists and reads again. */
function brokenOff(key: string, why: string): RepriseError {
  return new RepriseError('storage-unreachable', `reading ${JSON.stringify(key)} broke off: ${why}`, 'see that the network to the server is sound');
}
