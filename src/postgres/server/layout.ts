import { constants } from 'node:fs';
import { access, lstat, readFile, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { ObservedLayout, ObservedPart, ObservedTablespace, ObservedWal } from '../../domain/plan/layout.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { freeBytes, isWritableDirectory, nearestExisting, quicklyUsedBytes } from './disk.js';

/** Where the data of a directory really is, also where it is a link whose target is not there. */
export async function linkTarget(path: string): Promise<string> {
  const found = await realpath(path).catch(() => null);
  if (found !== null) return found;
  const target = await readlink(path).catch(() => null);
  const named = target === null ? path : resolve(dirname(path), target);
  const parent = await realpath(dirname(named)).catch(() => dirname(named));
  return join(parent, named.slice(named.lastIndexOf('/') + 1));
}

/** Paths at which file systems are mounted. */
export async function mountPoints(): Promise<readonly string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  // The kernel writes spaces and the like as octal numbers.
  return table.split('\n').flatMap((line) => {
    const point = line.split(' ')[4];
    if (point === undefined) return [];
    return [point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))];
  });
}

/** Looks where the parts of a data directory are, which may be gone or damaged. Reads only. */
export async function observeLayout(dataDir: string, user: OsUser | null): Promise<ObservedLayout> {
  const home = await linkTarget(dataDir);
  const mounts = await mountPoints();
  const isLink = (await lstat(dataDir).catch(() => null))?.isSymbolicLink() === true;
  return {
    // Links further up in its path are the file system's, and stay in it.
    dataDir: isLink ? home : dataDir,
    isLink,
    isMountPoint: mounts.includes(home),
    mountsBelow: mounts.filter((point) => point.startsWith(`${home}/`)),
    parent: await stateOf(dirname(home)),
    device: (await stat(await nearestExisting(home))).dev,
    wal: await walAt(home, mounts, user),
    tablespaces: await tablespacesOf(home, user),
    otherLinks: await otherLinks(home),
  };
}

async function stateOf(path: string): Promise<ObservedPart['state']> {
  if ((await stat(path).catch(() => null))?.isDirectory() !== true) return 'missing';
  return access(path, constants.W_OK | constants.X_OK).then(
    () => 'usable',
    () => 'not-writable',
  );
}

/** What a symbolic link leads to; null where it is none. */
async function partAt(home: string, name: string, user: OsUser | null): Promise<ObservedPart | null> {
  const link = join(home, name);
  if ((await lstat(link).catch(() => null))?.isSymbolicLink() !== true) return null;
  const path = await linkTarget(link);
  return {
    path,
    isInside: path === home || path.startsWith(`${home}/`),
    // The server's user has to write there too: not in the empty directory under a file system that is not mounted.
    state:
      (await stateOf(path)) === 'usable' && !(await isWritableDirectory(path, user))
        ? 'not-writable'
        : await stateOf(path),
    isEmpty: (await readdir(path).catch(() => [])).length === 0,
    freeBytes: await freeBytes(path),
    usedBytes: (await quicklyUsedBytes(path, user)) ?? 0,
    device: (await stat(await nearestExisting(path))).dev,
  };
}

async function walAt(home: string, mounts: readonly string[], user: OsUser | null): Promise<ObservedWal | null> {
  const part = await partAt(home, 'pg_wal', user);
  if (part === null) return null;
  return { ...part, hasRoomBeside: !mounts.includes(part.path) && (await stateOf(dirname(part.path))) === 'usable' };
}

async function tablespacesOf(home: string, user: OsUser | null): Promise<readonly ObservedTablespace[]> {
  const found: ObservedTablespace[] = [];
  for (const { oid } of await tablespaceLinks(home)) {
    const part = await partAt(home, join('pg_tblspc', oid), user);
    if (part !== null) found.push({ oid, ...part });
  }
  return found;
}

/** Tablespaces of a data directory that are elsewhere, and the directories that their links lead to. */
export async function tablespaceLinks(dataDir: string): Promise<readonly { oid: string; path: string }[]> {
  const found: { oid: string; path: string }[] = [];
  for (const oid of await readdir(join(dataDir, 'pg_tblspc')).catch(() => [] as string[])) {
    const link = join(dataDir, 'pg_tblspc', oid);
    if (/^\d+$/.test(oid) && (await lstat(link)).isSymbolicLink()) found.push({ oid, path: await linkTarget(link) });
  }
  return found.toSorted((left, right) => Number(left.oid) - Number(right.oid));
}

async function otherLinks(home: string): Promise<readonly string[]> {
  const entries = await readdir(home, { withFileTypes: true }).catch(() => []);
  const links = entries.filter((entry) => entry.isSymbolicLink() && entry.name !== 'pg_wal').map(({ name }) => name);
  return links.toSorted();
}

/** Absolute paths that the links of a data directory lead to: tablespaces, and a `pg_wal` elsewhere. */
export async function outsidePlaces(directory: string): Promise<readonly string[]> {
  const links = (await readdir(join(directory, 'pg_tblspc')).catch(() => [])).map((oid) => join('pg_tblspc', oid));
  const places: string[] = [];
  for (const link of [...links, 'pg_wal']) {
    const target = await readlink(join(directory, link)).catch(() => null);
    if (target !== null) places.push(isAbsolute(target) ? target : resolve(dirname(join(directory, link)), target));
  }
  return places;
}
