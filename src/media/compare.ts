import { compareKeys, isKey } from '../storage/keys.js';
import type { Irregular, ObjectFacts } from '../storage/storage.js';
import type { CopiedVersion, MediaAction } from './action.js';
import { sideBySide } from './ordered.js';
import { type MediaPlace, type Wanted, entriesOf } from './place.js';
import { coldAs, isCopy } from './restore.js';

export interface Sides {
  readonly from: MediaPlace;
  readonly into: MediaPlace;
}

/**
 * What has to be done so that a place holds what is wanted, and what becomes of what only it has. What is there but cannot
 * be copied, as a link, is wanted no less: nothing under its name is removed or overwritten, nor below it.
 */
export async function* compared(
  { from, into }: Sides,
  wanted: AsyncIterable<Wanted & { readonly irregular?: Irregular }>,
  others: 'keep' | 'remove',
  after?: string,
): AsyncGenerator<MediaAction> {
  const kept = new Kept();
  for await (const { left, right } of sideBySide(wanted, entriesOf(into, after))) {
    if (left?.irregular !== undefined) {
      kept.below(left.key);
      yield { name: 'keep', key: left.key, sizeBytes: 0, irregular: left.irregular };
    } else if (left === undefined) {
      if (right === undefined || right.irregular !== undefined) continue;
      yield {
        name: kept.holds(right.key) ? 'keep' : others,
        key: right.key,
        sizeBytes: right.sizeBytes,
        presentSince: right.modifiedAt,
      };
    } else if (right?.irregular !== undefined) {
      yield { name: 'keep', key: left.key, sizeBytes: 0, irregular: right.irregular };
    } else if (right !== undefined && (await isSame(left, right, into))) {
      yield { name: 'right', key: left.key, sizeBytes: left.sizeBytes };
    } else if (!isSameServer(from, into) && !areKeys(from, into, left.key)) {
      yield { name: 'keep', key: left.key, sizeBytes: left.sizeBytes, unfit: true };
    } else {
      const source: CopiedVersion = {
        etag: left.etag,
        ...(left.versionId === undefined ? {} : { versionId: left.versionId }),
      };
      const there =
        right === undefined
          ? ({ name: 'copy' } as const)
          : ({ name: 'overwrite', presentSince: right.modifiedAt } as const);
      yield { ...there, ...coldAs(left), key: left.key, sizeBytes: left.sizeBytes, source };
    }
  }
}

/** Folders nothing is removed from; asked in the order of keys, so that those already passed are forgotten. */
class Kept {
  private folders: string[] = [];

  below(key: string): void {
    this.folders = [
      ...this.folders.filter((folder) => compareKeys(key, folder) < 0),
      key.endsWith('/') ? key : `${key}/`,
    ];
  }

  holds(key: string): boolean {
    return this.folders.some((folder) => key.startsWith(folder));
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
  if (wanted.etag === '' || there.etag === '')
    return wanted.sizeBytes === there.sizeBytes && there.modifiedAt >= wanted.modifiedAt;
  return isCopy(there, wanted, (key) => storage.objects?.copiedFrom(folder + key) ?? Promise.resolve(null));
}
