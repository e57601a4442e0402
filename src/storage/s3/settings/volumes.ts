import { ListMultipartUploadsCommand, ListObjectVersionsCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import type { StoredVolume } from '../../../domain/storage/storage-usage.js';
import { isRepriseError } from '../../../domain/errors.js';
import type { S3Bucket } from '../client.js';
import { bucketRoot } from '../reading.js';

const STANDARD = 'STANDARD';

/** Everything below the prefix that is paid for: every version, and the parts of unfinished uploads, page by page. */
export async function* s3Volumes(bucket: S3Bucket, signal?: AbortSignal): AsyncGenerator<StoredVolume> {
  yield* versions(bucket, signal);
  yield* unfinished(bucket, signal);
}

async function* versions(bucket: S3Bucket, signal?: AbortSignal): AsyncGenerator<StoredVolume> {
  const root = bucketRoot(bucket.options);
  let from: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } | null = {};
  while (from !== null) {
    const page: Page = await bucket.send(
      new ListObjectVersionsCommand({ Bucket: bucket.options.bucket, Prefix: root, ...from }),
      'listing what is stored',
      signal,
    );
    for (const { Key = '', Size = 0, StorageClass = STANDARD, IsLatest } of page.Versions ?? []) {
      yield {
        key: Key.slice(root.length),
        sizeBytes: Size,
        storageClass: StorageClass,
        state: IsLatest === false ? 'noncurrent' : 'current',
      };
    }
    from = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : null;
  }
}

interface Page {
  readonly Versions?: readonly { Key?: string; Size?: number; StorageClass?: string; IsLatest?: boolean }[];
  readonly IsTruncated?: boolean;
  readonly NextKeyMarker?: string;
  readonly NextVersionIdMarker?: string;
}

async function* unfinished(bucket: S3Bucket, signal?: AbortSignal): AsyncGenerator<StoredVolume> {
  const root = bucketRoot(bucket.options);
  let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | null = {};
  while (from !== null) {
    const page: Uploads = await bucket.send(
      new ListMultipartUploadsCommand({ Bucket: bucket.options.bucket, Prefix: root, ...from }),
      'listing unfinished uploads',
      signal,
    );
    for (const { Key = '', UploadId = '', StorageClass = STANDARD } of page.Uploads ?? []) {
      const sizeBytes = await bytesOf(bucket, Key, UploadId, signal);
      if (sizeBytes !== null)
        yield { key: Key.slice(root.length), sizeBytes, storageClass: StorageClass, state: 'unfinished' };
    }
    from = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : null;
  }
}

interface Uploads {
  readonly Uploads?: readonly { Key?: string; UploadId?: string; StorageClass?: string }[];
  readonly IsTruncated?: boolean;
  readonly NextKeyMarker?: string;
  readonly NextUploadIdMarker?: string;
}

/** Null for one that ended meanwhile. */
async function bytesOf(bucket: S3Bucket, Key: string, UploadId: string, signal?: AbortSignal): Promise<number | null> {
  let sum = 0;
  let marker: string | undefined;
  do {
    const page: Parts | null = await bucket
      .send(
        new ListPartsCommand({ Bucket: bucket.options.bucket, Key, UploadId, PartNumberMarker: marker }),
        'listing the parts of an upload',
        signal,
      )
      .catch((error: unknown) => {
        if (isRepriseError(error) && error.details['s3'] === 'NoSuchUpload') return null;
        throw error;
      });
    if (page === null) return null;
    for (const { Size = 0 } of page.Parts ?? []) sum += Size;
    marker = page.IsTruncated ? page.NextPartNumberMarker : undefined;
  } while (marker !== undefined);
  return sum;
}

interface Parts {
  readonly Parts?: readonly { Size?: number }[];
  readonly IsTruncated?: boolean;
  readonly NextPartNumberMarker?: string;
}
