import { randomUUID } from 'node:crypto';
import { isRepriseError } from '../domain/errors.js';
import type { FoundInstead } from '../domain/storage/repository-identity.js';
import { IDENTITY_FILE, identityText, notTheRepository, readIdentity } from '../domain/storage/repository-identity.js';
import type { ReadableStorage, WritableStorage } from '../storage/storage.js';
import type { KnownRepositories, KnownRepository } from './known-repositories.js';

/** A repository that is in use. */
export interface UsedRepository {
  /** Under which the host knows it: its name, or `CLUSTER/POLICY` for that of an engine's own tool. */
  readonly name: string;
  /** What people call it: `repository local`. */
  readonly called: string;
  /** Where it is, for people. */
  readonly where: string;
  /** The command that takes what is there now for the right one. */
  readonly accept: string;
  /** Opened so that its root is never made. */
  readonly storage: ReadableStorage & Partial<Pick<WritableStorage, 'createIfAbsent'>>;
  /** Makes its root; absent where that is nobody's to make. */
  readonly makeRoot?: () => Promise<void>;
  /** Only we put files there: what is missing and unknown is new, also to those who read. */
  readonly isOurs?: boolean;
  readonly known: KnownRepositories;
  /** What the records of a cluster say of it; asked only where the host knows nothing, or another id. */
  readonly recorded?: () => Promise<RecordedUse>;
  /** So long a repository that was found to be the right one is not looked at again; 0 for a directory, whose disk may go at any time. */
  readonly trustedForMs?: number;
}

export interface RecordedUse {
  /** Its id; null where no record names it. */
  readonly id: string | null;
  /** Backups or records were put there that are still expected below `folder`. */
  readonly used: boolean;
  readonly folder: string;
}

/** Whether what is there is the repository that the host and the records know. */
export interface IdentityCheck {
  /**
   * Refuses what is not the known repository. One that nobody knows is accepted; with `writes` its marker is made.
   * @throws RepriseError `repository-mismatch`; what the storage throws
   */
  require(writes: boolean): Promise<void>;
  /** Takes what is there for the right one, whatever was known. Returns its id. */
  accept(): Promise<string>;
  /** The id that the host knows; null before the first use. */
  knownId(): Promise<string | null>;
  /** The id that is there; null where there is none, or none that can be read. */
  foundId(): Promise<string | null>;
}

type Found = { readonly id: string } | { readonly instead: Exclude<FoundInstead, 'another'> } | 'cold';

export function identityCheck(repository: UsedRepository): IdentityCheck {
  const { name, where, storage, known, trustedForMs = 0 } = repository;
  let trustedUntil = 0;
  let remembered: KnownRepository | null = null;

  const keep = async (id: string): Promise<void> => {
    remembered = { name, id, where, at: new Date().toISOString() };
    await known.keep(remembered);
  };

  /** Makes the marker of a repository that nobody knows yet; its id, null where one is there that cannot be read. */
  const make = async (): Promise<string | null> => {
    await repository.makeRoot?.();
    await storage.createIfAbsent?.(IDENTITY_FILE, identityText({ id: randomUUID(), madeAt: new Date().toISOString() }));
    // Somebody else may have been faster.
    const made = await findMarker(storage);
    return made !== 'cold' && 'id' in made ? made.id : null;
  };

  const requireUnknown = async (found: Found, writes: boolean): Promise<void> => {
    const recorded = await repository.recorded?.();
    if (found === 'cold') return;
    if (recorded?.id != null && !isId(found, recorded.id)) throw notTheRepository(described(repository), whatOf(found));
    if ('id' in found) return keep(found.id);
    if (found.instead === 'damaged') throw notTheRepository(described(repository), 'damaged');
    // Before repositories had markers: its content has to be there.
    if (recorded?.used === true && !(await holdsAnything(storage, recorded.folder, found)))
      throw notTheRepository(described(repository), found.instead);
    await begin(found, writes);
  };

  /** A new one is empty to its readers. */
  const begin = async (found: Exclude<Found, 'cold'>, writes: boolean): Promise<void> => {
    if (!writes && 'instead' in found && found.instead === 'nothing' && repository.isOurs)
      await repository.makeRoot?.();
    const made = writes ? await make() : null;
    if (made !== null) await keep(made);
  };

  const requireKnown = async (found: Found, id: string): Promise<void> => {
    if (found === 'cold' || isId(found, id)) return;
    // Accepted meanwhile, here by another process, or on another host.
    const again = (await known.find(name))?.id;
    if (again !== undefined && isId(found, again)) return keep(again);
    const recorded = (await repository.recorded?.())?.id;
    if (recorded != null && isId(found, recorded)) return keep(recorded);
    throw notTheRepository(described(repository), whatOf(found));
  };

  return {
    async require(writes) {
      if (Date.now() < trustedUntil && (remembered !== null || !writes)) return;
      const found = await findMarker(storage);
      remembered ??= await known.find(name);
      if (remembered === null) await requireUnknown(found, writes);
      else await requireKnown(found, remembered.id);
      trustedUntil = Date.now() + trustedForMs;
    },
    async accept() {
      const found = await findMarker(storage);
      const id = found !== 'cold' && 'id' in found ? found.id : await make();
      if (id === null) throw notTheRepository(described(repository), 'damaged');
      await keep(id);
      return id;
    },
    knownId: async () => (await known.find(name))?.id ?? null,
    async foundId() {
      const found = await findMarker(storage);
      return found !== 'cold' && 'id' in found ? found.id : null;
    },
  };
}

/** A storage of which nothing is read or written before it was found to be the known one. The marker is in no listing. */
export function guardStorage(storage: WritableStorage, identity: IdentityCheck): WritableStorage {
  const guarded =
    (writes: boolean) =>
    <A extends readonly unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await identity.require(writes);
      return call(...args);
    };
  const [reads, writes] = [guarded(false), guarded(true)];
  async function* listing<T extends { readonly key: string }>(entries: () => AsyncIterable<T>): AsyncGenerator<T> {
    await identity.require(false);
    for await (const entry of entries()) if (entry.key !== IDENTITY_FILE) yield entry;
  }
  const { entries, coldObjects, requestThaw } = storage;
  return {
    ...storage,
    read: reads(storage.read),
    open: reads(storage.open),
    stat: reads(storage.stat),
    freeBytes: reads(storage.freeBytes),
    list: (prefix) => listing(() => storage.list(prefix)),
    ...(entries && { entries: (prefix: string) => listing(() => entries(prefix)) }),
    ...(coldObjects && { coldObjects: reads(coldObjects) }),
    ...(requestThaw && { requestThaw: reads(requestThaw) }),
    createIfAbsent: writes(storage.createIfAbsent),
    write: writes(storage.write),
    writeStream: writes(storage.writeStream),
    publish: writes(storage.publish),
    prepare: writes(storage.prepare),
    remove: reads(storage.remove),
    abandon: reads(storage.abandon),
  };
}

const described = ({ called, where, accept }: UsedRepository) => ({ name: called, where, accept });
const isId = (found: Found, id: string): boolean => found !== 'cold' && 'id' in found && found.id === id;
const whatOf = (found: Exclude<Found, 'cold'>): FoundInstead => ('id' in found ? 'another' : found.instead);

/** A marker in an archive class is there, and nobody can read it: it counts as the right one. */
async function findMarker(storage: ReadableStorage): Promise<Found> {
  try {
    const id = readIdentity((await storage.read(IDENTITY_FILE)).toString('utf8'));
    return id === null ? { instead: 'damaged' } : { id };
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    if (error.code === 'not-found') return { instead: 'no marker' };
    if (error.code === 'object-cold') return 'cold';
    if (error.code === 'storage-unreachable' && error.details['missing'] === 'root') return { instead: 'nothing' };
    throw error;
  }
}

async function holdsAnything(storage: ReadableStorage, folder: string, found: Found): Promise<boolean> {
  if (found !== 'cold' && 'instead' in found && found.instead === 'nothing') return false;
  for await (const _ of storage.list(folder)) return true;
  return false;
}
