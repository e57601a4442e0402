import { Readable } from 'node:stream';
import { RepriseError, isRepriseError } from '../domain/errors.js';
import type { LostTrait } from '../domain/media/media.js';
import type { ObjectCopy, ObjectDescription } from '../storage/storage.js';
import type { CopiedVersion, MediaAction } from './action.js';
import { compared } from './compare.js';
import { byKey } from './ordered.js';
import { type MediaPlace, type Wanted, isSameServer, mediaEntries, objectsOf, openIn } from './place.js';
import { isMarked, copyMark, type NewerObjects, restoreInPlace, versionAt } from './restore.js';

export type MediaRun =
  | { readonly kind: 'restore'; readonly place: MediaPlace; readonly at: number; readonly later: NewerObjects }
  | { readonly kind: 'restore-into'; readonly from: MediaPlace; readonly into: MediaPlace; readonly at: number }
  | { readonly kind: 'sync'; readonly from: MediaPlace; readonly into: MediaPlace; readonly delete: boolean };

/** What has to be done, object by object in the order of their keys, after one of them where it is named; reads only. */
export function actionsOf(work: MediaRun, after?: string): AsyncIterable<MediaAction> {
  switch (work.kind) {
    case 'restore':
      return restored(work, after);
    case 'restore-into':
      return compared(work, stateAt(work.from, work.at, after), 'keep', after);
    case 'sync':
      return compared(work, mediaEntries(work.from, after), work.delete ? 'remove' : 'keep', after);
  }
}

async function* restored(
  { place, at, later }: Extract<MediaRun, { kind: 'restore' }>,
  after?: string,
): AsyncGenerator<MediaAction> {
  const objects = objectsOf(place);
  const copiedFrom = (key: string) => objects.copiedFrom(place.folder + key);
  for await (const versions of byKey(objects.versions(place.folder, after)))
    yield await restoreInPlace(versions, at, later, copiedFrom);
}

async function* stateAt(place: MediaPlace, at: number, after?: string): AsyncGenerator<Wanted> {
  for await (const versions of byKey(objectsOf(place).versions(place.folder, after))) {
    const then = versionAt(versions, at);
    if (then !== null) yield then;
  }
}

export interface CopyHow {
  /** Bigger objects are copied in parts. */
  readonly singleCopyBytes: number;
  readonly signal?: AbortSignal;
  /** Told of each part of its description that a copy is made without. */
  readonly leftOut?: (trait: LostTrait) => void;
}

/** Carries out one action. It can be repeated: what was done already is found to be right. */
export async function carryOut(work: MediaRun, action: MediaAction, how: CopyHow): Promise<void> {
  const into = work.kind === 'restore' ? work.place : work.into;
  const from = work.kind === 'restore' ? work.place : work.from;
  const key = into.folder + action.key;
  switch (action.name) {
    case 'right':
    case 'keep':
      return;
    case 'undelete':
      return undelete(into, action, how);
    case 'remove':
      return into.storage.objects ? into.storage.objects.remove(key) : into.storage.remove(key);
    default:
      return copyOne(from, into, action, how);
  }
}

/** Where markers may not be removed, which takes a right of its own, the version below them is copied on top: it is there again. */
async function undelete(
  place: MediaPlace,
  action: Extract<MediaAction, { name: 'undelete' }>,
  how: CopyHow,
): Promise<void> {
  const objects = objectsOf(place);
  try {
    for (const marker of action.markers) await objects.removeMarker(place.folder + action.key, marker);
  } catch (error) {
    if (!isRepriseError(error) || error.details['status'] !== 403) throw error;
    const { key, sizeBytes, below: source } = action;
    await copyOne(place, place, { name: 'copy', key, sizeBytes, source }, how);
  }
}

type CopyAction = Extract<MediaAction, { source: CopiedVersion }>;

async function copyOne(from: MediaPlace, into: MediaPlace, action: CopyAction, how: CopyHow): Promise<void> {
  const [ours, theirs] = [into.storage.objects, from.storage.objects];
  if (ours && theirs && isSameServer(from, into)) {
    const { key, sizeBytes, source } = action;
    const isNotedByMark = sizeBytes > how.singleCopyBytes || isMarked(source.etag);
    const copy: ObjectCopy = {
      from: theirs.place,
      key: from.folder + key,
      sizeBytes,
      versionId: source.versionId,
      mark: isNotedByMark ? copyMark(source) : undefined,
    };
    return ours.copyFrom(copy, into.folder + key, how);
  }
  return copyThroughHere(from, into, action, how);
}

/** Between two servers, or with a directory on one side. */
async function copyThroughHere(
  from: MediaPlace,
  into: MediaPlace,
  { key, sizeBytes, source }: CopyAction,
  how: CopyHow,
): Promise<void> {
  const { signal, leftOut } = how;
  // Between directories permissions, owner and time come along; into one, nothing of what a server keeps.
  const file = into.storage.objects ? undefined : ((await from.storage.fileTraits?.(from.folder + key)) ?? null);
  const described = into.storage.objects && (await descriptionIn(from, key, source, how));
  const { body } = await openIn(from, key, source.versionId);
  const mark = source.etag === '' ? undefined : copyMark(source);
  try {
    const content = Readable.from(whole(body, sizeBytes), { objectMode: false });
    await into.storage.writeStream(into.folder + key, content, { described, mark, file, signal, leftOut });
  } catch (error) {
    if (signal?.aborted || isRepriseError(error)) throw error;
    throw brokenOff(key, error instanceof Error ? error.message : String(error));
  } finally {
    body.destroy();
  }
}

async function descriptionIn(
  { storage, folder }: MediaPlace,
  key: string,
  { versionId }: CopiedVersion,
  { signal, leftOut }: CopyHow,
): Promise<ObjectDescription | undefined> {
  const found = await storage.objects?.describe(folder + key, versionId, { elsewhere: true, signal });
  found?.lost.forEach((trait) => leftOut?.(trait));
  return found?.described;
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
  return new RepriseError(
    'storage-unreachable',
    `reading ${JSON.stringify(key)} was interrupted: ${why}`,
    'check the network to the server',
  );
}
