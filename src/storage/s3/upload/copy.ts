import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { RepriseError } from '../../../domain/errors.js';
import type { LostTrait } from '../../../domain/media/media.js';
import type { ObjectDescription } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { describeObject, sendDescribed } from './description.js';
import { MAX_PARTS } from './part-plan.js';

/** CopyObject takes no more (Amazon S3 API reference): beyond it, parts are copied. */
const MAX_SINGLE_COPY_BYTES = 5 * 1024 ** 3;

/** Metadata of a copy: what it was made from. */
export const MARK = 'reprise-copied-from';

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
  /** Further metadata of the copy, besides the source's own. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Told of each part of the description that the copy is made without. */
  readonly leftOut?: (trait: LostTrait) => void;
}

/**
 * Copies an object on the server with all that describes it, by parts where it is too big for one request. `toKey` is the
 * whole key in the target's bucket. What broke off leaves nothing behind.
 */
export async function copyObject(
  target: S3Bucket,
  source: CopySource,
  toKey: string,
  { singleCopyBytes = MAX_SINGLE_COPY_BYTES, metadata, signal, leftOut }: CopyOptions = {},
): Promise<void> {
  const doing = `copying ${source.key}`;
  const to = { Bucket: target.options.bucket, Key: toKey };
  const CopySource = copySourceOf(source);
  const single = source.sizeBytes <= Math.min(singleCopyBytes, MAX_SINGLE_COPY_BYTES);
  const { etag, described: own, lost } = await describeObject(target, source, { tags: !single, signal });
  lost.forEach((trait) => leftOut?.(trait));
  const described = metadata === undefined ? own : { ...own, Metadata: { ...own.Metadata, ...metadata } };
  if (single) {
    const send = (taken: ObjectDescription) =>
      target.send(
        new CopyObjectCommand({
          ...to,
          CopySource,
          ...taken,
          MetadataDirective: metadata === undefined ? undefined : 'REPLACE',
        }),
        doing,
        signal,
      );
    // Type and metadata come by themselves where there are no more, and tags always; access and class never do.
    await sendDescribed({ ...described, TaggingDirective: 'COPY' }, send, leftOut);
    return;
  }
  const partBytes = Math.max(target.options.partBytes, Math.ceil(source.sizeBytes / MAX_PARTS));
  const { UploadId } = await sendDescribed(
    described,
    (taken) => target.send(new CreateMultipartUploadCommand({ ...to, ...taken }), doing, signal),
    leftOut,
  );
  if (UploadId === undefined)
    throw new RepriseError('storage-unreachable', `the server did not start the upload: ${doing}`, 'try again');
  try {
    const starts = Array.from({ length: Math.ceil(source.sizeBytes / partBytes) }, (_, index) => index * partBytes);
    const Parts = await pMap(
      starts,
      async (start, index) => {
        const CopySourceRange = `bytes=${start}-${Math.min(start + partBytes, source.sizeBytes) - 1}`;
        // A source replaced meanwhile would give a copy that is half of each.
        const { CopyPartResult } = await target.send(
          new UploadPartCopyCommand({
            ...to,
            UploadId,
            CopySource,
            CopySourceRange,
            CopySourceIfMatch: etag,
            PartNumber: index + 1,
          }),
          doing,
          signal,
        );
        return { PartNumber: index + 1, ETag: CopyPartResult?.ETag };
      },
      { concurrency: target.options.concurrency },
    );
    await target.send(
      new CompleteMultipartUploadCommand({ ...to, UploadId, MultipartUpload: { Parts } }),
      doing,
      signal,
    );
  } catch (error) {
    await target
      .send(new AbortMultipartUploadCommand({ ...to, UploadId }), `giving up ${source.key}`)
      .catch(() => undefined);
    throw error;
  }
}

/** The header's form: every character but the slashes percent-encoded, as a key may hold any. */
export function copySourceOf({ bucket, key, versionId }: Pick<CopySource, 'bucket' | 'key' | 'versionId'>): string {
  const path = `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
  return versionId === undefined ? path : `${path}?versionId=${encodeURIComponent(versionId)}`;
}
