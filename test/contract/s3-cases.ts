import { Readable } from 'node:stream';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { expect, it } from '@jest/globals';
import { resolveSecret } from '../../src/process/secrets.js';
import { readS3Options } from '../../src/storage/s3/options.js';
import { openS3 } from '../../src/storage/s3/s3-storage.js';
import type { WritableStorage } from '../../src/storage/storage.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { keys } from './storage-suite.js';

/** What is asked of every S3 server besides the contract. */
export function s3Cases(server: () => S3Server): void {
  const open = (bucket: string, more: Readonly<Record<string, unknown>>): WritableStorage => openS3(readS3Options(server().options(bucket, more)), resolveSecret);

  it('F11: abandons uploads of exactly one key, whoever left them', async () => {
    const storage = open('storage', { prefix: 'abandon' });
    for (const Key of ['abandon/a', 'abandon/a', 'abandon/ab']) await server().client.send(new CreateMultipartUploadCommand({ Bucket: 'storage', Key }));
    const left = async (key: string): Promise<number> => {
      const { Uploads } = await server().client.send(new ListMultipartUploadsCommand({ Bucket: 'storage', Prefix: key }));
      return (Uploads ?? []).filter(({ Key }) => Key === key).length;
    };
    expect(await left('abandon/a')).toBe(2);
    await storage.abandon('a');
    expect([await left('abandon/a'), await left('abandon/ab')]).toEqual([0, 1]);
    await storage.abandon('ab');
    expect(await left('abandon/ab')).toBe(0);
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

  it('a bucket that is missing, or misspelt, is told as such, and what to look at', async () => {
    const storage = open('buckett', {});
    const refused = { code: 'storage-refused', message: expect.stringContaining('NoSuchBucket') as unknown, hint: expect.stringMatching(/check bucket and endpoint .* reprise\.yml.* reprise storage plan/) as unknown };
    await expect(storage.read('a')).rejects.toMatchObject(refused);
    await expect(storage.open('a')).rejects.toMatchObject(refused);
    await expect(keys(storage.list(''))).rejects.toMatchObject(refused);
    // An object that is missing is another matter.
    await expect(open('storage', {}).open('nowhere')).rejects.toMatchObject({ code: 'not-found', hint: expect.stringContaining('reprise backup list') as unknown });
  });
}
