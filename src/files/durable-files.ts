import { chown, copyFile, open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whom a file is given to: user and group ids. */
interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Makes directory entries durable: after a rename, a new file or a removal in it. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a small file atomically and durably, mode 0600, owned by `user` where we are root. */
export async function writeFileDurably(path: string, content: string, user: FileOwner | null): Promise<void> {
  const temporary = `${path}.reprise-tmp`;
  // What an attempt before this one left would keep its owner and mode.
  await rm(temporary, { force: true });
  await writeFile(temporary, content, { mode: 0o600 });
  await publish(temporary, path, user);
}

/** Copies a file as {@link writeFileDurably} writes one: whoever sees the target sees all of it. */
export async function copyFileDurably(from: string, to: string, user: FileOwner | null): Promise<void> {
  const temporary = `${to}.reprise-tmp`;
  await rm(temporary, { force: true });
  await copyFile(from, temporary);
  await publish(temporary, to, user);
}

/** Removes a file, durably; none there is no error. */
export async function removeFileDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

async function publish(temporary: string, path: string, user: FileOwner | null): Promise<void> {
  const handle = await open(temporary, 'r+');
  try {
    await handle.chmod(0o600);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await giveTo(temporary, user);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Gives a path to the user that works on it; only root can and needs to. */
export async function giveTo(path: string, user: FileOwner | null): Promise<void> {
  if (user !== null && process.getuid?.() === 0) await chown(path, user.uid, user.gid);
}
