import { lstat, readFile, readdir, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type PlannedLayout, type PlannedPart, type PlannedTablespace } from '../../domain/plan/layout.js';
import { restoredWithin } from '../../domain/plan/recovery-place.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { giveTo, syncDirectory } from '../../files/directories.js';
import { nameExists, pathExists } from '../../files/paths.js';
import { removeTree } from '../../files/remove-tree.js';
import { makeOwnDirectory } from '../../files/trusted-paths.js';
import { runProgram } from '../../process/exec/run-program.js';
import type { OsUser } from '../../process/jobs/jobs.js';

/** Names that a server gives in `pg_wal`: whatever else lies there is somebody else's. */
const OF_WAL = /^(?:[0-9A-F]{24}(?:\..*)?|[0-9A-F]{8}\.history|archive_status|summaries|xlogtemp\.\d+|RECOVERY\w+)$/;
const COPY_TIMEOUT_MS = 12 * 3_600_000;

/**
 * Moves what old data has outside of its directory into directories of its own, on the same disks, and lets the
 * links of the old data lead there: it can still be started, and no replay of WAL writes into it. Places stay for the new
 * data. A repeated call moves what is left.
 */
export async function movePartsAside(oldDir: string, layout: PlannedLayout, user: OsUser | null): Promise<void> {
  const major = (await readFile(join(oldDir, 'PG_VERSION'), 'utf8').catch(() => '')).trim();
  const ofTablespace = new RegExp(`^PG_${/^\d+$/.test(major) ? major : String.raw`\d+`}_`);
  for (const one of layout.tablespaces ?? [])
    await movePart(one, ofTablespace, join(oldDir, 'pg_tblspc', one.oid), user);
  if (layout.wal) await movePart(layout.wal, OF_WAL, join(oldDir, 'pg_wal'), user);
}

async function movePart(
  { path, keptAs }: Pick<PlannedPart, 'path'> & { keptAs?: string | null },
  ours: RegExp,
  link: string,
  user: OsUser | null,
): Promise<void> {
  if (keptAs === undefined || keptAs === null) return;
  await makeOwnDirectory(keptAs, user);
  for (const name of (await readdir(path)).filter((one) => ours.test(one)))
    await rename(join(path, name), join(keptAs, name));
  for (const changed of [keptAs, path, dirname(keptAs)]) await syncDirectory(changed);
  await replaceLink(link, keptAs, user);
}

/** Before files are restored: no tool follows the link of `pg_wal`, or takes what it leads to for its own. */
export async function detachWal(home: string, layout: PlannedLayout | undefined): Promise<void> {
  const link = join(home, 'pg_wal');
  if (layout?.wal === undefined || (await lstat(link).catch(() => null))?.isSymbolicLink() !== true) return;
  await rm(link);
  await syncDirectory(home);
}

/**
 * Puts restored tablespaces and WAL where the plan says that they stay. What is in these places is not old data, which
 * {@link movePartsAside} has moved, or the plan gives up. A repeated call goes on where the one before was cut off.
 */
export async function attachParts(
  home: string,
  layout: PlannedLayout | undefined,
  operationId: string,
  user: OsUser | null,
): Promise<void> {
  for (const one of layout?.tablespaces ?? [])
    if (one.restored && one.keptAs) await attachTablespace(home, one, operationId, user);
  if (layout?.wal) await attachWal(home, layout.wal.path, user);
}

async function attachTablespace(
  home: string,
  { oid, path }: PlannedTablespace,
  operationId: string,
  user: OsUser | null,
): Promise<void> {
  const restored = restoredWithin(path, operationId, oid);
  for (const name of await readdir(restored).catch(() => [] as string[])) {
    // Of an earlier plan of this operation, whose backup was found damaged.
    await removeTree(join(path, name));
    await rename(join(restored, name), join(path, name));
  }
  for (const empty of [restored, dirname(restored)]) if (await nameExists(empty)) await rmdir(empty);
  await syncDirectory(path);
  await replaceLink(join(home, 'pg_tblspc', oid), path, user);
  await correctTablespaceMap(home, oid, path, user);
}

/** PostgreSQL makes links anew from it at its first start. */
async function correctTablespaceMap(home: string, oid: string, path: string, user: OsUser | null): Promise<void> {
  const file = join(home, 'tablespace_map');
  if (!(await pathExists(file))) return;
  const others = (await readFile(file, 'utf8'))
    .split(/(?<!\\)\n/)
    .filter((line) => line && !line.startsWith(`${oid} `));
  await writeFileAtomic(file, [...others, tablespaceMapLine(oid, path)].map((line) => `${line}\n`).join(''), user);
}

/** One line of `tablespace_map`, as the server reads it. */
export function tablespaceMapLine(oid: string, path: string): string {
  return `${oid} ${path.replaceAll(/[\\\n\r]/g, String.raw`\$&`)}`;
}

async function attachWal(home: string, path: string, user: OsUser | null): Promise<void> {
  const [link, moved] = [join(home, 'pg_wal'), join(home, 'pg_wal.moved')];
  const found = await lstat(link).catch(() => null);
  if (found?.isDirectory() === true) {
    for (const name of (await readdir(path)).filter((one) => OF_WAL.test(one))) await removeTree(join(path, name));
    await runProgram(['cp', '--archive', '--no-target-directory', `${link}/.`, path], {
      user,
      timeoutMs: COPY_TIMEOUT_MS,
    });
    await runProgram(['sync', '--file-system', path], { timeoutMs: COPY_TIMEOUT_MS });
    await rename(link, moved);
  }
  await replaceLink(link, path, user);
  await removeTree(moved);
}

/** A symbolic link, in the place of the one that is there. */
async function replaceLink(link: string, target: string, user: OsUser | null): Promise<void> {
  const fresh = `${link}.reprise`;
  await rm(fresh, { force: true });
  await symlink(target, fresh);
  await giveTo(fresh, user);
  await rename(fresh, link);
  await syncDirectory(join(link, '..'));
}
