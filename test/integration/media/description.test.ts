import {
  CopyObjectCommand,
  GetObjectAclCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { repositoryFindings } from '../../../src/doctor/repository.js';
import type { LostTrait } from '../../../src/domain/media/media.js';
import { lostTexts } from '../../../src/domain/media/media-text.js';
import { applyAll } from '../../../src/media/apply.js';
import { type MediaRun, actionsOf } from '../../../src/media/carry-out.js';
import { LostCounter } from '../../../src/media/lost.js';
import type { MediaPlace } from '../../../src/media/place.js';
import { summarise } from '../../../src/media/summary.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMeddler } from '../../helpers/meddler.js';
import { type S3Server, startMoto } from '../../helpers/s3-servers.js';
import { tempDir } from '../../helpers/temp.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

const MIB = 1024 ** 2;
const ALL = 'http://acs.amazonaws.com/groups/global/AllUsers';
const expires = new Date('2031-05-06T07:08:09Z');

let server: S3Server;
let count = 0;
/** Requests that the proxy in front of the server refuses, as a policy of the key would. */
let refused: (method: string, url: string, headers: Readonly<Record<string, unknown>>) => boolean = () => false;
let proxy: string;

const made = async (on = server): Promise<MediaBucket> =>
  new MediaBucket(on, await on.bucket(`described-${++count}`, { versioned: true }));
const refusable = (bucket: MediaBucket, folder = ''): MediaPlace => ({
  name: bucket.name,
  storage: openS3(readS3Options(bucket.server.options(bucket.name, { endpoint: proxy })), resolveSecret),
  folder,
});

async function apply(work: MediaRun, singleCopyBytes = 5 * 1024 * MIB): Promise<LostTrait[]> {
  const lost: LostTrait[] = [];
  await applyAll(work, { concurrency: 4, singleCopyBytes, leftOut: (trait) => lost.push(trait) });
  return lost.toSorted();
}
async function planned(work: MediaRun, missing: readonly LostTrait[] = []) {
  const counter = new LostCounter(work, missing);
  const { counts } = await summarise(counter.over(actionsOf(work)));
  return { counts, lost: counter.found.counts };
}

/** A photograph with everything that may describe one. */
async function putDescribed({ server: { client }, name: Bucket }: MediaBucket, Key: string, Body = 'photo') {
  await client.send(
    new PutObjectCommand({
      ...{
        Bucket,
        Key,
        Body,
        ACL: 'public-read',
        StorageClass: 'STANDARD_IA',
        Tagging: 'album=town%20%2B%20co%3D1%2Ffr&year=2026',
      },
      ...{
        CacheControl: 'max-age=60',
        ContentDisposition: 'inline',
        ContentEncoding: 'identity',
        ContentLanguage: 'fr',
      },
      ...{
        ContentType: 'image/jpeg',
        Expires: expires,
        Metadata: { owner: 'mairie' },
        WebsiteRedirectLocation: '/new',
      },
    }),
  );
}

/** What a reader, a bill and a policy see of it. */
async function descriptionOf({ server: { client }, name: Bucket }: MediaBucket, Key: string) {
  const [head, acl, tags] = await Promise.all([
    client.send(new HeadObjectCommand({ Bucket, Key })),
    client.send(new GetObjectAclCommand({ Bucket, Key })),
    client.send(new GetObjectTaggingCommand({ Bucket, Key })),
  ]);
  const { 'reprise-copied-from': _mark, ...metadata } = head.Metadata ?? {};
  return {
    class: head.StorageClass ?? 'STANDARD',
    type: head.ContentType,
    headers: [head.CacheControl, head.ContentDisposition, head.ContentEncoding, head.ContentLanguage],
    expires: head.ExpiresString && new Date(head.ExpiresString).toISOString(),
    redirect: head.WebsiteRedirectLocation,
    metadata,
    grants: (acl.Grants ?? [])
      .map(({ Grantee, Permission }) => `${Grantee?.URI ?? Grantee?.ID} ${Permission}`)
      .toSorted(),
    tags: (tags.TagSet ?? []).map(({ Key: name, Value }) => `${name}=${Value}`).toSorted(),
  };
}

beforeAll(async () => {
  server = await startMoto();
  proxy = await startMeddler(server.port, ({ method = '', url = '', headers }) =>
    refused(method, url, headers) ? { status: 403 } : null,
  );
});
afterEach(() => {
  refused = () => false;
});

describe('W15: what describes an object comes with it', () => {
  test('W15: on one server, in one request and in parts, in place and elsewhere', async () => {
    const bucket = await made();
    await putDescribed(bucket, 'a/small');
    await putDescribed(bucket, 'a/large', 'x'.repeat(6 * MIB));
    await bucket.put(['a/plain']);
    const before = await descriptionOf(bucket, 'a/small');
    expect(before).toMatchObject({ class: 'STANDARD_IA', tags: ['album=town + co=1/fr', 'year=2026'] });
    expect(before.grants).toContain(`${ALL} READ`);
    const plain = await descriptionOf(bucket, 'a/plain');
    const at = await bucket.instant();
    await bucket.put(['a/small', 'a/large', 'a/plain'], () => 'damaged');
    const work: MediaRun = { kind: 'restore', place: bucket.place('a/'), at, later: 'keep' };
    expect(await planned(work)).toMatchObject({ counts: { overwrite: { objects: 3 } }, lost: {} });
    expect(await apply(work, MIB)).toEqual([]);
    expect(await descriptionOf(bucket, 'a/small')).toEqual(before);
    expect(await descriptionOf(bucket, 'a/large')).toEqual(before);
    expect(await descriptionOf(bucket, 'a/plain')).toEqual(plain);
    const into = await made();
    expect(await apply({ kind: 'sync', from: bucket.place('a/'), into: into.place(), delete: false }, MIB)).toEqual([]);
    expect(await descriptionOf(into, 'small')).toEqual(before);
    expect(await descriptionOf(into, 'large')).toEqual(before);
  });

  test('W15: to another server; the rights of single accounts, which it does not know, are counted', async () => {
    const [bucket, into] = [await made(), await made(await startMoto())];
    await putDescribed(bucket, 'small');
    await putDescribed(bucket, 'large', 'x'.repeat(9 * MIB));
    await bucket.server.client.send(
      new PutObjectCommand({ Bucket: bucket.name, Key: 'shared', Body: 'x', GrantRead: 'id="a-friend"' }),
    );
    const work: MediaRun = {
      kind: 'sync',
      from: bucket.place(),
      into: into.place('', { part_size: '5MiB' }),
      delete: false,
    };
    expect((await planned(work)).lost).toEqual({ grants: 1 });
    expect(await apply(work)).toEqual(['grants']);
    const { grants: _grants, ...before } = await descriptionOf(bucket, 'small');
    for (const key of ['small', 'large']) {
      const there = await descriptionOf(into, key);
      expect(there).toMatchObject(before);
      expect(there.grants).toContain(`${ALL} READ`);
    }
    const kept = { kind: 'sync', from: bucket.place(), into: (await made()).place(), delete: false } as const;
    expect(await apply(kept)).toEqual([]);
  });

  test('W15: a directory keeps none of it, and the plan counts that', async () => {
    const bucket = await made();
    await putDescribed(bucket, 'small');
    await bucket.put(['plain']);
    const into = { name: 'folder', storage: openDirectory({ path: await tempDir('media') }), folder: '' };
    expect((await planned({ kind: 'sync', from: bucket.place(), into, delete: false })).lost).toEqual({ metadata: 2 });
  });

  test('W15: a right on the ACL or the tags that the key lacks is told, and the content comes all the same', async () => {
    const bucket = await made();
    await putDescribed(bucket, 'small');
    const { grants: _grants, tags: _tags, ...before } = await descriptionOf(bucket, 'small');
    for (const [lost, lacks] of [
      ['acl', (_method: string, url: string) => /[?&]acl\b/.test(url)],
      ['acl', (_method: string, _url: string, headers: object) => 'x-amz-acl' in headers],
      [
        'tags',
        (method: string, _url: string, headers: Readonly<Record<string, unknown>>) =>
          method === 'PUT' && headers['x-amz-tagging-directive'] === 'COPY',
      ],
    ] as const) {
      const into = await made();
      refused = lacks;
      expect(await apply({ kind: 'sync', from: refusable(bucket), into: refusable(into), delete: false })).toContain(
        lost,
      );
      refused = () => false;
      const after = await descriptionOf(into, 'small');
      expect(after).toMatchObject({ ...before, ...(lost === 'tags' ? { tags: [] } : {}) });
      if (lost === 'acl') expect(after.grants).not.toContain(`${ALL} READ`);
    }
  });
});

describe('W16: a key without a right of its own', () => {
  const collected = async (all: AsyncIterable<unknown>): Promise<void> => {
    for await (const _one of all) break;
  };
  const isVersion = (method: string, url: string): boolean => method === 'DELETE' && url.includes('versionId=');

  test('W16: without s3:DeleteObjectVersion deleted objects are copied on top of their markers, and the right is named', async () => {
    const bucket = await made();
    await putDescribed(bucket, 'a/photo');
    const before = await descriptionOf(bucket, 'a/photo');
    const at = await bucket.instant();
    await bucket.delete(['a/photo']);
    const place = refusable(bucket, 'a/');
    expect(await place.storage.objects?.missingRights('a/', 'writing')).toEqual([]);
    refused = isVersion;
    expect(await place.storage.objects?.missingRights('a/', 'writing')).toEqual(['s3:DeleteObjectVersion']);
    // Nothing was made or deleted by trying.
    expect(await bucket.contents('a/')).toEqual({});
    expect(await place.storage.objects?.versionTimes()).toMatchObject({ times: 'written' });
    const work: MediaRun = { kind: 'restore', place, at, later: 'keep' };
    expect((await planned(work)).counts).toMatchObject({ undelete: { objects: 1 } });
    await apply(work);
    expect(await bucket.contents()).toEqual({ 'a/photo': 'photo' });
    expect(await descriptionOf(bucket, 'a/photo')).toEqual(before);
    expect((await planned(work)).counts).toMatchObject({ undelete: { objects: 0 }, right: { objects: 1 } });
  });

  test.each([
    [
      's3:GetObjectAcl',
      'reading',
      (method: string, url: string) => method === 'GET' && /[?&]acl\b/.test(url) && !url.includes('versionId'),
    ],
    [
      's3:GetObjectVersionTagging',
      'reading',
      (method: string, url: string) => method === 'GET' && url.includes('tagging') && url.includes('versionId'),
    ],
    ['s3:PutObjectAcl', 'writing', (method: string, url: string) => method === 'PUT' && /[?&]acl\b/.test(url)],
    ['s3:PutObjectTagging', 'writing', (method: string, url: string) => method === 'PUT' && url.includes('tagging')],
  ] as const)('W16: %s is named before anything is changed', async (right, side, lacks) => {
    const { storage } = refusable(await made());
    refused = lacks;
    expect(await storage.objects?.missingRights('', side)).toEqual([right]);
  });

  const objectOf = (url: string): boolean => url.includes('/a/') || url.includes('photo');
  type Lacks = [string, (method: string, url: string) => boolean, (place: MediaPlace) => Promise<unknown>];
  test.each([
    ['s3:GetBucketVersioning', (_, url) => url.includes('versioning'), ({ storage }) => storage.objects!.versioning()],
    [
      's3:GetBucketVersioning',
      (_, url) => url.includes('versioning'),
      ({ storage }) => storage.objects!.versionTimes(),
    ],
    ['s3:ListBucketVersions', (_, url) => /[?&]versions\b/.test(url), ({ storage }) => storage.objects!.versionTimes()],
    ['s3:PutObject', (method) => method === 'PUT', ({ storage }) => storage.objects!.versionTimes()],
    ['s3:PutObject', (method) => method === 'PUT', ({ storage }) => storage.createIfAbsent('marker', '')],
    ['s3:DeleteObject', (method) => method === 'DELETE', ({ storage }) => storage.remove('a/photo')],
    ['s3:ListBucket', (_, url) => url.includes('list-type'), ({ storage }) => collected(storage.objects!.list(''))],
    [
      's3:GetObject',
      (method, url) => method === 'GET' && objectOf(url),
      ({ storage }) => storage.objects!.open('a/photo'),
    ],
    [
      's3:GetObject',
      (method, url) => method === 'HEAD' && objectOf(url),
      ({ storage }) => storage.objects!.copiedFrom('a/photo'),
    ],
    [
      's3:ListBucketVersions',
      (_, url) => /[?&]versions\b/.test(url),
      (place) => planned({ kind: 'restore', place, at: Date.now(), later: 'keep' }),
    ],
  ] satisfies Lacks[])('W16: a request that needs %s says so', async (right, lacks, ask) => {
    const bucket = await made();
    await bucket.put(['a/photo']);
    refused = lacks;
    await expect(ask(refusable(bucket))).rejects.toMatchObject({
      code: 'storage-refused',
      hint: expect.stringContaining(right) as unknown,
    });
  });

  test('W16: doctor names the right that a repository lacks', async () => {
    const { name } = await made();
    for (const [method, right] of [
      ['PUT', 's3:PutObject'],
      ['DELETE', 's3:DeleteObject'],
    ] as const) {
      refused = (asked) => asked === method;
      const options = readS3Options(server.options(name, { endpoint: proxy }));
      const found = await repositoryFindings({ name: 'offsite', type: 's3', options } as never, {
        stateDir: await tempDir('state'),
      });
      expect(found).toContainEqual(
        expect.objectContaining({ level: 'problem', fix: expect.stringContaining(right) as unknown }),
      );
    }
  });

  test('W16: an object under a lock comes back in place with it; copies have none, and the plan says how many', async () => {
    const bucket = new MediaBucket(server, await server.bucket(`locked-${++count}`, { locked: true }));
    const send = (Key: string, lock: object) =>
      server.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body: Key, ...lock }));
    await send('held', { ObjectLockLegalHoldStatus: 'ON' });
    await send('kept', { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date(Date.now() + 86_400_000) });
    await send('free', {});
    const at = await bucket.instant();
    await bucket.delete(['held', 'kept', 'free']);
    const into = await made();
    const beside: MediaRun = { kind: 'restore-into', from: bucket.place(), into: into.place(), at };
    const { lost } = await planned(beside);
    expect(lost).toEqual({ lock: 2 });
    expect(lostTexts(lost)).toEqual([
      '2 objects are copied without their object lock (retention, legal hold): copies have what the target bucket gives every new object',
    ]);
    expect(await apply(beside)).toEqual(['lock', 'lock']);
    expect(await into.contents()).toEqual({ held: 'held', kept: 'kept', free: 'free' });

    const inPlace: MediaRun = { kind: 'restore', place: bucket.place(), at, later: 'keep' };
    expect((await planned(inPlace)).lost).toEqual({});
    expect(await apply(inPlace)).toEqual([]);
    const head = (Key: string) => server.client.send(new HeadObjectCommand({ Bucket: bucket.name, Key }));
    expect(await head('kept')).toMatchObject({ ObjectLockMode: 'GOVERNANCE' });
    expect(await head('held')).toMatchObject({ ObjectLockLegalHoldStatus: 'ON' });
  });

  test('W16: what is refused in the middle names the right that the request needs', async () => {
    const bucket = await made();
    await bucket.put(['photo']);
    const { objects } = refusable(bucket).storage;
    refused = (_method, url) => url.includes('versions');
    await expect(collected(objects!.versions(''))).rejects.toMatchObject({
      hint: expect.stringContaining('s3:ListBucketVersions') as unknown,
    });
    refused = isVersion;
    await expect(objects!.removeMarker('photo', 'null')).rejects.toMatchObject({
      hint: expect.stringContaining('s3:DeleteObjectVersion') as unknown,
    });
    await server.client.send(
      new CopyObjectCommand({ Bucket: bucket.name, Key: 'b', CopySource: `${bucket.name}/photo` }),
    );
  });
});
