import { rm } from 'node:fs/promises';
import { onCleanup } from './cleanup.js';
import { makeTempDir } from './make-temp-dir.js';
import { Reaper } from './reaper.js';

let reaper: Reaper | undefined;

/** Ends and removes what this test file has started and made, where its process is killed. */
export function reaperOfFile(): Reaper {
  if (reaper !== undefined) return reaper;
  const made = new Reaper();
  reaper = made;
  // First in, last out: until all the rest is cleared up.
  onCleanup(async () => {
    made.done();
    reaper = undefined;
  });
  return made;
}

/** A directory of this test file's own, 0700, owned by `postgres` where we are root, removed at the end. */
export async function tempDir(name = 'test'): Promise<string> {
  const left = reaperOfFile();
  const path = await makeTempDir(name);
  left.directory(path);
  onCleanup(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
