import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, it } from '@jest/globals';
import { leftClusterFindings } from '../../src/doctor/left-behind.js';
import { sealEvidence } from '../../src/records/evidence/chain.js';
import { resolveSecret } from '../../src/process/exec/secrets.js';
import { openBucket } from '../../src/storage/s3/client.js';
import { readS3Options } from '../../src/storage/s3/options.js';
import { openS3 } from '../../src/storage/s3/s3-storage.js';
import { uploadStream } from '../../src/storage/s3/upload/upload.js';
import type { WritableStorage } from '../../src/storage/storage.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { keys } from './storage-suite.js';

/** What is asked of every S3 server besides the contract. */
export function s3Cases(server: () => S3Server): void {
  const open = (bucket: string, more: Readonly<Record<string, unknown>>): WritableStorage =>
    openS3(readS3Options(server().options(bucket, more)), resolveSecret);

  it('F11: abandons uploads of exactly one key, whoever left them', async () => {
    const storage = open('storage', { prefix: 'abandon' });
    for (const Key of ['abandon/a', 'abandon/a', 'abandon/ab'])
      await server().client.send(new CreateMultipartUploadCommand({ Bucket: 'storage', Key }));
    const left = async (key: string): Promise<number> => {
      const { Uploads } = await server().client.send(
        new ListMultipartUploadsCommand({ Bucket: 'storage', Prefix: key }),
      );
      return (Uploads ?? []).filter(({ Key }) => Key === key).length;
    };
    expect(await left('abandon/a')).toBe(2);
    await storage.abandon('a');
    expect([await left('abandon/a'), await left('abandon/ab')]).toEqual([0, 1]);
    await storage.abandon('ab');
    expect(await left('abandon/ab')).toBe(0);
  });

  it('O6: the folders at the top are listed without what is in them, and doctor names a cluster that was renamed', async () => {
    const storage = open('storage', { prefix: 'tops' });
    for (const key of ['mairie/records/1.json', 'mairie/dump/a', 'school/records/1.json', 'photos/a/b', 'plain'])
      await storage.write(key, 'x');
    expect(await storage.topFolders?.()).toEqual(['mairie', 'photos', 'school']);
    const options = readS3Options(server().options('storage', { prefix: 'tops' }));
    const found = await leftClusterFindings(
      { file: 'reprise.yml', clusters: { school: {} } } as never,
      { name: 'offsite', type: 's3', options } as never,
    );
    expect(found.map(({ check }) => check)).toEqual(['repository/offsite/clusters/mairie']);
  });

  it('F14: writes into a bucket with object lock, whose objects need a checksum', async () => {
    await server().bucket('locked', { locked: true });
    const storage = open('locked', { part_size: '5MiB' });
    await storage.write('a', 'one');
    expect(await storage.createIfAbsent('b', 'two')).toBe(true);
    expect(await storage.createIfAbsent('b', 'three')).toBe(false);
    expect(await storage.writeStream('c', Readable.from([Buffer.alloc(11 * 1024 ** 2)]))).toMatchObject({ parts: 3 });
    expect(await keys(storage.list(''))).toEqual(['a', 'b', 'c']);
  });

  it('V4: evidence is held by an object lock of its own, also where the bucket has no rule; without object lock it is kept all the same', async () => {
    const unsealed = {
      about: {
        ...{ cluster: 'mairie', drill: '20261101-020000-aaaa', verdict: 'pass' as const },
        ...{ startedAt: '2026-11-01T02:00:00.000Z', finishedAt: '2026-11-01T03:00:00.000Z' },
      },
      files: new Map([['report.md', '# Drill\n']]),
      signer: null,
    };
    const lock = { object_lock: { mode: 'governance', days: 30 } };
    await server().bucket('archive', { locked: true });
    const sealed = await sealEvidence(open('archive', lock), unsealed);
    const days = (Date.parse(sealed.lockedUntil ?? '') - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(30);
    expect(await sealEvidence(open('archive', lock), unsealed)).toEqual(sealed);
    const { Versions = [] } = await server().client.send(
      new ListObjectVersionsCommand({ Bucket: 'archive', Prefix: 'mairie/evidence/' }),
    );
    expect(Versions.map(({ Key }) => Key?.slice('mairie/evidence/'.length)).sort()).toEqual([
      ...['20261101-020000-aaaa/SHA256SUMS', '20261101-020000-aaaa/manifest.json', '20261101-020000-aaaa/report.md'],
      'chain/00000001.json',
    ]);
    for (const { Key, VersionId } of Versions)
      await expect(
        server().client.send(new DeleteObjectCommand({ Bucket: 'archive', Key, VersionId })),
      ).rejects.toThrow();
    const unlocked = await sealEvidence(open('storage', { ...lock, prefix: 'unlocked' }), unsealed);
    expect(unlocked).toMatchObject({ sequence: 1, signed: false });
    expect(unlocked.lockedUntil).toBeUndefined();
  });

  it('a bucket that is missing, or misspelt, is told as such, and what to look at', async () => {
    const storage = open('buckett', {});
    const refused = {
      code: 'storage-refused',
      message: expect.stringContaining('NoSuchBucket') as unknown,
      hint: expect.stringMatching(/check bucket and endpoint .* reprise\.yml.* reprise storage plan/) as unknown,
    };
    await expect(storage.read('a')).rejects.toMatchObject(refused);
    await expect(storage.open('a')).rejects.toMatchObject(refused);
    await expect(keys(storage.list(''))).rejects.toMatchObject(refused);
    // An object that is missing is another matter.
    await expect(open('storage', {}).open('nowhere')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('reprise backup list') as unknown,
    });
  });

  describe('B1: a stream of more pieces than an object has parts', () => {
    const MIB = 1024 ** 2;
    const small = { pieceBytes: 5 * MIB, atOnce: 3, direct: 2, perPart: 2 };
    const names = async (Prefix: string): Promise<unknown[]> => {
      const { Versions = [] } = await server().client.send(
        new ListObjectVersionsCommand({ Bucket: 'storage', Prefix }),
      );
      const { Uploads = [] } = await server().client.send(
        new ListMultipartUploadsCommand({ Bucket: 'storage', Prefix }),
      );
      return [...Versions, ...Uploads].map(({ Key }) => Key);
    };
    async function* chunks(content: Buffer, fail = false): AsyncGenerator<Buffer> {
      for (let from = 0; from < content.length; from += MIB)
        yield await Promise.resolve(content.subarray(from, from + MIB));
      if (fail) throw new Error('the producer failed');
    }

    it('gathers the later ones on the server, and leaves nothing of that behind', async () => {
      const options = readS3Options(server().options('storage', { prefix: 'gathered' }));
      const content = randomBytes(37 * MIB);
      const written = await uploadStream(
        openBucket(options, resolveSecret),
        'dump',
        Readable.from(chunks(content), { objectMode: false }),
        {},
        small,
      );
      expect(written).toMatchObject({
        sizeBytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
        parts: 5,
      });
      const read = await buffer(await openS3(options, resolveSecret).open('dump'));
      expect(read.equals(content)).toBe(true);
      expect(await names('gathered/')).toEqual(['gathered/dump']);
    });

    it('leaves nothing behind where the producer fails', async () => {
      const options = readS3Options(server().options('storage', { prefix: 'broken' }));
      const body = Readable.from(chunks(randomBytes(28 * MIB), true), { objectMode: false });
      await expect(uploadStream(openBucket(options, resolveSecret), 'dump', body, {}, small)).rejects.toThrow(
        'the producer failed',
      );
      expect(await names('broken/')).toEqual([]);
    });

    it('F11: what one that was killed had gathered is in no list, and abandoned with its key', async () => {
      const storage = open('storage', { prefix: 'killed' });
      const left = 'killed/a/.reprise-tmp-dump.0123abcd.4881';
      const others = ['killed/a/.reprise-tmp-dump.2.0123abcd.4881', 'killed/a/dump.json'];
      for (const Key of [left, ...others])
        await server().client.send(new PutObjectCommand({ Bucket: 'storage', Key, Body: 'x' }));
      expect(await keys(storage.list('a'))).toEqual(['a/dump.json']);
      await storage.abandon('a/dump');
      expect(
        (
          await server().client.send(new ListObjectVersionsCommand({ Bucket: 'storage', Prefix: 'killed/' }))
        ).Versions?.filter(({ IsLatest }) => IsLatest).map(({ Key }) => Key),
      ).toEqual(others);
    });
  });
}
