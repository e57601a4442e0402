/**
 * The one way to write a small file: whole or not there, also after a power failure. It is written under a random name
 * beside its place, created exclusively and never through a link, synced, given to its owner, and only then named;
 * then its directory is synced. Mode 0600 whatever the umask.
 */
import { randomBytes } from 'node:crypto';
import { constants, createWriteStream, type WriteStream } from 'node:fs';
import { link, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RepriseError } from '../domain/errors.js';
import { syncDirectory, type FileOwner } from './directories.js';
import { isErrno } from './paths.js';
import { refuseSharedPath } from './trusted-paths.js';
import { workMoved } from './work-signs.js';

/**
 * Replaces `path`; a symbolic link there is replaced, not followed. The directory must exist.
 * @param owner gets the file where we are root; default: who we are
 * @throws RepriseError `path-refused` for a directory that other users may write
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  owner: FileOwner | null = null,
): Promise<void> {
  await throughTemporary(
    path,
    (file) => file.writeFile(content),
    owner,
    (temporary) => rename(temporary, path),
  );
}

/** As {@link writeFileAtomic}, but never replaces: false where `path` existed, also as a link to nothing. */
export async function createFileAtomic(
  path: string,
  content: string,
  owner: FileOwner | null = null,
): Promise<boolean> {
  return throughTemporary(
    path,
    (file) => file.writeFile(content),
    owner,
    async (temporary) => {
      try {
        return await linkIfAbsent(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    },
  );
}

/**
 * Copies a plain file as {@link writeFileAtomic} writes one.
 * @throws RepriseError `path-refused` where `from` is a link, or no plain file
 */
export async function copyFileAtomic(from: string, to: string, owner: FileOwner | null = null): Promise<void> {
  await removeTemporaries(to);
  const source = await openPlainFile(from);
  try {
    await throughTemporary(
      to,
      async (file) => {
        for await (const chunk of source.createReadStream({ autoClose: false })) {
          await file.writeFile(chunk as Buffer);
          workMoved();
        }
      },
      owner,
      (temporary) => rename(temporary, to),
    );
  } finally {
    await source.close();
  }
}

/** Of a WAL segment that is unpacked: each piece is handed to another thread and back, and in zlib's own 16 kB they are many. */
export const PIECE_BYTES = 1024 * 1024;

/**
 * A stream into a file that the caller names or checks when it is whole; an earlier attempt's is overwritten. Mode 0600,
 * and never through a symbolic link: the stream then fails with ELOOP.
 */
export function streamToFile(path: string): WriteStream {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  // Node.js takes numbers too; its types know names only, and none of them refuses links.
  return createWriteStream(path, { flags: flags as unknown as string, mode: 0o600 });
}

/**
 * Opens a file that grows by appending, and creates it with mode 0600 where it is missing; never through a symbolic
 * link (ELOOP). The caller closes it.
 * @param owner gets the file where we are root
 */
export async function openForAppending(path: string, owner: FileOwner | null = null): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  if (owner !== null && process.getuid?.() === 0) await file.chown(owner.uid, owner.gid);
  return file;
}

/** Removes a file, durably; none there is no error. */
export async function removeFileDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

/**
 * A new file under a name that must be free, filled, synced and owner-only; the caller then renames or links it into
 * place. Nothing is left where filling it fails.
 */
export async function writeTemporary(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
  owner: FileOwner | null,
): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  try {
    await file.chmod(0o600);
    if (owner !== null && process.getuid?.() === 0) await file.chown(owner.uid, owner.gid);
    await fill(file);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Gives a file a second name; false where that name is taken, which rename(2) would silently replace. */
export async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

async function throughTemporary<T>(
  path: string,
  fill: (file: FileHandle) => Promise<void>,
  owner: FileOwner | null,
  publish: (temporary: string) => Promise<T>,
): Promise<T> {
  const directory = dirname(path);
  await refuseSharedPath(directory, { owner, itsOwner: true, anyOwner: true, sticky: true });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  await writeTemporary(temporary, fill, owner);
  try {
    const published = await publish(temporary);
    await syncDirectory(directory);
    return published;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes what killed attempts to write this file have left: of a copy it may be large. */
async function removeTemporaries(path: string): Promise<void> {
  const [directory, name] = [dirname(path), basename(path)];
  for (const found of await readdir(directory)) {
    if (found.startsWith(`${name}.`) && /^\.[0-9a-f]{12}\.tmp$/.test(found.slice(name.length)))
      await rm(join(directory, found), { force: true });
  }
}

async function openPlainFile(path: string): Promise<FileHandle> {
  const refused = () =>
    new RepriseError(
      'path-refused',
      `${path} is not copied: it is a link, or not a plain file`,
      'replace it by the file itself',
    );
  // Without O_NONBLOCK a named pipe in its place would block us for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    throw isErrno(error, 'ELOOP') ? refused() : error;
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw refused();
}
