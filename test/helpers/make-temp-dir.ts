import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { giveToPostgres } from './postgres-user.js';

/** A new directory, 0700, owned by `postgres` where we are root. Whoever makes it removes it. */
export async function makeTempDir(name: string): Promise<string> {
  // Short: the path of a Unix socket has room for 107 characters only.
  const path = await mkdtemp(join(tmpdir(), `reprise-${name}-`));
  await giveToPostgres(path);
  return path;
}
