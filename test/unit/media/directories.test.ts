import { chmod, chown, mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { applyAll } from '../../../src/media/apply.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import type { MediaPlace } from '../../../src/media/place.js';
import { summarise } from '../../../src/media/summary.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';

const isRoot = process.geteuid?.() === 0;
const long = new Date('2021-02-03T04:05:06.789Z');

async function file(path: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  if (isRoot) await chown(path, 65_534, 65_534);
  await chmod(path, mode);
  await utimes(path, long, long);
}
const place = (path: string): MediaPlace => ({ name: path, storage: openDirectory({ path }), folder: '' });
const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);
const ownerOf = async (path: string): Promise<number> => (await stat(path)).uid;
const options = { concurrency: 1, singleCopyBytes: 1024 };

test('W15: between directories permissions, owner and time come with a file; folders are open to whom their parent is', async () => {
  const [from, into] = [await tempDir('from'), await tempDir('into')];
  await chmod(into, 0o755);
  await file(join(from, 'album/public.jpg'), 'public', 0o644);
  await file(join(from, 'album/private.jpg'), 'private', 0o640);
  await file(join(from, 'tool'), 'setuid', 0o4755);
  await file(join(into, 'tool'), 'other', 0o600);
  const work: MediaRun = { kind: 'sync', from: place(from), into: place(into), delete: false };
  await applyAll(work, options);
  expect(await modeOf(join(into, 'album'))).toBe('755');
  expect(await modeOf(join(into, 'album/public.jpg'))).toBe('644');
  expect(await modeOf(join(into, 'album/private.jpg'))).toBe('640');
  // A right to act as somebody else is none of what describes a file.
  expect(await modeOf(join(into, 'tool'))).toBe('755');
  expect((await stat(join(into, 'album/public.jpg'))).mtime).toEqual(long);
  if (isRoot) expect(await ownerOf(join(into, 'album/public.jpg'))).toBe(65_534);
  expect((await summarise(actionsOf(work))).counts).toMatchObject({ right: { objects: 3 }, copy: { objects: 0 } });
});

test('W15: what comes from elsewhere has what the file has that it replaces, else what its folder lets everybody read', async () => {
  const into = await tempDir('into');
  await chmod(into, 0o755);
  await file(join(into, 'there'), 'old', 0o664);
  const { storage } = place(into);
  const write = (key: string) => storage.writeStream(key, Readable.from([Buffer.from('new')]), { file: null });
  await write('there');
  await write('new/one');
  expect(await modeOf(join(into, 'there'))).toBe('664');
  if (isRoot) expect(await ownerOf(join(into, 'there'))).toBe(65_534);
  expect(await modeOf(join(into, 'new'))).toBe('755');
  expect(await modeOf(join(into, 'new/one'))).toBe('644');
  await chmod(into, 0o700);
  await write('closed');
  expect(await modeOf(join(into, 'closed'))).toBe('600');
  // Backups stay for their owner alone, wherever they are.
  await chmod(into, 0o755);
  await storage.writeStream('backup/dump', Readable.from([Buffer.from('x')]));
  expect([await modeOf(join(into, 'backup')), await modeOf(join(into, 'backup/dump'))]).toEqual(['700', '600']);
});
