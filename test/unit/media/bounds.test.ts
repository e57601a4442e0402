import { describe, expect, test } from '@jest/globals';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { applyAll } from '../../../src/media/apply.js';
import { summarise } from '../../../src/media/summary.js';
import type { MediaPlace } from '../../../src/media/place.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';

const names = Array.from({ length: 8 }, (_, n) => `k${n}`);
const options = { concurrency: 2, singleCopyBytes: 1024 };

const place = (path: string): MediaPlace => ({ name: path, storage: openDirectory({ path }), folder: '' });

async function filled(keys: readonly string[]): Promise<string> {
  const path = await tempDir('media');
  for (const key of keys) await writeFile(join(path, key), key);
  return path;
}

describe('F31: what is changed stays within what was approved', () => {
  async function planned() {
    const [source, target] = [await filled(names.slice(2)), await filled(names)];
    const work: MediaRun = { kind: 'sync', from: place(source), into: place(target), delete: true };
    const { counts } = await summarise(actionsOf(work));
    return { source, target, work, bounds: { scannedAt: new Date(Date.now() + 60_000).toISOString(), most: counts } };
  }

  test('a source that has become empty (its mount dropped) removes no more than was planned', async () => {
    const { source, target, work, bounds } = await planned();
    expect(bounds.most).toMatchObject({ remove: { objects: 2 } });
    for (const key of names.slice(2)) await rm(join(source, key));
    await expect(
      applyAll(work, {
        ...options,
        after: 'k1',
        bounds: { ...bounds, most: { ...bounds.most, remove: { objects: 0, bytes: 0 } } },
      }),
    ).rejects.toMatchObject({ code: 'plan-stale' });
    expect((await readdir(target)).filter((name) => names.includes(name))).toEqual(names);
    await expect(applyAll(work, { ...options, bounds })).rejects.toMatchObject({
      code: 'plan-stale',
      message: expect.stringContaining('remove'),
    });
    expect((await readdir(target)).filter((name) => names.includes(name)).length).toBeGreaterThanOrEqual(
      names.length - 2,
    );
  });

  test('what was written after the plan was made is left as it is', async () => {
    const { target, work, bounds } = await planned();
    const before = new Date(Date.now() - 60_000).toISOString();
    expect(await applyAll(work, { ...options, bounds: { ...bounds, scannedAt: before } })).toMatchObject({
      remove: { objects: 0 },
    });
    expect((await readdir(target)).filter((name) => names.includes(name))).toEqual(names);
    expect(await applyAll(work, { ...options, bounds })).toMatchObject({ remove: { objects: 2 } });
    expect((await readdir(target)).filter((name) => names.includes(name))).toEqual(names.slice(2));
  });
});
