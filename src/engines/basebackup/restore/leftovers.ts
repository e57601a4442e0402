import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostConfig } from '../../../domain/config.js';
import { CHOICE, isLabel, spoolName } from '../repository/names.js';
import { removeTree } from '../../../files/remove-tree.js';

/** What a spool may hold; anything else in it was put there by somebody. */
const OWN = new Set(['tar', 'plain', 'wal', 'parent_manifest', CHOICE]);

/**
 * Removes spools of operations that ended without an end: the last attempt of a backup, or the restore of a worker that
 * never came back, left them. Only directories that are one by name and by what they hold.
 * @param inUse ids of operations that may go on
 * @returns the directories removed
 */
export async function removeLeftovers(
  { scratchDir }: Pick<HostConfig, 'scratchDir'>,
  inUse: ReadonlySet<string>,
  olderThanMs: number,
): Promise<readonly string[]> {
  const used = new Set([...inUse].map(spoolName));
  const removed: string[] = [];
  for (const entry of await readdir(scratchDir, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory() || !/^basebackup-[0-9a-f]{12}$/.test(entry.name) || used.has(entry.name)) continue;
    const path = join(scratchDir, entry.name);
    if (!(await holdsOwnOnly(path)) || (await changedAt(path)) > Date.now() - olderThanMs) continue;
    await removeTree(path);
    removed.push(path);
  }
  return removed;
}

async function holdsOwnOnly(path: string): Promise<boolean> {
  return (await readdir(path)).every((name) => OWN.has(name) || isLabel(name.replace(/^chain-/, '')));
}

/** Of it and of what is two levels below: the archives that are being written. */
async function changedAt(path: string, levels = 2): Promise<number> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return 0;
  const names = found.isDirectory() && levels > 0 ? await readdir(path).catch(() => []) : [];
  return Math.max(found.mtimeMs, ...(await Promise.all(names.map((name) => changedAt(join(path, name), levels - 1)))));
}
