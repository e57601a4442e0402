import { lstat, readdir, realpath, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Bytes free to an ordinary user where the path is, or would be (its nearest ancestor that exists). */
export async function freeBytes(path: string): Promise<number> {
  const place = await nearestExisting(path);
  const { bavail, bsize } = await statfs(place);
  return bavail * bsize;
}

/**
 * Bytes of all files below a directory, symbolic links not followed except the tablespaces of a data directory and a
 * `pg_wal` elsewhere: these belong to it. What vanishes meanwhile counts as nothing; a missing directory is 0.
 */
export async function directorySize(path: string): Promise<number> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  let total = 0;
  for (const entry of entries) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) total += await directorySize(child);
    else if (entry.isFile()) total += await sizeOf(child);
    else if (entry.isSymbolicLink() && belongsToCluster(child)) total += await directorySize(await realpath(child).catch(() => child));
  }
  return total;
}

function belongsToCluster(link: string): boolean {
  return /\/pg_tblspc\/\d+$|\/pg_wal$/.test(link);
}

async function sizeOf(path: string): Promise<number> {
  return lstat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const found = await realpath(place).catch(() => null);
    if (found !== null || place === dirname(place)) return found ?? place;
  }
}
