import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { LostTrait } from '../../../domain/media/media.js';
import type { ObjectDescription } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { copySourceOf } from './copy.js';
import { sendDescribed } from './description.js';
import { withRetries } from '../retry-policy.js';
import type { RetryPolicy } from '../retry-policy.js';
import { bucketKey } from '../reading.js';

interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
}

interface PartRequest {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string | undefined;
  readonly PartNumber: number;
  readonly Body: Buffer;
}

/** An object that {@link MultipartUpload.complete} made. */
export interface MadeObject {
  readonly etag: string | undefined;
  /** Where the bucket keeps versions. */
  readonly versionId: string | undefined;
}

/** One multipart upload of a key: parts in any order, then all of them become the object, or none. */
export class MultipartUpload {
  private readonly parts: SentPart[] = [];
  private readonly object: { readonly Bucket: string; readonly Key: string };
  private readonly doing: string;
  private id: string | undefined;
  private needsMd5 = false;

  constructor(
    private readonly bucket: S3Bucket,
    private readonly key: string,
    private readonly retry: RetryPolicy,
    private readonly described: ObjectDescription = {},
    /** Whole key in the bucket where it is none of the repository's. */
    Key = bucketKey(bucket.options, key),
    private readonly leftOut?: (trait: LostTrait) => void,
  ) {
    this.object = { Bucket: bucket.options.bucket, Key };
    this.doing = `writing ${key}`;
  }

  get begun(): boolean {
    return this.id !== undefined;
  }

  get count(): number {
    return this.parts.length;
  }

  async begin(): Promise<void> {
    const { UploadId } = await this.retrying(() =>
      sendDescribed(
        this.described,
        (taken) =>
          this.bucket.send(
            new CreateMultipartUploadCommand({ ...taken, ...this.object }),
            this.doing,
            this.retry.signal,
          ),
        this.leftOut,
      ),
    );
    if (UploadId === undefined)
      throw new RepriseError('storage-unreachable', `the server did not start the upload: ${this.doing}`, 'try again');
    this.id = UploadId;
  }

  /** Sends a part, again and again where the storage does not answer. Its signature holds its SHA-256. */
  async send(PartNumber: number, Body: Buffer): Promise<void> {
    const { ETag } = await this.retrying(() => this.sendPart({ ...this.object, UploadId: this.id, PartNumber, Body }));
    this.parts.push({ PartNumber, ETag });
  }

  /** Under an object lock a part needs a checksum besides (Amazon S3 API reference, UploadPart): every server knows MD5, which is slow. */
  private async sendPart(part: PartRequest): Promise<{ readonly ETag?: string | undefined }> {
    const send = (more: { readonly ContentMD5?: string }) =>
      this.bucket.send(new UploadPartCommand({ ...part, ...more }), this.doing, this.retry.signal);
    if (!this.needsMd5) {
      try {
        return await send({});
      } catch (error) {
        if (!isRepriseError(error) || error.details['s3'] !== 'InvalidRequest') throw error;
        this.needsMd5 = true;
      }
    }
    return send({ ContentMD5: createHash('md5').update(part.Body).digest('base64') });
  }

  /** Copies a whole object of the bucket, whose key is given as it is there, into a part on the server. */
  async copy(PartNumber: number, key: string, etag: string | undefined): Promise<void> {
    const CopySource = copySourceOf({ bucket: this.object.Bucket, key });
    const command = () =>
      new UploadPartCopyCommand({ ...this.object, UploadId: this.id, PartNumber, CopySource, CopySourceIfMatch: etag });
    const { CopyPartResult } = await this.retrying(() => this.bucket.send(command(), this.doing, this.retry.signal));
    this.parts.push({ PartNumber, ETag: CopyPartResult?.ETag });
  }

  /** Makes the object. Its answer may be lost: then the ETag of the existing object shows that it is this one. */
  async complete(): Promise<MadeObject> {
    const parts = this.parts.toSorted((a, b) => a.PartNumber - b.PartNumber);
    const Parts = parts.map(({ PartNumber, ETag }) => ({ PartNumber, ETag }));
    try {
      const done = await this.retrying(() =>
        this.bucket.send(
          new CompleteMultipartUploadCommand({ ...this.object, UploadId: this.id, MultipartUpload: { Parts } }),
          this.doing,
          this.retry.signal,
        ),
      );
      return { etag: done.ETag, versionId: done.VersionId };
    } catch (error) {
      if (!isRepriseError(error) || error.details['s3'] !== 'NoSuchUpload') throw error;
      // The MD5 of the parts' own (Amazon S3 User Guide, "checking object integrity").
      const md5s = parts.map(({ ETag = '' }) => Buffer.from(ETag.replaceAll('"', ''), 'hex'));
      const expected = `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-${parts.length}"`;
      const there = await this.retrying(() =>
        this.bucket.send(new HeadObjectCommand(this.object), `reading ${this.key}`),
      ).catch(() => null);
      if (there?.ETag === expected) return { etag: expected, versionId: there.VersionId };
      throw error;
    }
  }

  /** Gives up what was sent. */
  async abort(): Promise<void> {
    if (this.id !== undefined) await abortUpload(this.bucket, this.object.Key, this.id);
  }

  private retrying<T>(work: () => Promise<T>): Promise<T> {
    return withRetries(work, this.retry);
  }
}

/** Aborts every upload of exactly this key, whoever began it. */
export async function abandonUploads(bucket: S3Bucket, key: string): Promise<void> {
  const Key = bucketKey(bucket.options, key);
  await abortUploads(bucket, Key, (name) => name === Key);
}

/** Aborts the uploads of those keys below a prefix that `isOurs` takes. */
export async function abortUploads(bucket: S3Bucket, Prefix: string, isOurs: (key: string) => boolean): Promise<void> {
  let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | null = {};
  while (marker !== null) {
    const page: {
      Uploads?: { Key?: string | undefined; UploadId?: string | undefined }[] | undefined;
      IsTruncated?: boolean | undefined;
      NextKeyMarker?: string | undefined;
      NextUploadIdMarker?: string | undefined;
    } = await bucket.send(
      new ListMultipartUploadsCommand({ Bucket: bucket.options.bucket, Prefix, ...marker }),
      `listing uploads of ${Prefix}`,
    );
    for (const { Key, UploadId } of page.Uploads ?? []) {
      if (Key !== undefined && UploadId !== undefined && isOurs(Key)) await abortUpload(bucket, Key, UploadId);
    }
    marker = page.IsTruncated ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : null;
  }
}

async function abortUpload(bucket: S3Bucket, Key: string, UploadId: string): Promise<void> {
  try {
    await bucket.send(
      new AbortMultipartUploadCommand({ Bucket: bucket.options.bucket, Key, UploadId }),
      `cancelling the upload of ${Key}`,
    );
  } catch (error) {
    if (!isRepriseError(error) || error.details['s3'] !== 'NoSuchUpload') throw error;
  }
}
