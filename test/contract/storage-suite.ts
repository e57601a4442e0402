import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { StoredObject, WritableStorage } from '../../src/storage/storage.js';

/** What one kind of storage gives the suite: a fresh, empty repository for each test. */
export interface StorageUnderTest {
  readonly kind: string;
  open(): Promise<WritableStorage>;
}

/** What every storage must do. A new kind is done when this is green for it. */
export function describeStorage({ kind, open }: StorageUnderTest): void {
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

    it('lists a folder in the byte order of keys, without its neighbours', async () => {
      const storage = await open();
      const all = ['a/b/c', 'a/b.txt', 'a/b-', 'ab/x', 'a/é', 'a/😀', 'a/\uffee', 'a/Z', 'a/z/0'];
      for (const key of all) await storage.write(key, key);
      const below = all.filter((key) => key.startsWith('a/')).sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
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

    it.each(['..', '../x', 'a/../../x', '/etc/passwd', 'a//b', 'a/', './a', 'a/.', '', 'a\\..\\b', 'a\0b', 'a\nb', 'x'.repeat(256), '\ud800'])(
      'F37: refuses the key %j in every method',
      async (key) => {
        const storage = await open();
        const refused = { code: 'path-refused' };
        await expect(storage.read(key)).rejects.toMatchObject(refused);
        await expect(storage.open(key)).rejects.toMatchObject(refused);
        await expect(storage.stat(key)).rejects.toMatchObject(refused);
        await expect(storage.write(key, '')).rejects.toMatchObject(refused);
        await expect(storage.createIfAbsent(key, '')).rejects.toMatchObject(refused);
        await expect(storage.remove(key)).rejects.toMatchObject(refused);
        await expect(storage.publish(key, 'ok')).rejects.toMatchObject(refused);
        await expect(storage.publish('ok', key)).rejects.toMatchObject(refused);
        if (storage.capabilities.localPath) expect(() => storage.localPath(key)).toThrow(expect.objectContaining(refused));
      },
    );

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
        fc.asyncProperty(fc.oneof(name, fc.constantFrom('-rf', '$(id)', "'; DROP TABLE x; --", '"', ' ')), async (part) => {
          const key = `${part}/${part}`;
          await storage.write(key, part);
          expect((await storage.read(key)).toString()).toBe(part);
          await storage.remove(key);
        }),
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

