import type { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import type { ObjectFacts, ObjectPlace, WritableObjects } from '../storage.js';
import type { S3Bucket } from './client.js';
import { isUnreadable } from './versions/cold.js';
import { MARK, copyObject } from './upload/copy.js';
import { describeObject } from './upload/description.js';
import { oldVersionDays } from './settings/lifecycle.js';
import type { S3Options } from './options.js';
import { probeVersionTimes } from './settings/probe.js';
import { missingRights } from './settings/rights.js';
import { bucketRoot } from './reading.js';
import { decodeKey, listVersions, pagesAhead } from './versions/versions.js';

/** Objects of any name in a bucket, below the repository's prefix, with their versions. */
export function openObjects(bucket: S3Bucket): WritableObjects {
  const { options } = bucket;
  const Bucket = options.bucket;
  const place = placeOf(options);
  return {
    place,
    async versioning() {
      const { Status } = await bucket.send(new GetBucketVersioningCommand({ Bucket }), 'reading versioning');
      return Status === 'Enabled' ? 'enabled' : Status === 'Suspended' ? 'suspended' : 'off';
    },
    oldVersionDays: (folder) => oldVersionDays(bucket, place.keyOf(folder)),
    versionTimes: () => probeVersionTimes(bucket),
    list: (folder, after) => listObjects(bucket, place.keyOf(folder), after),
    versions: (folder, after) => listVersions(bucket, place.keyOf(folder), after),
    async open(key, VersionId) {
      const {
        Body,
        ETag = '',
        ServerSideEncryption = 'AES256',
        SSECustomerAlgorithm,
      } = await bucket.send(new GetObjectCommand({ Bucket, Key: place.keyOf(key), VersionId }), `reading ${key}`);
      const etag = ETag.replaceAll('"', '');
      // Of parts, and under other encryption than the server's own, it is no MD5 (Amazon S3 API reference, Object).
      const isMd5 =
        /^[0-9a-f]{32}$/.test(etag) && ServerSideEncryption === 'AES256' && SSECustomerAlgorithm === undefined;
      return { body: Body as Readable, md5: isMd5 ? etag : null };
    },
    describe: (key, versionId, how) =>
      describeObject(bucket, { bucket: Bucket, key: place.keyOf(key), versionId }, how),
    missingRights: (folder, side) => missingRights(bucket, place.keyOf(folder), side),
    async copiedFrom(key) {
      const { Metadata } = await bucket.send(
        new HeadObjectCommand({ Bucket, Key: place.keyOf(key) }),
        `inspecting ${key}`,
      );
      return Metadata?.[MARK] ?? null;
    },
    async copyFrom({ from, key, versionId, sizeBytes, mark }, toKey, how = {}) {
      const source = {
        bucket: from.bucket,
        key: from.keyOf(key),
        sizeBytes,
        versionId,
      };
      await copyObject(bucket, source, place.keyOf(toKey), {
        ...how,
        metadata: mark === undefined ? undefined : { [MARK]: mark },
      });
    },
    async removeMarker(key, VersionId) {
      await bucket.send(new DeleteObjectCommand({ Bucket, Key: place.keyOf(key), VersionId }), `undeleting ${key}`);
    },
    async remove(key) {
      await bucket.send(new DeleteObjectCommand({ Bucket, Key: place.keyOf(key) }), `removing ${key}`);
    },
  };
}

function placeOf(options: S3Options): ObjectPlace {
  const root = bucketRoot(options);
  return { server: options.endpoint ?? 'aws', bucket: options.bucket, keyOf: (key) => `${root}${key}` };
}

async function* listObjects(bucket: S3Bucket, Prefix: string, after?: string): AsyncGenerator<ObjectFacts> {
  const pages = pagesAhead(async (ContinuationToken: string | undefined) => {
    const isFirst = ContinuationToken === undefined;
    const page = await bucket.send(
      new ListObjectsV2Command({
        Bucket: bucket.options.bucket,
        Prefix,
        ContinuationToken,
        EncodingType: 'url',
        OptionalObjectAttributes: ['RestoreStatus'],
        StartAfter: isFirst && after !== undefined ? `${Prefix}${after}` : undefined,
      }),
      `listing ${Prefix}`,
    );
    return { page, next: page.IsTruncated ? page.NextContinuationToken : undefined };
  });
  for await (const { Contents = [], EncodingType } of pages) {
    for (const entry of Contents) {
      const { Key = '', Size = 0, LastModified = new Date(0), ETag = '' } = entry;
      const key = decodeKey(Key, EncodingType).slice(Prefix.length);
      if (key !== '')
        yield {
          key,
          sizeBytes: Size,
          modifiedAt: LastModified.toISOString(),
          etag: ETag.replaceAll('"', ''),
          ...(isUnreadable(entry) ? { cold: true as const } : {}),
        };
    }
  }
}
