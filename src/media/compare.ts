import { compareKeys, isKey } from '../storage/keys.js';
import type { Irregular, ObjectFacts } from '../storage/storage.js';
import type { MediaAction } from './action.js';
import { sideBySide } from './ordered.js';
import { type MediaPlace, type Wanted, isSameServer, mediaEntries } from './place.js';
import { isCopy } from './restore.js';

export interface Sides {
  readonly from: MediaPlace;
  readonly into: MediaPlace;
}

type Entry = Wanted & { readonly irregular?: Irregular };

/**
 * What has to be done so that a place holds what is wanted, and what becomes of what only it has. An entry that cannot be
 * copied, such as a link, is wanted too: nothing under its name or below it is removed or overwritten.
 */
export async function* compared(
  sides: Sides,
  wanted: AsyncIterable<Entry>,
  others: 'keep' | 'remove',
  after?: string,
): AsyncGenerator<MediaAction> {
  const kept = new KeptFolders();
  for await (const { left, right } of sideBySide(wanted, mediaEntries(sides.into, after))) {
    if (left?.irregular !== undefined) {
      kept.below(left.key);
      yield { name: 'keep', key: left.key, sizeBytes: 0, irregular: left.irregular };
    } else if (left !== undefined) {
      yield await wantedAction(sides, left, right);
    } else if (right !== undefined && right.irregular === undefined) {
      const { key, sizeBytes, modifiedAt } = right;
      yield { name: kept.holds(key) ? 'keep' : others, key, sizeBytes, presentSince: modifiedAt };
    }
  }
}

/** What has to be done for one object that is wanted, beside what the place has under its name. */
async function wantedAction({ from, into }: Sides, wanted: Wanted, present: Entry | undefined): Promise<MediaAction> {
  const { key, sizeBytes } = wanted;
  if (present?.irregular !== undefined) return { name: 'keep', key, sizeBytes: 0, irregular: present.irregular };
  if (present !== undefined && (await isSame(wanted, present, into))) return { name: 'right', key, sizeBytes };
  if (!isSameServer(from, into) && !areKeys(from, into, key)) return { name: 'keep', key, sizeBytes, unfit: true };
  return {
    name: present === undefined ? 'copy' : 'overwrite',
    key,
    sizeBytes,
    presentSince: present?.modifiedAt,
    cold: wanted.cold,
    source: { versionId: wanted.versionId, etag: wanted.etag },
  };
}

/** Folders from which nothing is removed. Keys come in order, so that folders already passed are dropped. */
class KeptFolders {
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

function areKeys(from: MediaPlace, into: MediaPlace, key: string): boolean {
  return isKey(into.folder + key) && (from.storage.objects !== undefined || isKey(from.folder + key));
}

async function isSame(wanted: Wanted, there: ObjectFacts, { storage, folder }: MediaPlace): Promise<boolean> {
  if (wanted.etag === '' || there.etag === '')
    return wanted.sizeBytes === there.sizeBytes && there.modifiedAt >= wanted.modifiedAt;
  return isCopy(there, wanted, (key) => storage.objects?.copiedFrom(folder + key) ?? Promise.resolve(null));
}
