import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { StoredObject, WritableStorage } from '../../src/storage/storage.js';

/** What one kind of storage gives the suite: a fresh, empty repository for each test. */
export interface StorageUnderTest {
  readonly kind: string;
  open(): Promise<WritableStorage>;
  /** Where objects begin to be written in several parts; default 1 MiB. */
  readonly bigBytes?: number;
  /** Keys of uploads that were begun and not finished. */
  unfinished?(): Promise<readonly string[]>;
}

/** What every storage must do. A new kind is done when this is green for it. */
export function describeStorage({
  kind,
  open,
  bigBytes = 1024 ** 2,
  unfinished = async () => [],
}: StorageUnderTest): void {
  describe(`storage contract: ${kind}`, () => {
    it('gives back what was written, whole and as a stream', async () => {
      const storage = await open();
      await storage.write('a/b.json', '{"é":1}');
      expect((await storage.read('a/b.json')).toString('utf8')).toBe('{"é":1}');
      expect(await text(await storage.open('a/b.json'))).toBe('{"é":1}');
      expect(await storage.stat('a/b.json')).toMatchObject({ key: 'a/b.json', sizeBytes: 8 });
      await storage.write('a/b.json', 'shorter');
      expect((await storage.read('a/b.json')).toString('utf8')).toBe('shorter');
    });

    it('says not-found for what is not there, and null for its facts', async () => {
      const storage = await open();
      await expect(storage.read('no/such')).rejects.toMatchObject({ code: 'not-found' });
      await expect(storage.open('no/such')).rejects.toMatchObject({ code: 'not-found' });
      expect(await storage.stat('no/such')).toBeNull();
    });

    it('createIfAbsent makes a key once, for one of many at once', async () => {
      const storage = await open();
      const bodies = Array.from({ length: 16 }, (_, index) => `body ${index}`);
      const made = await Promise.all(bodies.map((body) => storage.createIfAbsent('records/00000001.json', body)));
      expect(made.filter(Boolean)).toHaveLength(1);
      expect((await storage.read('records/00000001.json')).toString()).toBe(bodies[made.indexOf(true)]);
      expect(await keys(storage.list(''))).toEqual(['records/00000001.json']);
    });

    it.each([
      ['nothing', 0],
      ['one byte less than a part', -1],
      ['exactly a part', 1],
      ['one byte more than a part', 1.0000001],
      ['many parts', 4.3],
    ])('writes a stream of %s whole, hashed, and gives it back from any offset', async (_what, parts) => {
      const storage = await open();
      const content = randomBytes(parts === -1 ? bigBytes - 1 : Math.ceil(parts * bigBytes));
      let told = 0;
      const written = await storage.writeStream('big/one', Readable.from(inPieces(content)), {
        report: (bytes) => (told = bytes),
      });
      expect(written).toMatchObject({ sizeBytes: content.length, sha256: sha256(content) });
      expect(told).toBe(content.length);
      expect(await storage.stat('big/one')).toMatchObject({ sizeBytes: content.length });
      expect(sha256(await buffer(await storage.open('big/one')))).toBe(written.sha256);
      for (const from of [1, Math.floor(content.length / 2), content.length]) {
        expect(sha256(await buffer(await storage.open('big/one', from)))).toBe(sha256(content.subarray(from)));
      }
    });

    it.each(['source', 'signal'])(
      'F3, F11: a stream cut off by its %s leaves nothing, and what was there before stays',
      async (who) => {
        const storage = await open();
        await storage.write('big/kept', 'the one before');
        const stop = new AbortController();
        const cut = async function* (): AsyncGenerator<Buffer> {
          yield* inPieces(randomBytes(2.5 * bigBytes));
          if (who === 'source') throw new Error('cut off');
          stop.abort(new Error('cut off'));
          yield Buffer.alloc(bigBytes);
        };
        for (const key of ['big/new', 'big/kept']) {
          await expect(storage.writeStream(key, Readable.from(cut()), { signal: stop.signal })).rejects.toThrow(
            'cut off',
          );
        }
        expect(await keys(storage.list(''))).toEqual(['big/kept']);
        expect((await storage.read('big/kept')).toString()).toBe('the one before');
        expect(await unfinished()).toEqual([]);
      },
    );

    it('replaces an object by a stream at once: a reader sees the old or the new one', async () => {
      const storage = await open();
      const [old, fresh] = [Buffer.alloc(1.5 * bigBytes, 'o'), Buffer.alloc(1.7 * bigBytes, 'n')];
      await storage.writeStream('big/one', Readable.from(inPieces(old)));
      let seenMeanwhile = '';
      const slowly = async function* (): AsyncGenerator<Buffer> {
        yield* inPieces(fresh.subarray(0, 1.2 * bigBytes));
        seenMeanwhile = sha256(await buffer(await storage.open('big/one')));
        yield* inPieces(fresh.subarray(1.2 * bigBytes));
      };
      await storage.writeStream('big/one', Readable.from(slowly()));
      expect(seenMeanwhile).toBe(sha256(old));
      expect(sha256(await buffer(await storage.open('big/one')))).toBe(sha256(fresh));
    });

    it('abandons nothing that is whole', async () => {
      const storage = await open();
      await storage.write('a/1', 'one');
      await storage.abandon('a/1');
      await storage.abandon('not/there');
      expect(await keys(storage.list(''))).toEqual(['a/1']);
    });

    it('lists a folder in the byte order of keys, without its neighbours', async () => {
      const storage = await open();
      const all = ['a/b/c', 'a/b.txt', 'a/b-', 'ab/x', 'a/é', 'a/😀', 'a/\uffee', 'a/Z', 'a/z/0'];
      for (const key of all) await storage.write(key, key);
      const below = all
        .filter((key) => key.startsWith('a/'))
        .sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      expect(await keys(storage.list('a'))).toEqual(below);
      expect(await keys(storage.list('a/'))).toEqual(below);
      expect(await keys(storage.list(''))).toEqual([...below, 'ab/x']);
      expect(await keys(storage.list('nowhere/'))).toEqual([]);
    });

    it('removes one object, and again without complaint', async () => {
      const storage = await open();
      await storage.write('a/1', 'one');
      await storage.write('a/2', 'two');
      await storage.remove('a/1');
      await storage.remove('a/1');
      await storage.remove('not/there');
      expect(await keys(storage.list(''))).toEqual(['a/2']);
    });

    it('publishes under a new name once, and never over another object', async () => {
      const storage = await open();
      await storage.write('in/part', 'whole');
      await storage.publish('in/part', 'out/done');
      expect((await storage.read('out/done')).toString()).toBe('whole');
      expect(await storage.stat('in/part')).toBeNull();
      await storage.publish('in/part', 'out/done');

      await storage.write('in/other', 'another');
      await expect(storage.publish('in/other', 'out/done')).rejects.toMatchObject({ code: 'conflict' });
      expect((await storage.read('out/done')).toString()).toBe('whole');
      expect((await storage.read('in/other')).toString()).toBe('another');
      await expect(storage.publish('in/none', 'out/none')).rejects.toMatchObject({ code: 'not-found' });
    });

    it.each([
      '..',
      '../x',
      'a/../../x',
      '/etc/passwd',
      'a//b',
      'a/',
      './a',
      'a/.',
      '',
      'a\\..\\b',
      'a\0b',
      'a\nb',
      'x'.repeat(256),
      '\ud800',
    ])('F37: refuses the key %j in every method', async (key) => {
      const storage = await open();
      const refused = { code: 'path-refused' };
      await expect(storage.read(key)).rejects.toMatchObject(refused);
      await expect(storage.open(key)).rejects.toMatchObject(refused);
      await expect(storage.stat(key)).rejects.toMatchObject(refused);
      await expect(storage.write(key, '')).rejects.toMatchObject(refused);
      await expect(storage.createIfAbsent(key, '')).rejects.toMatchObject(refused);
      await expect(storage.remove(key)).rejects.toMatchObject(refused);
      await expect(storage.abandon(key)).rejects.toMatchObject(refused);
      await expect(storage.writeStream(key, Readable.from([]))).rejects.toMatchObject(refused);
      await expect(storage.publish(key, 'ok')).rejects.toMatchObject(refused);
      await expect(storage.publish('ok', key)).rejects.toMatchObject(refused);
      if (storage.capabilities.localPath)
        expect(() => storage.localPath(key)).toThrow(expect.objectContaining(refused));
    });

    it.each(['..', '../x', '/etc', '/', 'a\\b', 'a\0'])('F37: refuses the folder %j', async (folder) => {
      const storage = await open();
      await expect(keys(storage.list(folder))).rejects.toMatchObject({ code: 'path-refused' });
      await expect(storage.prepare(folder)).rejects.toMatchObject({ code: 'path-refused' });
    });

    it('F35: takes names with blanks, quotes, shell and SQL syntax as they are', async () => {
      const storage = await open();
      const name = fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
        .filter((part) => !/[\p{Cc}\p{Cs}/\\]/u.test(part) && part !== '.' && part !== '..');
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(name, fc.constantFrom('-rf', '$(id)', "'; DROP TABLE x; --", '"', ' ')),
          async (part) => {
            const key = `${part}/${part}`;
            await storage.write(key, part);
            expect((await storage.read(key)).toString()).toBe(part);
            await storage.remove(key);
          },
        ),
        { numRuns: 30 },
      );
    });

    it('knows its free space or says that it cannot', async () => {
      const free = await (await open()).freeBytes();
      if (free !== null) expect(free).toBeGreaterThan(0);
    });
  });
}

export async function keys(objects: AsyncIterable<StoredObject>): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of objects) found.push(key);
  return found;
}

/** In pieces of an odd size, as a pipe gives them. */
function* inPieces(content: Buffer): Generator<Buffer> {
  for (let from = 0; from < content.length; from += 65_521) yield content.subarray(from, from + 65_521);
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
