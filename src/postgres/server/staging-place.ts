import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { RepriseError } from '../../domain/errors.js';
import { createFileAtomic, writeFileAtomic } from '../../files/atomic-file.js';
import { type FileOwner, giveTo } from '../../files/directories.js';
import { isErrno } from '../../files/paths.js';
import { type DirectoryIdentity, emptyDirectory } from '../../files/remove-tree.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';
import { linkTarget, mountPoints, outsidePlaces } from './layout.js';
import { readPostmaster, type RunningServer, runningServers } from './postmaster.js';
import { isScratchServer } from './scratch-cluster.js';
import { shellWord } from '../../domain/text/text.js';

/** A directory that is emptied again and again, and whose it is. */
export interface StagingDirectory {
  readonly cluster: string;
  readonly host: string;
  /** Absolute, as the configuration has it. */
  readonly dataDir: string;
  readonly port: number;
  readonly owner: FileOwner | null;
}

/** What a staging directory must not be, contain or lie within. */
export interface ProtectedPath {
  /** What it is, in words. */
  readonly what: string;
  readonly path: string;
}

/** The marker: the very directories that may be emptied, by their inodes and not by their names. */
export interface Mark {
  readonly cluster: string;
  readonly host: string;
  readonly dataDir: string;
  readonly data: DirectoryIdentity;
  readonly tablespaces: DirectoryIdentity;
}

const identity = z
  .strictObject({ dev: z.string().regex(/^\d+$/), ino: z.string().regex(/^\d+$/) })
  .transform(({ dev, ino }): Required<DirectoryIdentity> => ({ dev: BigInt(dev), ino: BigInt(ino) }));
const markFile = z.looseObject({
  cluster: z.string(),
  host: z.string(),
  dataDir: z.string(),
  data: identity,
  tablespaces: identity,
});

/** No marker is longer. */
const MOST_BYTES = 10_000;

/** Beside the directory, which is emptied. */
export function stagingMarkerOf(dataDir: string): string {
  return join(dirname(dataDir), `.${basename(dataDir)}.reprise-staging.json`);
}

/** Tablespaces of what is restored there, each below it by its number. */
export function stagingTablespaces(dataDir: string): string {
  return `${dataDir}.tablespaces`;
}

/**
 * Sees that a directory may be emptied and filled, and changes nothing: it leads through no link of its own, is nowhere that others may
 * write, and shares neither a resolved path, nor a mount, nor an inode on the way, nor its port with what is protected or with a
 * server that somebody else runs on this host.
 * @throws RepriseError `path-refused`, `conflict`
 */
export async function requireStagingApart(
  place: StagingDirectory,
  protectedPaths: readonly ProtectedPath[],
): Promise<void> {
  const { dataDir, owner } = place;
  const directories = [dataDir, stagingTablespaces(dataDir)];
  if ((await stat(dirname(dataDir)).catch(() => null))?.isDirectory() !== true)
    throw refused(
      `there is no directory ${dirname(dataDir)} for the drills of ${place.cluster}`,
      `create it, or mount it; then reprise drill run ${place.cluster}`,
    );
  for (const directory of directories) {
    if ((await lstat(directory).catch(() => null))?.isSymbolicLink() === true)
      throw refused(`${directory} is a symbolic link: a drill empties directories and follows no link`, ANOTHER);
    await refuseSharedPath(directory, { owner, sticky: true });
  }
  const home = await linkTarget(dataDir);
  // Backends that outlived their postmaster show no configuration: what is marked as staging is ours.
  const isOrphaned = (await readPostmaster(dataDir))?.alive !== true && (await readMark(place)) !== null;
  const isOwn = (server: RunningServer): boolean =>
    server.dataDir === home && (isOrphaned || isScratchServer(server, dataDir));
  const running = await runningServers();
  const others = running.filter((server) => !isOwn(server));
  const everything = [
    ...protectedPaths,
    ...others.map((server) => ({
      what: `the data directory of the server on port ${server.port}`,
      path: server.dataDir,
    })),
  ];
  const expanded = (await Promise.all(everything.map(withOutsidePlaces))).flat();
  for (const directory of directories) {
    await refuseMounts(directory, expanded);
    for (const other of expanded) await refuseOverlap(directory, other);
  }
  // A copy that only its owner reaches has a port by name alone.
  const same = others.find((server) => server.port === place.port && !isScratchServer(server, server.dataDir));
  if (same !== undefined) throw portTaken(place, `that of the server in ${same.dataDir}`);
  if (running.length === others.length && (await isListening(place.port)))
    throw portTaken(place, 'in use by another program');
}

function portTaken({ cluster, port }: StagingDirectory, by: string): RepriseError {
  return new RepriseError(
    'conflict',
    `port ${port} is ${by}`,
    `give the drill of ${cluster} a port of its own: clusters.${cluster}.drill.port`,
  );
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (isErrno(error, 'EADDRINUSE') ? resolve(true) : reject(error)));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}

const ANOTHER = 'name an empty or absent directory of its own under drill.data_dir';

async function withOutsidePlaces(one: ProtectedPath): Promise<readonly ProtectedPath[]> {
  const outside = await outsidePlaces(one.path);
  return [one, ...outside.map((path) => ({ what: `a tablespace or WAL directory of ${one.what}`, path }))];
}

/** What is mounted below would be emptied with it; another mount of a protected file system is one by another name. */
async function refuseMounts(directory: string, protectedPaths: readonly ProtectedPath[]): Promise<void> {
  const home = await linkTarget(directory);
  const mounts = await mountPoints();
  const below = mounts.find((point) => point.startsWith(`${home}/`));
  if (below !== undefined)
    throw refused(`${below} is mounted inside ${directory}, and would be emptied with it`, ANOTHER);
  if (!mounts.includes(home)) return;
  const { dev } = await stat(home);
  for (const { what, path } of protectedPaths) {
    if ((await stat(path).catch(() => null))?.dev !== dev) continue;
    throw refused(`${directory} is a mount of the file system that ${what} is on (${path})`, ANOTHER);
  }
}

async function refuseOverlap(directory: string, { what, path }: ProtectedPath): Promise<void> {
  const [staging, other] = await Promise.all([lineageOf(directory), lineageOf(path)]);
  const isWithin = (inner: Lineage, outer: Lineage): boolean =>
    `${inner.path}/`.startsWith(`${outer.path}/`) ||
    outer.path === '/' ||
    // By another name, such as a bind mount.
    (outer.own !== null && inner.all.includes(outer.own));
  if (!isWithin(staging, other) && !isWithin(other, staging)) return;
  throw refused(`${directory} is, contains or lies within ${what} (${path}): a drill would empty it`, ANOTHER);
}

interface Lineage {
  /** Links followed. */
  readonly path: string;
  /** Device and inode; null where it does not exist. */
  readonly own: string | null;
  /** The same of it and of everything above, as far as it exists. */
  readonly all: readonly string[];
}

async function lineageOf(path: string): Promise<Lineage> {
  const resolved = await linkTarget(path);
  const all: string[] = [];
  let own: string | null = null;
  for (let at = resolved; ; at = dirname(at)) {
    const found = await stat(at, { bigint: true }).catch(() => null);
    const id = found === null ? null : `${found.dev}:${found.ino}`;
    if (at === resolved) own = id;
    if (id !== null) all.push(id);
    if (at === dirname(at)) return { path: resolved, own, all };
  }
}

/**
 * Marks a directory as staging where it is empty or absent, or sees that it is marked. What is in a directory without the marker is
 * somebody's, and stays.
 * @throws RepriseError `path-refused`; `conflict` for the staging directory of another cluster
 */
export async function markStaging(place: StagingDirectory): Promise<void> {
  const { dataDir, cluster, host, owner } = place;
  const tablespaces = stagingTablespaces(dataDir);
  const { mark, isWhole } = await requireMarkable(place);
  if (isWhole) return;
  const data = await makeOrFind(dataDir, owner);
  const below = await makeOrFind(tablespaces, owner);
  const text = JSON.stringify(
    {
      what: 'Reprise empties this directory before each restore drill',
      cluster,
      host,
      dataDir,
      data,
      tablespaces: below,
    },
    (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value),
  );
  const path = stagingMarkerOf(dataDir);
  if (mark === null) {
    if (!(await createFileAtomic(path, text, owner))) await readMark(place);
  } else await writeFileAtomic(path, text, owner);
}

/**
 * Sees that a directory is marked, or may be: it is empty or absent. Reads only.
 * @returns its marker, and whether that is of just these directories
 * @throws RepriseError `path-refused`, `conflict`
 */
export async function requireMarkable(
  place: StagingDirectory,
): Promise<{ readonly mark: Mark | null; readonly isWhole: boolean }> {
  const { dataDir } = place;
  const mark = await readMark(place);
  let isWhole = mark !== null;
  for (const directory of [dataDir, stagingTablespaces(dataDir)]) {
    const isMarked = mark !== null && (await isSame(directory, directory === dataDir ? mark.data : mark.tablespaces));
    isWhole &&= isMarked;
    if (!isMarked) await requireEmpty(directory, mark !== null);
  }
  return { mark, isWhole };
}

async function requireEmpty(directory: string, otherMarked: boolean): Promise<void> {
  const entries = await readdir(directory).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  if (entries.length === 0) return;
  throw refused(
    otherMarked
      ? `${directory} is not empty, and the marker beside it is of another directory: nothing in it is removed`
      : `${directory} is not empty, and it carries no marker of a staging directory: nothing in it is removed`,
    'see whose it is; empty it yourself if nobody needs it, or name an empty or absent directory under drill.data_dir',
  );
}

async function makeOrFind(directory: string, owner: FileOwner | null): Promise<DirectoryIdentity> {
  const isMade = await mkdir(directory, { mode: 0o700 }).then(
    () => true,
    (error: unknown) => {
      if (isErrno(error, 'EEXIST')) return false;
      throw error;
    },
  );
  if (isMade) await giveTo(directory, owner);
  const opened = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const { dev, ino } = await opened.stat({ bigint: true });
    await opened.chmod(0o700);
    if (owner !== null && process.getuid?.() === 0) await opened.chown(owner.uid, owner.gid);
    return { dev, ino };
  } finally {
    await opened.close();
  }
}

/**
 * Empties a staging directory and its tablespaces: those that its marker names, and no others. The directories stay.
 * @throws RepriseError `path-refused`, `conflict`
 */
export async function emptyStaging(place: StagingDirectory): Promise<void> {
  const mark = await requireMark(place);
  await emptyDirectory(place.dataDir, mark.data);
  await emptyDirectory(stagingTablespaces(place.dataDir), mark.tablespaces);
}

/**
 * Sees that a directory carries the marker of just this place.
 * @throws RepriseError `path-refused`, `conflict`
 */
export async function requireMark(place: StagingDirectory): Promise<Mark> {
  const { dataDir } = place;
  const mark = await readMark(place);
  if (mark === null)
    throw refused(`${dataDir} carries no marker of a staging directory: nothing in it is removed`, ANOTHER);
  if ((await isSame(dataDir, mark.data)) && (await isSame(stagingTablespaces(dataDir), mark.tablespaces))) return mark;
  throw refused(
    `the marker beside ${dataDir} is of another directory: something else was put in its place, and nothing in it is removed`,
    `see what it is; once it is empty, a drill marks it anew: reprise drill run ${place.cluster}`,
  );
}

/** Null where there is none. One that somebody else wrote, or that is a link, is none of ours. */
async function readMark({ dataDir, cluster, host, owner }: StagingDirectory): Promise<Mark | null> {
  const path = stagingMarkerOf(dataDir);
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return null;
    throw isErrno(error, 'ELOOP') ? noMarker(path) : error;
  });
  if (file === null) return null;
  try {
    const { uid, mode, size } = await file.stat();
    const ours = [0, process.geteuid?.() ?? 0, ...(owner === null ? [] : [owner.uid])];
    if (!ours.includes(uid) || (mode & 0o077) !== 0 || size > MOST_BYTES) throw noMarker(path);
    const read = markFile.safeParse(parsed(await file.readFile('utf8')));
    if (!read.success) throw noMarker(path);
    if (read.data.cluster !== cluster || read.data.host !== host)
      throw new RepriseError(
        'conflict',
        `${dataDir} is the staging directory of cluster ${read.data.cluster} on host ${read.data.host}`,
        `give the drill of ${cluster} a directory of its own; or, if that one is no longer used: rm ${shellWord(path)}`,
      );
    // A marker that was copied here names the directory that it was made for.
    return read.data.dataDir === dataDir ? read.data : null;
  } finally {
    await file.close();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

async function isSame(directory: string, { dev, ino }: DirectoryIdentity): Promise<boolean> {
  const found = await lstat(directory, { bigint: true }).catch(() => null);
  return found?.isDirectory() === true && found.ino === ino && found.dev === dev;
}

function noMarker(path: string): RepriseError {
  return refused(
    `${path} is no marker that Reprise wrote: it is a link, of another user, readable by others or damaged`,
    `see who put it there; remove it if nobody needs it: rm ${shellWord(path)}`,
  );
}

function refused(message: string, hint: string): RepriseError {
  return new RepriseError('path-refused', message, hint);
}
