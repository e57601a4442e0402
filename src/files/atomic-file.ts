/**
 * Small files that a reader sees whole or not at all, also after a power cut: written beside their place, synced,
 * then moved there, and the directory synced too. Owner-only, whatever the umask (F42).
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a directory and what leads to it, 0700; one that is there is left as it is. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Replaces `path` atomically and durably, mode 0600. The directory must exist. */
export async function writeFileAtomic(path: string, content: string): Promise<void> {
  await throughTemporary(path, content, (temporary) => rename(temporary, path));
}

/** As {@link writeFileAtomic}, but never over another: false where `path` was there already. */
export async function createFileAtomic(path: string, content: string): Promise<boolean> {
  return throughTemporary(path, content, async (temporary) => {
    try {
      // link(2) refuses an existing name; rename(2) would silently replace it.
      await link(temporary, path);
      return true;
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  });
}

async function throughTemporary<T>(
  path: string,
  content: string,
  place: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    const placed = await place(temporary);
    await syncDirectory(dirname(path));
    return placed;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Tells a system error by its code; `instanceof Error` fails across jest's realms. */
export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && codes.includes(String(error.code));
}
