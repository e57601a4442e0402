import { Readable } from 'node:stream';
import { beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { mediaVerdictText } from '../../../src/domain/media/media-text.js';
import { verifyAll } from '../../../src/media/verify.js';
import type { MediaPlace } from '../../../src/media/place.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { type S3Server, startMinio } from '../../helpers/s3-servers.js';
import { tempDir } from '../../helpers/temp.js';
import { MediaBucket } from './bucket.js';

failOnLeakedProcesses();

const formats = ['jpeg', 'png', 'webp', 'gif', 'tiff'] as const;

/** A picture with enough detail that half of its file is not all of its pixels. */
function picture(format: (typeof formats)[number]): Promise<Buffer> {
  const [width, height] = [160, 120];
  const pixels = Buffer.from(Array.from({ length: width * height * 3 }, (_, n) => (n * 7919) % 251));
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .toFormat(format)
    .toBuffer();
}

describe('K4: media are read and looked at', () => {
  let server: S3Server;

  beforeAll(async () => {
    server = await startMinio();
  });

  test('whole images of every common type are sound, each cut off one is found, and what is no image but is called one', async () => {
    const bucket = new MediaBucket(server, await server.bucket('pictures'));
    const put = (Key: string, Body: Buffer) =>
      server.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body }));
    for (const format of formats) {
      const content = await picture(format);
      await put(`whole/a.${format}`, content);
      await put(`cut/a.${format}`, content.subarray(0, Math.floor(content.length * 0.6)));
    }
    await put('whole/notes.txt', Buffer.from('no image, and not called one'));
    await put('cut/page.JPG', Buffer.from('<html>not found</html>'));
    await put('cut/empty.png', Buffer.alloc(0));
    const look = (folder: string) => verifyAll(bucket.place(folder), { concurrency: 4, sample: 100 });
    expect(await look('whole/')).toMatchObject({ objects: 6, read: 6, unchecked: 0, decoded: 5, problems: 0 });
    const cut = await look('cut/');
    expect(cut.samples.map(({ key }) => key).toSorted()).toEqual(
      [...formats.map((format) => `a.${format}`), 'empty.png', 'page.JPG'].toSorted(),
    );
    expect(await verifyAll(bucket.place(''), { concurrency: 4, sample: 3 })).toMatchObject({ objects: 13, decoded: 3 });
  });

  test('what was uploaded in parts, and a file, have no checksum to compare with: they are counted', async () => {
    const bucket = new MediaBucket(server, await server.bucket('parts'));
    await bucket.put(['whole', 'gone']);
    const { storage, folder } = bucket.place('', { part_size: '5MiB' });
    await storage.writeStream('parts', Readable.from([Buffer.alloc(6 * 1024 * 1024)]));
    const verdict = await verifyAll(bucket.place(''), { concurrency: 2, sample: 0 });
    expect(verdict).toMatchObject({ objects: 3, read: 3, unchecked: 1, problems: 0 });
    expect(mediaVerdictText(verdict)).toContain('of 1 only the length was compared');
    const directory = openDirectory({ path: await tempDir('media') });
    await directory.write('a', 'content');
    expect(
      await verifyAll({ name: 'directory', storage: directory, folder }, { concurrency: 2, sample: 0 }),
    ).toMatchObject({ objects: 1, read: 1, unchecked: 1 });
  });

  test('an object whose content is not what its checksum says, or is shorter than listed, is named', async () => {
    const bucket = new MediaBucket(server, await server.bucket('damaged'));
    await bucket.put(['good', 'other', 'short']);
    const { storage, ...place } = bucket.place();
    const open: NonNullable<typeof storage.objects>['open'] = async (key) => {
      const { body, md5 } = await storage.objects!.open(key);
      const content = Buffer.concat((await body.toArray()) as Buffer[]);
      const bad =
        key === 'other'
          ? Buffer.from(content.map((byte) => byte ^ 1))
          : key === 'short'
            ? content.subarray(1)
            : content;
      return { body: Readable.from([bad]), md5 };
    };
    const damaged: MediaPlace = { ...place, storage: { ...storage, objects: { ...storage.objects!, open } } };
    expect(await verifyAll(damaged, { concurrency: 2, sample: 0 })).toMatchObject({
      ...{ objects: 3, read: 1, problems: 2 },
      samples: [
        { key: 'other', problem: 'is not what its checksum says' },
        { key: 'short', problem: expect.stringContaining('bytes and is listed with') },
      ],
    });
  });
});
