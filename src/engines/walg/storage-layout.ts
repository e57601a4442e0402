import type { ReadContext } from '../engine.js';
import { localPrefix, readEnvFile } from './env-file.js';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256OfFile } from '../shared/hash.js';
import { optionsOf } from './command.js';

/** Where WAL-G keeps its base backups, below the prefix. */
export const BACKUP_FOLDER = 'basebackups_005';
/** And the WAL. */
export const WAL_FOLDER = 'wal_005';

/** The file that WAL-G writes last, and with which a backup is in its list. */
export function sentinelName(label: string): string {
  return `${label}_backup_stop_sentinel.json`;
}

/**
 * SHA-256 (hex) over all files of a backup that WAL-G writes once, in the order of their names; undefined where they are
 * not on this host. Its metadata is left out: a hold changes it.
 */
export async function fingerprintOf(context: ReadContext, label: string): Promise<string | undefined> {
  const prefix = localPrefix(await readEnvFile(optionsOf(context), context.user));
  if (prefix === undefined) return undefined;
  const folder = join(prefix, BACKUP_FOLDER);
  const paths = await localFiles(prefix, label);
  const hash = createHash('sha256');
  for (const [index, path] of paths.entries()) {
    context.signal.throwIfAborted();
    context.report({ phase: 'read the files of the backup', done: index, total: paths.length, unit: 'steps' });
    hash.update(`${path.slice(folder.length)}\0${await sha256OfFile(path)}\n`);
  }
  return hash.digest('hex');
}

/** All files of a backup that WAL-G writes once, its sentinel first. */
export async function localFiles(prefix: string, label: string): Promise<readonly string[]> {
  const folder = join(prefix, BACKUP_FOLDER);
  const entries = await readdir(join(folder, label), { recursive: true, withFileTypes: true });
  const parts = entries
    .filter((entry) => entry.isFile() && entry.name !== 'metadata.json')
    .map((entry) => join(entry.parentPath, entry.name));
  return [join(folder, sentinelName(label)), ...parts.sort()];
}
