import type { Stats } from 'node:fs';
import { chmod, lstat, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { keyComponents, prefixComponents } from '../keys.js';
import type { WritableStorage } from '../storage.js';
import { leavesRoot, storageFailure } from './failures.js';
import { errnoOf } from '../../files/paths.js';
import { makeRoot, openMade, ownerFor } from './ownership.js';
import type { FileOwner } from '../../files/directories.js';
import { checkedPath, inside, openBelow, realRoot } from './paths.js';
import { giveTraits, traitsAt } from './traits.js';
import { openDirectoryForReading } from './reading.js';
import { renameSynced, streamIncomplete, removeAbandoned, syncFile, writeIncomplete } from './writing.js';
import { workMoved } from '../../files/work-signs.js';
import { linkIfAbsent } from '../../files/atomic-file.js';
import { syncDirectory } from '../../files/directories.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';

export interface OpenDirectoryOptions {
  /** Absolute path of the repository's root; made where it is missing, unless it has to exist. */
  readonly path: string;
  /** Who gets the files made while running as root; by default the owner of the root. */
  readonly owner?: FileOwner;
  /** Leaves a root that is missing so: the caller decides whether this is a new repository. */
  readonly existing?: boolean;
}

/**
 * A repository in a directory of this host. Every write is atomic and on disk when it returns; files are 0600 and
 * directories 0700 whatever the umask, but for media ({@link WriteStreamOptions.file}).
 *
 * @throws RepriseError `storage-unreachable` where the root is missing and cannot be made.
 */
export function openDirectory(options: OpenDirectoryOptions): WritableStorage {
  const root = options.path;
  if (options.existing !== true) makeRoot(root, options.owner);
  const swept = new Set<string>();

  /** Runs a change with the directory of its key made and swept of what killed writers left. */
  const change = async <T>(
    key: string,
    doing: string,
    work: (place: Place) => Promise<T>,
    forOthers = false,
  ): Promise<T> => {
    const components = keyComponents(key);
    try {
      checkedPath(root, components);
      const owner = await ownerFor(root, options.owner);
      const folder = components.slice(0, -1);
      const opened = await openMade(root, folder, owner, forOthers);
      try {
        const directory = inside(opened);
        if (!swept.has(folder.join('/'))) {
          await removeAbandoned(directory);
          swept.add(folder.join('/'));
        }
        return await work({ path: inside(opened, components.at(-1)), directory, owner });
      } finally {
        await opened.close();
      }
    } catch (error) {
      throw storageFailure(error, root, `${doing} ${key}`);
    }
  };

  return {
    ...openDirectoryForReading(options),
    fileTraits: (key) => traitsAt(checkedPath(root, keyComponents(key))),

    createIfAbsent: (key, body, { keep = false } = {}) =>
      change(key, 'creating', async ({ path, directory, owner }) => {
        const incomplete = await writeIncomplete(directory, body, owner);
        try {
          if (keep) await chmod(incomplete, 0o400);
          return await linkIfAbsent(incomplete, path);
        } finally {
          await rm(incomplete, { force: true });
          // Also for the loser: who reads the winner's record may rely on its being on disk.
          await syncDirectory(directory);
        }
      }),

    write: (key, body) =>
      change(key, 'writing', async ({ path, directory, owner }) => {
        const incomplete = await writeIncomplete(directory, body, owner);
        try {
          await renameSynced(incomplete, path, directory);
        } catch (error) {
          await rm(incomplete, { force: true });
          throw error;
        }
      }),

    writeStream: (key, body, how) =>
      change(
        key,
        'writing',
        async ({ path, directory, owner }) => {
          const { incomplete, ...written } = await streamIncomplete(directory, body, owner, how);
          try {
            if (how?.file !== undefined) await giveTraits(incomplete, path, how.file);
            await renameSynced(incomplete, path, directory);
          } catch (error) {
            await rm(incomplete, { force: true });
            throw error;
          }
          return written;
        },
        how?.file !== undefined,
      ),

    async remove(key) {
      const components = keyComponents(key);
      checkedPath(root, components);
      try {
        const opened = await openBelow(root, components.slice(0, -1));
        try {
          await unlink(inside(opened, components.at(-1)));
          await syncDirectory(inside(opened));
          workMoved();
        } finally {
          await opened.close();
        }
      } catch (error) {
        // Nothing there, or not even its folder: removed already.
        if (errnoOf(error) !== 'ENOENT') throw storageFailure(error, root, `removing ${key}`);
      }
    },

    abandon: async (key) => void keyComponents(key),

    publish: (fromKey, toKey) =>
      change(toKey, 'publishing', async (place) => {
        const components = keyComponents(fromKey);
        checkedPath(root, components);
        // Its folder may be gone with it, where it was published.
        const opened = await openBelow(root, components.slice(0, -1)).catch(ifGone);
        try {
          await publish(root, opened && inside(opened, components.at(-1)), place, toKey);
        } finally {
          await opened?.close();
        }
      }),

    async prepare(prefix, owner) {
      const components = prefixComponents(prefix);
      try {
        checkedPath(root, components);
        await (await openMade(root, components, await ownerFor(root, owner ?? options.owner))).close();
        // Tools write there by name: nobody else may put a link in the place of a name.
        await refuseSharedPath(join(realRoot(root), ...components), { anyOwner: true });
      } catch (error) {
        throw storageFailure(error, root, `making the directory ${prefix}`);
      }
    },
  };
}

interface Place {
  readonly path: string;
  readonly directory: string;
  readonly owner: FileOwner | null;
}

/**
 * Gives a finished file (or directory) its name. A kill between the two steps leaves both names on one file, and the
 * next attempt takes the first away; one that comes after everything was done finds the target and nothing to do.
 */
async function publish(root: string, from: string | null, to: Place, toKey: string): Promise<void> {
  const [source, target] = await Promise.all([from === null ? null : lstatOrNull(from), lstatOrNull(to.path)]);
  if (from === null || source === null) {
    if (target !== null) return;
    throw new RepriseError('not-found', `nothing to publish as ${toKey} in the repository ${root}`, 'make it first');
  }
  const same = target !== null && source.ino === target.ino && source.dev === target.dev;
  if (target !== null && !same) throw taken(root, toKey);
  if (source.isDirectory()) {
    await renameSynced(from, to.path, to.directory);
  } else if (source.isFile()) {
    await syncFile(from);
    if (!(await linkIfAbsent(from, to.path)) && !same) throw taken(root, toKey);
    await syncDirectory(to.directory);
    await rm(from, { force: true });
  } else {
    throw leavesRoot(root, toKey, 'what is to be published is neither a file nor a directory');
  }
  await syncDirectory(dirname(from));
}

const lstatOrNull = (path: string): Promise<Stats | null> => lstat(path).catch(ifGone);

function ifGone(error: unknown): null {
  if (errnoOf(error) === 'ENOENT') return null;
  throw error;
}

function taken(root: string, key: string): RepriseError {
  return new RepriseError(
    'conflict',
    `${key} exists already in the repository ${root} and is not overwritten`,
    'a published backup never changes: start the operation again: it uses a new name',
  );
}
