import { statSync } from 'node:fs';
import type { PolicyConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import type { StoredObject, WritableStorage } from '../storage/storage.js';

/**
 * The repository as a policy sees it that had other names: what is not in its folder is looked for in the folders of those
 * names, and is listed, read and removed as if it lay in its own. What is written goes to its own.
 */
export function withPreviousFolders(
  storage: WritableStorage,
  { cluster, name, previousNames = [] }: Pick<PolicyConfig, 'cluster' | 'name' | 'previousNames'>,
): WritableStorage {
  if (previousNames.length === 0) return storage;
  const own = `${cluster}/${name}/`;
  const folders = [own, ...previousNames.map((before) => `${cluster}/${before}/`)];
  /** The places of a key, its own first. */
  const places = (key: string): readonly string[] =>
    key.startsWith(own) ? folders.map((folder) => `${folder}${key.slice(own.length)}`) : [key];
  const shown = (key: string): string => {
    const folder = folders.find((one) => key.startsWith(one));
    return folder === undefined ? key : `${own}${key.slice(folder.length)}`;
  };

  const firstOf = async <T>(key: string, read: (place: string) => Promise<T>): Promise<T> => {
    const [first = key, ...others] = places(key);
    try {
      return await read(first);
    } catch (error) {
      if (!isRepriseError(error) || error.code !== 'not-found') throw error;
      for (const place of others) if ((await storage.stat(place)) !== null) return read(place);
      throw error;
    }
  };
  const stat = async (key: string): Promise<StoredObject | null> => {
    for (const place of places(key)) {
      const found = await storage.stat(place);
      if (found !== null) return { ...found, key };
    }
    return null;
  };
  const placeOf = async (key: string): Promise<string> => {
    for (const place of places(key)) if ((await storage.stat(place)) !== null) return place;
    return key;
  };
  const { coldObjects, requestThaw } = storage;
  return {
    ...storage,
    read: (key) => firstOf(key, (place) => storage.read(place)),
    open: (key, fromByte) => firstOf(key, (place) => storage.open(place, fromByte)),
    stat,
    list: (prefix) => inOrder(placesOfFolder(prefix).map((place) => shownAs(storage.list(place), shown))),
    localPath: (key) => {
      const found = places(key).find((place) => isFile(storage.localPath(place)));
      return storage.localPath(found ?? key);
    },
    remove: async (key) => {
      for (const place of places(key)) await storage.remove(place);
    },
    ...(coldObjects && {
      coldObjects: async (keys: readonly string[]) =>
        (await coldObjects(await Promise.all(keys.map(placeOf)))).map((object) => ({
          ...object,
          key: shown(object.key),
        })),
    }),
    ...(requestThaw && {
      requestThaw: async (keys: readonly string[], ...how: [Parameters<typeof requestThaw>[1], number]) =>
        requestThaw(await Promise.all(keys.map(placeOf)), ...how),
    }),
  };

  /** A folder is named with or without the slash at its end. */
  function placesOfFolder(prefix: string): readonly string[] {
    return `${prefix}/` === own ? folders : places(prefix);
  }
}

async function* shownAs(
  objects: AsyncIterable<StoredObject>,
  shown: (key: string) => string,
): AsyncGenerator<StoredObject> {
  for await (const object of objects) yield { ...object, key: shown(object.key) };
}

/** Listings, each in the byte order of its keys, as one in that order; of two objects with one key the first listing's. */
async function* inOrder(listings: readonly AsyncGenerator<StoredObject>[]): AsyncGenerator<StoredObject> {
  const heads = await Promise.all(listings.map((listing) => listing.next()));
  for (;;) {
    let least: StoredObject | undefined;
    for (const head of heads) {
      if (head.done === true) continue;
      if (least === undefined || isBefore(head.value.key, least.key)) least = head.value;
    }
    if (least === undefined) return;
    yield least;
    for (const [index, head] of heads.entries()) {
      if (head.done === true || head.value.key !== least.key) continue;
      heads[index] = (await listings[index]?.next()) ?? head;
    }
  }
}

const isBefore = (left: string, right: string): boolean => Buffer.compare(Buffer.from(left), Buffer.from(right)) < 0;

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
