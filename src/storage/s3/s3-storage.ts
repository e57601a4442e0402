import { DeleteObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { prefixComponents } from '../keys.js';
import type { WritableStorage } from '../storage.js';
import { s3Admin } from './settings/admin.js';
import { openBucket } from './client.js';
import type { ReadSecret, S3Bucket } from './client.js';
import { coldObjects, requestThaw } from './versions/cold.js';
import { conditionalCreate, putCommand } from './upload/conditional-create.js';
import { copyObject } from './upload/copy.js';
import { removeIntermediates } from './upload/multipart-concat.js';
import { openObjects } from './objects.js';
import type { S3Options } from './options.js';
import { abandonUploads } from './upload/multipart.js';
import { bucketKey, openS3ForReading } from './reading.js';
import { uploadStream } from './upload/upload.js';
import { s3Volumes } from './settings/volumes.js';

/** A repository in a bucket, or in a folder of one. Every object appears whole or not at all, as S3 promises. */
export function openS3(options: S3Options, readSecret: ReadSecret): WritableStorage {
  const bucket = openBucket(options, readSecret);
  const Bucket = options.bucket;
  const reading = openS3ForReading(bucket);
  return {
    ...reading,
    objects: openObjects(bucket),
    admin: s3Admin(bucket),
    coldObjects: (keys) => coldObjects(bucket, keys),
    thaw: options.thaw,
    requestThaw: (keys, tier, days) => requestThaw(bucket, keys, tier, days),
    volumes: (signal) => s3Volumes(bucket, signal),

    createIfAbsent: conditionalCreate(bucket),

    async write(key, body) {
      await bucket.send(putCommand(bucket, key, Buffer.from(body)), `writing ${key}`);
    },

    writeStream: (key, body, how) => uploadStream(bucket, key, body, how),

    async abandon(key) {
      await abandonUploads(bucket, key);
      await removeIntermediates(bucket, key);
    },

    async remove(key) {
      // In a bucket with versions, even what is not there would get a marker of its deletion.
      if ((await reading.stat(key)) === null) return;
      await bucket.send(new DeleteObjectCommand({ Bucket, Key: bucketKey(options, key) }), `removing ${key}`);
    },

    publish: (fromKey, toKey) => publish(bucket, fromKey, toKey),

    // There are no folders to make: an upload that is under way is invisible.
    prepare: async (prefix) => void prefixComponents(prefix),
  };
}

/** S3 knows no renaming: a copy on the server, then the first name goes. */
async function publish(bucket: S3Bucket, fromKey: string, toKey: string): Promise<void> {
  const { options } = bucket;
  const facts = (key: string) =>
    bucket
      .send(new HeadObjectCommand({ Bucket: options.bucket, Key: bucketKey(options, key) }), `inspecting ${key}`)
      .catch((error: unknown) => {
        if (isRepriseError(error) && error.code === 'not-found') return null;
        throw error;
      });
  const [source, target] = await Promise.all([facts(fromKey), facts(toKey)]);
  if (source === null) {
    if (target !== null) return;
    throw new RepriseError(
      'not-found',
      `nothing to publish as ${toKey} in the bucket ${options.bucket}`,
      'make it first',
    );
  }
  const same = target !== null && target.ContentLength === source.ContentLength && target.ETag === source.ETag;
  if (target !== null && !same) {
    throw new RepriseError(
      'conflict',
      `${toKey} exists already in the bucket ${options.bucket} and is not overwritten`,
      'a published backup never changes: start the operation again: it uses a new name',
    );
  }
  if (target === null) {
    const from = { bucket: options.bucket, key: bucketKey(options, fromKey), sizeBytes: source.ContentLength ?? 0 };
    await copyObject(bucket, from, bucketKey(options, toKey));
  }
  await bucket.send(
    new DeleteObjectCommand({ Bucket: options.bucket, Key: bucketKey(options, fromKey) }),
    `removing ${fromKey}`,
  );
}
