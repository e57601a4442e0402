import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { IDENTITY_FILE } from '../../../src/domain/storage/repository-identity.js';
import { knownRepositories } from '../../../src/records/known-repositories.js';
import { guardStorage, identityCheck } from '../../../src/records/repository-identity.js';
import type { RecordedUse } from '../../../src/records/repository-identity.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';

let root: string;
let path: string;

/** A host with a state directory of its own, as far as it opens the repository. */
function openOn(host: string, recorded?: RecordedUse) {
  const storage = openDirectory({ path, existing: true });
  const identity = identityCheck({
    name: 'local',
    called: 'repository local',
    where: path,
    accept: 'reprise storage accept local',
    storage,
    makeRoot: async () => void openDirectory({ path }),
    isOurs: true,
    known: knownRepositories(join(root, host)),
    recorded: recorded && (() => Promise.resolve(recorded)),
  });
  return { identity, storage: guardStorage(storage, identity) };
}
const unmount = () => rename(path, `${path}.disk`);
const mount = async () => {
  await rm(path, { recursive: true, force: true });
  await rename(`${path}.disk`, path);
};
const mismatch = (why: string) =>
  expect.objectContaining({ code: 'repository-mismatch', message: expect.stringContaining(why) });

beforeEach(async () => {
  root = await tempDir('identity');
  path = join(root, 'repository');
});

describe('W1: a repository carries an identity', () => {
  test('the first write makes it, once, and no listing shows it; reading makes none', async () => {
    const { storage, identity } = openOn('db1');
    await expect(storage.read('a')).rejects.toMatchObject({ code: 'not-found' });
    expect(await readdir(path)).toEqual([]);
    expect(await storage.createIfAbsent('a', '1')).toBe(true);
    const id = await identity.knownId();
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    await storage.write('b', '2');
    expect(await identity.foundId()).toBe(id);
    const keys: string[] = [];
    for await (const { key } of storage.list('')) keys.push(key);
    for await (const { key } of storage.entries?.('') ?? []) keys.push(key);
    expect(keys).toEqual(['a', 'b', 'a', 'b']);
  });

  test.each(['gone', 'empty', 'another'])(
    'what is %s in its place is neither read nor written, until it is back',
    async (instead) => {
      const { storage } = openOn('db1');
      await storage.createIfAbsent('a', '1');
      await unmount();
      if (instead !== 'gone') await mkdir(path);
      if (instead === 'another') await openOn('another').storage.createIfAbsent('c', '3');
      const why = { gone: 'no such directory', empty: 'is not there', another: 'of another repository' }[instead] ?? '';
      const before = await readdir(root, { recursive: true });
      // Also by a worker that was started meanwhile.
      for (const { storage: one } of [{ storage }, openOn('db1')]) {
        await expect(one.createIfAbsent('b', '2')).rejects.toEqual(mismatch(why));
        await expect(one.read('a')).rejects.toEqual(mismatch(why));
        await expect(one.prepare('mairie/base/wal')).rejects.toEqual(mismatch(why));
        await expect(one.list('')[Symbol.asyncIterator]().next()).rejects.toEqual(mismatch(why));
      }
      expect(await readdir(root, { recursive: true })).toEqual(before);
      await mount();
      expect((await storage.read('a')).toString()).toBe('1');
    },
  );

  test('one of an earlier version gets its marker with the next write, where its content is there', async () => {
    await openDirectory({ path }).createIfAbsent('mairie/records/00000001.json', '{}');
    const used = { id: null, used: true, folder: 'mairie/' };
    await openOn('db1', used).storage.createIfAbsent('mairie/records/00000002.json', '{}');
    expect(await readdir(path)).toContain(IDENTITY_FILE);
  });

  test('where the host knows nothing, the records know better: by the id, and in those of an earlier version by the backups', async () => {
    const first = openOn('db1');
    await first.storage.createIfAbsent('a', '1');
    const id = await first.identity.knownId();
    await unmount();
    await mkdir(path);
    const recorded = { id, used: false, folder: 'mairie/' };
    await expect(openOn('db2', recorded).storage.stat('a')).rejects.toEqual(mismatch('is not there'));
    const used = { id: null, used: true, folder: 'mairie/' };
    await expect(openOn('db2', used).storage.createIfAbsent('a', '1')).rejects.toEqual(mismatch('is not there'));
    await mount();
    const { storage, identity } = openOn('db2', recorded);
    expect((await storage.read('a')).toString()).toBe('1');
    expect(await identity.knownId()).toBe(id);
  });

  test('accepting makes what is there the right one, also for what has it open; a moved repository keeps its id', async () => {
    const { storage, identity } = openOn('db1');
    await storage.createIfAbsent('a', '1');
    const id = await identity.knownId();
    const moved = `${path}-moved`;
    await rename(path, moved);
    path = moved;
    const there = openOn('db1');
    expect((await there.storage.read('a')).toString()).toBe('1');
    await rm(path, { recursive: true });
    expect(await there.identity.accept()).not.toBe(id);
    await there.storage.createIfAbsent('b', '2');
    expect(await openOn('db1').storage.stat('b')).toMatchObject({ key: 'b' });
  });

  test('a damaged marker is refused, and not replaced', async () => {
    const { storage, identity } = openOn('db1');
    await storage.createIfAbsent('a', '1');
    await writeFile(join(path, IDENTITY_FILE), '{"id":');
    await expect(storage.read('a')).rejects.toEqual(mismatch('damaged'));
    await expect(identity.accept()).rejects.toEqual(mismatch('damaged'));
  });
});
