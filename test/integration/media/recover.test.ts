import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { applyAll } from '../../../src/media/apply.js';
import { summarise } from '../../../src/media/summary.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import { collect } from '../../helpers/collect.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { type S3Server, startMinio, startMoto } from '../../helpers/s3-servers.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

const GIB = 1024 ** 3;
const plan = (work: MediaRun) => summarise(actionsOf(work));
const apply = (work: MediaRun, more: { singleCopyBytes?: number; after?: string } = {}) =>
  applyAll(work, { concurrency: 8, singleCopyBytes: 5 * GIB, ...more });
const numbers = async (work: MediaRun) =>
  Object.fromEntries(Object.entries((await plan(work)).counts).map(([name, { objects }]) => [name, objects]));

/** Names that other people gave: nothing of them is a path, an option or a separator here. */
const strange = [
  'été/ü ü.jpg',
  '-rf',
  'a+b%2Fc',
  '../up',
  'a//b',
  'new\nline',
  'quote\'"<&>',
  '𝒳/last',
  '\u{FFFD}/before',
  ' blank ',
];

describe.each([
  ['minio', startMinio],
  ['moto, 25 a page', () => startMoto({ MOTO_S3_DEFAULT_MAX_KEYS: '25' })],
] as const)('media on %s', (_kind, start) => {
  let server: S3Server;
  let count = 0;
  const made = async (): Promise<MediaBucket> =>
    new MediaBucket(server, await server.bucket(`media-${++count}`, { versioned: true }));

  beforeAll(async () => {
    server = await start();
  });

  test('K3: deleted, overwritten and later objects of a folder are as they were; what is right is not touched', async () => {
    const bucket = await made();
    const keys = ['kept', 'deleted', 'overwritten', 'both', 'gone'].map((key) => `photos/${key}`);
    await bucket.put([...keys, 'other/deleted', 'photosdeleted']);
    await bucket.instant();
    await bucket.delete(['photos/gone']);
    const at = await bucket.instant();
    await bucket.delete(['photos/deleted', 'other/deleted', 'photosdeleted']);
    await bucket.put(['photos/overwritten', 'photos/both'], () => 'damaged');
    await bucket.delete(['photos/both']);
    await bucket.put(['photos/later', 'photos/gone']);
    const [keep, remove] = (['keep', 'remove'] as const).map((later): MediaRun => ({
      kind: 'restore',
      place: bucket.place('photos/'),
      at,
      later,
    }));

    expect(await numbers(keep!)).toEqual({ right: 1, undelete: 1, overwrite: 1, copy: 1, keep: 2, remove: 0 });
    expect(await apply(keep!)).toMatchObject({
      undelete: { objects: 1 },
      overwrite: { objects: 1 },
      copy: { objects: 1, bytes: 'content of photos/both'.length },
    });
    const whole = Object.fromEntries(
      keys.filter((key) => key !== 'photos/gone').map((key) => [key, `content of ${key}`]),
    );
    expect(await bucket.contents('photos/')).toEqual({
      ...whole,
      'photos/later': 'content of photos/later',
      'photos/gone': 'content of photos/gone',
    });

    expect(await numbers(remove!)).toEqual({ right: 4, undelete: 0, overwrite: 0, copy: 0, keep: 0, remove: 2 });
    await apply(remove!);
    expect(await bucket.contents('photos/')).toEqual(whole);
    expect(await numbers(remove!)).toMatchObject({ right: 6, remove: 0, overwrite: 0 });
    expect(await bucket.content('other/deleted')).toBeNull();
    expect(await bucket.content('photosdeleted')).toBeNull();
    const head = await server.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'photos/both' }));
    expect(head.ContentType).toBe('image/x-test');
  });

  test('K3: the state of then in another bucket and another folder; what is right there stays, twice copies nothing', async () => {
    const [from, into] = [await made(), new MediaBucket(server, await server.bucket(`plain-${++count}`))];
    await from.put(['a/1', 'a/2', 'a/3']);
    const at = await from.instant();
    await from.delete(['a/1']);
    await from.put(['a/2', 'a/4'], () => 'later');
    await into.put(['x/3'], () => 'content of a/3');
    await into.put(['x/other'], () => 'its own');
    const work: MediaRun = { kind: 'restore-into', from: from.place('a/'), into: into.place('x/'), at };
    expect(await numbers(work)).toMatchObject({ copy: 2, right: 1, keep: 1, overwrite: 0 });
    await apply(work);
    expect(await into.contents()).toEqual({
      'x/1': 'content of a/1',
      'x/2': 'content of a/2',
      'x/3': 'content of a/3',
      'x/other': 'its own',
    });
    expect(await numbers(work)).toMatchObject({ copy: 0, overwrite: 0, right: 3, keep: 1 });
    expect((await from.contents())['a/2']).toBe('later');
  });

  test('F35, F37: objects of any name come back, in place and elsewhere', async () => {
    const bucket = await made();
    // What this server does not take at all is none of ours.
    const taken = (
      await Promise.all(
        strange.map((key) =>
          bucket.put([key]).then(
            () => key,
            () => null,
          ),
        ),
      )
    ).filter((key) => key !== null);
    expect(taken.length).toBeGreaterThan(6);
    const at = await bucket.instant();
    await bucket.delete(taken.slice(0, 3));
    await bucket.put(taken.slice(3), () => 'damaged');
    const work: MediaRun = { kind: 'restore', place: bucket.place(), at, later: 'remove' };
    expect(await numbers(work)).toMatchObject({ undelete: 3, overwrite: taken.length - 3, remove: 0 });
    await apply(work);
    const whole = Object.fromEntries(taken.map((key) => [key, `content of ${key}`]));
    expect(await bucket.contents()).toEqual(whole);
    const other = new MediaBucket(server, await server.bucket(`strange-${++count}`));
    await apply({ kind: 'restore-into', from: bucket.place(), into: other.place(), at });
    expect(await other.contents()).toEqual(whole);
  });

  test('F40: beyond a page, and from a key on, each object comes once', async () => {
    const bucket = await made();
    const keys = Array.from({ length: 40 }, (_, n) => `k${String(n).padStart(5, '0')}`);
    await bucket.put(keys);
    const at = await bucket.instant();
    await bucket.delete(keys.slice(0, 20));
    const work: MediaRun = { kind: 'restore', place: bucket.place(), at, later: 'keep' };
    expect(await numbers(work)).toMatchObject({ undelete: 20, right: 20 });
    const rest = await collect(actionsOf(work, 'k00014'));
    expect(rest.map(({ key }) => key)).toEqual(keys.slice(15));
    expect(await apply(work, { after: 'k00014' })).toMatchObject({ undelete: { objects: 5 } });
    expect(await numbers(work)).toMatchObject({ undelete: 15, right: 25 });
  });

  test('objects over the threshold are copied in parts, keep type and metadata, and are known as right afterwards', async () => {
    const bucket = await made();
    await bucket.put(['big'], () => 'x'.repeat(11 * 1024 * 1024));
    const at = await bucket.instant();
    await bucket.put(['big'], () => 'damaged');
    const work: MediaRun = { kind: 'restore', place: bucket.place('', { part_size: '5MiB' }), at, later: 'keep' };
    expect(await apply(work, { singleCopyBytes: 1024 })).toMatchObject({
      overwrite: { objects: 1, bytes: 11 * 1024 * 1024 },
    });
    const head = await server.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key: 'big' }));
    expect(head).toMatchObject({ ContentType: 'image/x-test', ContentLength: 11 * 1024 * 1024 });
    expect(head.ETag).toContain('-3');
    expect(await bucket.content('big')).toBe('x'.repeat(11 * 1024 * 1024));
    expect(await numbers(work)).toMatchObject({ right: 1, overwrite: 0 });
  });

  test('F14: one object that is refused is named, and all others come back', async () => {
    const bucket = await made();
    await bucket.put(['a', 'b', 'c']);
    const at = await bucket.instant();
    await bucket.put(['a', 'b', 'c'], () => 'damaged');
    const place = bucket.place();
    const objects = {
      ...place.storage.objects!,
      copyFrom: (...args: Parameters<NonNullable<typeof place.storage.objects>['copyFrom']>) =>
        place.storage.objects!.copyFrom(
          args[1] === 'b' ? { ...args[0], versionId: '00000000-0000-0000-0000-000000000000' } : args[0],
          args[1],
          args[2],
        ),
    };
    const work: MediaRun = {
      kind: 'restore',
      place: { ...place, storage: { ...place.storage, objects } },
      at,
      later: 'keep',
    };
    await expect(apply(work)).rejects.toMatchObject({ code: 'partly-done', message: expect.stringContaining('"b"') });
    expect(await bucket.contents()).toEqual({ a: 'content of a', b: 'damaged', c: 'content of c' });
  });
});
