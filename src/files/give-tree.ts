import { constants } from 'node:fs';
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises';
import type { FileOwner } from './directories.js';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * Gives what root owns in a directory to its user; for root only. Whoever may write there can change it meanwhile: no
 * link is followed, each entry is opened in its open directory, and a file with a second name stays root's, since that
 * name may be `/etc/shadow` (fs.protected_hardlinks may be off).
 */
export async function giveTree(path: string, owner: FileOwner): Promise<void> {
  if (owner.uid === 0) return;
  const directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    await giveDirectory(directory, owner);
  } finally {
    await directory.close();
  }
}

async function giveDirectory(directory: FileHandle, owner: FileOwner): Promise<void> {
  await giveIfOfRoot(directory, owner);
  const at = `/proc/self/fd/${directory.fd}`;
  for (const name of await readdir(at)) await giveEntry(`${at}/${name}`, owner);
}

async function giveEntry(path: string, owner: FileOwner): Promise<void> {
  const seen = await lstat(path).catch(() => null);
  // Pipes and devices are nothing of ours, and an open of one may do something.
  if (seen === null || !(seen.isFile() || seen.isDirectory())) return;
  const entry = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => null);
  if (entry === null) return;
  try {
    if ((await entry.stat()).isDirectory()) await giveDirectory(entry, owner);
    else await giveIfOfRoot(entry, owner);
  } finally {
    await entry.close();
  }
}

async function giveIfOfRoot(entry: FileHandle, { uid, gid }: FileOwner): Promise<void> {
  const found = await entry.stat();
  if (found.uid === 0 && (found.isDirectory() || (found.isFile() && found.nlink === 1))) await entry.chown(uid, gid);
}
