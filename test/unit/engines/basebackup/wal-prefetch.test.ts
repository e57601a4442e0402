import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { beforeEach, expect, it } from '@jest/globals';
import { withWalPrefetch } from '../../../../src/activities/backup/wal-prefetch.js';
import { prefetchWal } from '../../../../src/engines/basebackup/wal/wal-prefetch.js';
import type { PhysicalRestore, ReadContext } from '../../../../src/engines/engine.js';
import { resolveSecret } from '../../../../src/process/exec/secrets.js';
import { openStorage } from '../../../../src/storage/open-storage.js';
import type { WritableStorage } from '../../../../src/storage/storage.js';
import { tempDir } from '../../../helpers/temp.js';

const BYTES = 64;
const segment = (number: number, timeline = 1): string =>
  `${String(timeline).padStart(8, '0')}${number.toString(16).toUpperCase().padStart(16, '0')}`;

let storage: WritableStorage;
let context: ReadContext;
let dataDir: string;
let directory: string;

beforeEach(async () => {
  storage = openStorage(
    { name: 'local', type: 'directory', options: { path: await tempDir('repo') } },
    { secret: resolveSecret },
  );
  context = {
    cluster: { name: 'mairie' },
    policy: { name: 'base' },
    storage,
    user: null,
    signal: new AbortController().signal,
  } as unknown as ReadContext;
  dataDir = await tempDir('recovering');
  directory = join(dataDir, 'reprise_wal');
  for (let number = 1; number <= 60; number++) await archive(segment(number));
});

/** The smallest file with a segment's header. */
async function archive(name: string, content = Buffer.alloc(BYTES)): Promise<void> {
  content.writeUInt16LE(0xd110, 0);
  content.writeUInt16LE(2, 2);
  content.writeUInt32LE(BYTES, 32);
  await storage.write(`mairie/base/wal/${name}.gz`, gzipSync(content));
}
const ask = (name: string): Promise<void> => writeFile(join(directory, 'asked'), `${name}\n`);
const there = async (): Promise<string[]> =>
  (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name)).sort();
async function comes(name: string): Promise<void> {
  while (!(await there()).includes(name)) await sleep(10);
}

it('K2: brings what the server asks for and the next 32, of every timeline, and no more', async () => {
  await archive(segment(12, 2));
  const prefetch = await prefetchWal(context, dataDir);
  const stop = new AbortController();
  const copying = prefetch.copy(stop.signal);
  expect(await there()).toEqual([]);
  await ask(segment(11));
  await comes(segment(42));
  await sleep(300);
  expect(await there()).toEqual(
    [...Array.from({ length: 32 }, (_, index) => segment(index + 11)), segment(12, 2)].sort(),
  );
  await ask(segment(30));
  await comes(segment(60));
  await copying;
  await prefetch.close();
  const listed = (await readFile(join(directory, 'listed'), 'utf8')).split('\n').filter((name) => name !== '');
  expect(listed.sort()).toEqual(await there());
});

it('F15: a damaged segment counts only where the server needs it', async () => {
  await storage.write(`mairie/base/wal/${segment(5)}.gz`, 'no gzip');
  const feeding = { prefetchWal } as unknown as PhysicalRestore;
  const before = await withWalPrefetch(feeding, context, dataDir, async () => {
    await ask(segment(1));
    await comes(segment(30));
    return 'paused';
  });
  expect(before).toBe('paused');
  // What the server waits for when it is told, it does not wait for any longer.
  expect(await readFile(join(directory, 'listed'), 'utf8')).not.toContain(segment(5));
  const needed = withWalPrefetch(feeding, context, dataDir, async (signal) => {
    await ask(segment(5));
    for (;;) {
      signal.throwIfAborted();
      await sleep(10);
    }
  });
  await expect(needed).rejects.toMatchObject({
    code: 'wal-gap',
    message: expect.stringContaining(segment(5)) as unknown,
  });
});
