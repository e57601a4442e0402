import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import type { Readable } from 'node:stream';
import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { prefixComponents } from '../keys.js';
import type { WritableStorage, WriteStreamOptions, WrittenObject } from '../storage.js';
import { openBucket } from './client.js';
import type { ReadSecret, S3Bucket } from './client.js';
import { copyObject } from './copy.js';
import { s3Failure } from './failures.js';
import { openObjects } from './objects.js';
import type { S3Options } from './options.js';
import { bucketKey, openS3ForReading } from './reading.js';

/** A repository in a bucket, or in a folder of one. Every object appears whole or not at all, as S3 promises. */
export function openS3(options: S3Options, readSecret: ReadSecret): WritableStorage {
  const bucket = openBucket(options, readSecret);
  const Bucket = options.bucket;
  return {
    ...openS3ForReading(bucket),
    objects: openObjects(bucket),

    async createIfAbsent(key, body) {
      try {
        await bucket.send(new PutObjectCommand({ Bucket, Key: bucketKey(options, key), Body: Buffer.from(body), IfNoneMatch: '*' }), `creating ${key}`);
        return true;
      } catch (error) {
        if (!isRepriseError(error) || error.details['s3'] !== 'PreconditionFailed') throw error;
        return false;
      }
    },

    async write(key, body) {
      await bucket.send(new PutObjectCommand({ Bucket, Key: bucketKey(options, key), Body: Buffer.from(body) }), `writing ${key}`);
    },

    writeStream: (key, body, how) => writeStream(bucket, key, body, how),

    async remove(key) {
      await bucket.send(new DeleteObjectCommand({ Bucket, Key: bucketKey(options, key) }), `removing ${key}`);
    },

    publish: (fromKey, toKey) => publish(bucket, fromKey, toKey),

    // There are no folders to make: an upload that is under way is invisible.
    prepare: async (prefix) => void prefixComponents(prefix),
  };
}

async function writeStream(bucket: S3Bucket, key: string, body: Readable, { signal, report }: WriteStreamOptions = {}): Promise<WrittenObject> {
  const { options } = bucket;
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const counted = body.pipe(
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        done(null, chunk);
      },
    }),
  );
  body.once('error', (error) => counted.destroy(error));
  const upload = new Upload({
    client: await bucket.client(),
    params: { Bucket: options.bucket, Key: bucketKey(options, key), Body: counted },
    partSize: options.partBytes,
    queueSize: options.concurrency,
    leavePartsOnError: false,
  });
  const abort = (): void => void upload.abort();
  signal?.addEventListener('abort', abort, { once: true });
  upload.on('httpUploadProgress', ({ loaded }) => report?.(loaded ?? 0));
  try {
    if (signal?.aborted) throw signal.reason;
    await upload.done();
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw s3Failure(error, options, `writing ${key}`);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** S3 knows no renaming: a copy on the server, then the first name goes. */
async function publish(bucket: S3Bucket, fromKey: string, toKey: string): Promise<void> {
  const { options } = bucket;
  const facts = (key: string) =>
    bucket.send(new HeadObjectCommand({ Bucket: options.bucket, Key: bucketKey(options, key) }), `looking at ${key}`).catch((error: unknown) => {
      if (isRepriseError(error) && error.code === 'not-found') return null;
      throw error;
    });
  const [source, target] = await Promise.all([facts(fromKey), facts(toKey)]);
  if (source === null) {
    if (target !== null) return;
    throw new RepriseError('not-found', `nothing to publish as ${toKey} in the bucket ${options.bucket}`, 'make it first');
  }
  const same = target !== null && target.ContentLength === source.ContentLength && target.ETag === source.ETag;
  if (target !== null && !same) {
    throw new RepriseError('conflict', `${toKey} exists already in the bucket ${options.bucket} and is not overwritten`, 'a published backup never changes: let the operation start again under its own name');
  }
  if (target === null) {
    const from = { bucket: options.bucket, key: bucketKey(options, fromKey), sizeBytes: source.ContentLength ?? 0 };
    await copyObject(bucket, from, bucketKey(options, toKey));
  }
  await bucket.send(new DeleteObjectCommand({ Bucket: options.bucket, Key: bucketKey(options, fromKey) }), `removing ${fromKey}`);
}
