import { realpath, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Bytes free to an ordinary user where the path is, or would be (its nearest ancestor that exists). */
export async function freeBytes(path: string): Promise<number> {
  const place = await nearestExisting(path);
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/** The path itself where it exists, else its nearest ancestor that does; without symbolic links. */
export async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const found = await realpath(place).catch(() => null);
    if (found !== null || place === dirname(place)) return found ?? place;
  }
}
