import { AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CopyObjectCommand, CreateMultipartUploadCommand, UploadPartCopyCommand } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { RepriseError } from '../../domain/errors.js';
import type { S3Bucket } from './client.js';

/** CopyObject takes no more (Amazon S3 API reference): beyond it, parts are copied. */
export const MAX_SINGLE_COPY_BYTES = 5 * 1024 ** 3;
const MAX_PARTS = 10_000;

/** What is copied: any version of an object of any bucket of the same server. */
export interface CopySource {
  readonly bucket: string;
  /** Whole key in that bucket. */
  readonly key: string;
  readonly versionId?: string;
  readonly sizeBytes: number;
}

export interface CopyOptions {
  /** Bigger objects are copied in parts; default and most: 5 GiB. */
  readonly singleCopyBytes?: number;
  readonly signal?: AbortSignal;
}

/**
 * Copies an object on the server, by parts where it is too big for one request. `toKey` is the whole key in the target's
 * bucket. What broke off leaves nothing behind.
 */
export async function copyObject(target: S3Bucket, source: CopySource, toKey: string, { singleCopyBytes = MAX_SINGLE_COPY_BYTES, signal }: CopyOptions = {}): Promise<void> {
  const doing = `copying ${source.key}`;
  const to = { Bucket: target.options.bucket, Key: toKey };
  const CopySource = copySourceOf(source);
  if (source.sizeBytes <= Math.min(singleCopyBytes, MAX_SINGLE_COPY_BYTES)) {
    await target.send(new CopyObjectCommand({ ...to, CopySource }), doing, signal);
    return;
  }
  const partBytes = Math.max(target.options.partBytes, Math.ceil(source.sizeBytes / MAX_PARTS));
  const { UploadId } = await target.send(new CreateMultipartUploadCommand(to), doing, signal);
  if (UploadId === undefined) throw new RepriseError('storage-unreachable', `the server opened no upload: ${doing}`, 'try again');
  try {
    const starts = Array.from({ length: Math.ceil(source.sizeBytes / partBytes) }, (_, index) => index * partBytes);
    const Parts = await pMap(
      starts,
      async (start, index) => {
        const CopySourceRange = `bytes=${start}-${Math.min(start + partBytes, source.sizeBytes) - 1}`;
        const { CopyPartResult } = await target.send(new UploadPartCopyCommand({ ...to, UploadId, CopySource, CopySourceRange, PartNumber: index + 1 }), doing, signal);
        return { PartNumber: index + 1, ETag: CopyPartResult?.ETag };
      },
      { concurrency: target.options.concurrency },
    );
    await target.send(new CompleteMultipartUploadCommand({ ...to, UploadId, MultipartUpload: { Parts } }), doing, signal);
  } catch (error) {
    await target.send(new AbortMultipartUploadCommand({ ...to, UploadId }), `giving up ${source.key}`).catch(() => undefined);
    throw error;
  }
}

/** The header's form: every character but the slashes percent-encoded, as a key may hold any. */
export function copySourceOf({ bucket, key, versionId }: Pick<CopySource, 'bucket' | 'key' | 'versionId'>): string {
  const path = `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
  return versionId === undefined ? path : `${path}?versionId=${encodeURIComponent(versionId)}`;
}
