import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { applyAll } from '../../../src/media/apply.js';
import { summarise } from '../../../src/media/summary.js';
import type { MediaPlace } from '../../../src/media/place.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import type { WritableObjects, WriteStreamOptions } from '../../../src/storage/storage.js';
import { tempDir } from '../../helpers/temp.js';

const options = { concurrency: 1, singleCopyBytes: 1024 };

/** A bucket as far as a sync reads it: the names and contents given. */
async function bucketOf(contents: Readonly<Record<string, () => Readable>>): Promise<MediaPlace> {
  const objects = {
    place: { server: 'https://elsewhere.example', bucket: 'b', keyOf: (key: string) => key },
    async *list() {
      for (const key of Object.keys(contents).sort())
        yield { key, sizeBytes: 4, modifiedAt: '2026-11-21T00:00:00.000Z', etag: 'abc-2' };
    },
    open: async (key: string) => ({ body: contents[key]!(), md5: null }),
    describe: async () => ({ described: { ContentType: 'image/png', Metadata: { by: 'me' } }, lost: [] }),
  } as unknown as WritableObjects;
  return { name: 'bucket', storage: { ...openDirectory({ path: await tempDir('source') }), objects }, folder: '' };
}

async function sync(contents: Readonly<Record<string, () => Readable>>) {
  const path = await tempDir('target');
  const storage = openDirectory({ path });
  const told: (WriteStreamOptions | undefined)[] = [];
  const into: MediaPlace = {
    name: 'target',
    storage: {
      ...storage,
      // As a bucket of another server: to a directory nothing but content goes.
      objects: {
        ...storage,
        place: { server: 'https://here.example' },
        list: storage.list,
      } as unknown as WritableObjects,
      writeStream: (key, body, how) => (told.push(how), storage.writeStream(key, body, how)),
    },
    folder: '',
  };
  const work: MediaRun = { kind: 'sync', from: await bucketOf(contents), into, delete: false };
  return { path, told, work };
}

const good = () => Readable.from([Buffer.from('good')]);

describe('a sync whose bytes pass here', () => {
  test('type, metadata and what it is a copy of go with the content', async () => {
    const { path, told, work } = await sync({ a: good });
    await applyAll(work, options);
    expect(told).toEqual([
      expect.objectContaining({ described: { ContentType: 'image/png', Metadata: { by: 'me' } }, mark: 'abc-2' }),
    ]);
    expect(await readFile(join(path, 'a'), 'utf8')).toBe('good');
  });

  test.each([
    [
      'fails',
      () =>
        Readable.from(
          (async function* () {
            yield Buffer.from('go');
            throw new Error('socket hang up');
          })(),
        ),
    ],
    ['ends early', () => Readable.from([Buffer.from('go')])],
  ])('F10: a source that %s half way is tried again, and leaves what was there', async (_how, body) => {
    const { path, work } = await sync({ a: body });
    await writeFile(join(path, 'a'), 'older');
    await expect(applyAll(work, options)).rejects.toMatchObject({ code: 'storage-unreachable' });
    expect(await readFile(join(path, 'a'), 'utf8')).toBe('older');
  });

  test('F37: names that the target cannot hold are left out and counted, not tried for ever', async () => {
    const { path, work } = await sync({
      a: good,
      'folder/': good,
      'x//y': good,
      '../up': good,
      ['n'.repeat(256)]: good,
    });
    const { counts, unfit } = await summarise(actionsOf(work));
    expect(counts).toMatchObject({ copy: { objects: 1 }, keep: { objects: 0 } });
    expect(unfit).toEqual({ objects: 4, first: '../up' });
    expect(await applyAll(work, options)).toMatchObject({ copy: { objects: 1 } });
    expect(await readdir(path)).toEqual(['a']);
  });
});
