import { constants } from 'node:fs';
import { lstat, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileTraits } from '../storage.js';

/** Never setuid, setgid or sticky: these are rights, and no description. */
const PERMISSIONS = 0o777;
/** What a new file may have of its folder's: reading by others, never writing. */
const READING = 0o644;

/** What a plain file has besides its content; null where there is none. */
export async function traitsAt(path: string): Promise<FileTraits | null> {
  const found = await lstat(path).catch(() => null);
  if (!found?.isFile()) return null;
  const { uid, gid, mode, mtime } = found;
  return { mode: mode & PERMISSIONS, owner: { uid, gid }, modifiedAt: mtime.toISOString() };
}

/**
 * Gives a file that nobody sees yet what the file has that it is a copy of, else what the file has that it replaces, else
 * what its folder lets everybody do: who could read the media can read the copy. The owner needs root's rights.
 * @param path where it will be
 */
export async function giveTraits(incomplete: string, path: string, of: FileTraits | null): Promise<void> {
  const { mode, owner } = of ?? (await traitsAt(path)) ?? (await newIn(dirname(path)));
  const file = await open(incomplete, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (owner && process.geteuid?.() === 0) await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
    if (of !== null) await file.utimes(new Date(), new Date(of.modifiedAt));
  } finally {
    await file.close();
  }
}

async function newIn(directory: string): Promise<Pick<FileTraits, 'mode'> & { readonly owner: null }> {
  const { mode } = await stat(directory);
  return { mode: (mode & READING) | 0o600, owner: null };
}
