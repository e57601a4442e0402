import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { ConnectionConfig } from '../../domain/config.js';
import { withClient } from '../connection/with-client.js';

/**
 * Bytes of old data, a directory or a database; null where they cannot be read, or where there are so many files that they are not
 * counted by `until` (as `performance.now()` tells).
 */
export async function sizeOfOldData(
  where: string,
  connection: ConnectionConfig,
  until: number,
): Promise<number | null> {
  if (isAbsolute(where)) return sizeOfTree(where, until).catch(() => null);
  return withClient(connection, connection.maintenanceDatabase, async (client) => {
    const { rows } = await client.query<{ size: string }>(
      'SELECT pg_catalog.pg_database_size(oid)::text AS size FROM pg_catalog.pg_database WHERE datname = $1',
      [where],
    );
    return rows[0] === undefined ? null : Number(rows[0].size);
  }).catch(() => null);
}

/** What the files take on disk; links are not followed: where they lead to is counted by itself. */
async function sizeOfTree(root: string, until: number): Promise<number | null> {
  let bytes = 0;
  const directories = [root];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    if (performance.now() > until) return null;
    const entries: Dirent[] = await readdir(directory, { withFileTypes: true });
    for (const entry of entries) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) directories.push(path);
      else bytes += (await lstat(path)).blocks * 512;
    }
  }
  return bytes;
}
