import { rm } from 'node:fs/promises';
import { onCleanup } from './cleanup.js';
import { makeTempDir } from './make-temp-dir.js';

/** A directory of this test file's own, 0700, owned by `postgres` where we are root, removed at the end. */
export async function tempDir(name = 'test'): Promise<string> {
  const path = await makeTempDir(name);
  onCleanup(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
