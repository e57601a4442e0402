import { createHash } from 'node:crypto';
import { UploadPartCommand } from '@aws-sdk/client-s3';
import { expect, it } from '@jest/globals';
import { RepriseError } from '../../../src/domain/errors.js';
import type { S3Bucket } from '../../../src/storage/s3/client.js';
import { MultipartUpload } from '../../../src/storage/s3/upload/multipart.js';

it('F14: a part that a server takes only with a checksum is sent with its MD5, as are those after it', async () => {
  const sent: (string | undefined)[] = [];
  const send = (command: unknown): Promise<unknown> => {
    if (!(command instanceof UploadPartCommand)) return Promise.resolve({ UploadId: 'id' });
    sent.push(command.input.ContentMD5);
    if (command.input.ContentMD5 !== undefined) return Promise.resolve({ ETag: '"etag"' });
    return Promise.reject(
      new RepriseError('storage-refused', 'Content-MD5 HTTP header is required', 'send it', {
        s3: 'InvalidRequest',
        status: 400,
      }),
    );
  };
  const bucket = { options: { bucket: 'locked', prefix: '' }, send } as unknown as S3Bucket;
  const upload = new MultipartUpload(bucket, 'dump', {});
  await upload.begin();
  await upload.send(1, Buffer.from('one'));
  await upload.send(2, Buffer.from('two'));
  const md5 = (text: string): string => createHash('md5').update(text).digest('base64');
  expect(sent).toEqual([undefined, md5('one'), md5('two')]);
  expect(upload.count).toBe(2);
});
