import { constants } from 'node:fs';
import { lchown, mkdir, open } from 'node:fs/promises';

/** Whom a file is given to: user and group ids. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Makes a directory and its missing parents, mode 0700; an existing one is left as it is. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Makes the entries of a directory durable: after a rename, a new file or a removal in it. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Gives a path to a user; only root can and needs to. A symbolic link is given itself, never what it leads to. */
export async function giveTo(path: string, owner: FileOwner | null): Promise<void> {
  if (owner !== null && process.getuid?.() === 0) await lchown(path, owner.uid, owner.gid);
}
