import { randomBytes } from 'node:crypto';
import { DeleteObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { isRepriseError } from '../../../domain/errors.js';
import { incompletePrefix } from '../../keys.js';
import type { LostTrait } from '../../../domain/media/media.js';
import type { ObjectDescription } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { abortUploads, MultipartUpload } from './multipart.js';
import type { MadeObject } from './multipart.js';
import { placeOfPiece } from './part-plan.js';
import type { PartPlan } from './part-plan.js';
import type { RetryPolicy } from '../retry-policy.js';
import { bucketKey } from '../reading.js';

/** An object of its own, whose pieces become one part of the object together. */
interface Intermediate {
  readonly part: number;
  readonly key: string;
  readonly upload: MultipartUpload;
  readonly begun: Promise<void>;
  sent: number;
}

/**
 * An object of any size from pieces that fit in memory, in the order of a {@link PartPlan}. The pieces that are too many
 * for parts of their own are first concatenated in intermediate objects; the server copies each of these into one big
 * part, and it is removed.
 */
export class ConcatenatedUpload {
  private readonly object: MultipartUpload;
  private readonly mark = randomBytes(4).toString('hex');
  private open: Intermediate | null = null;
  private readonly moves: Promise<void>[] = [];

  constructor(
    private readonly bucket: S3Bucket,
    private readonly key: string,
    private readonly retry: RetryPolicy,
    described: ObjectDescription,
    private readonly plan: Pick<PartPlan, 'direct' | 'perPart'>,
    leftOut?: (trait: LostTrait) => void,
  ) {
    this.object = new MultipartUpload(bucket, key, retry, described, undefined, leftOut);
  }

  get begun(): boolean {
    return this.object.begun;
  }

  /** Parts of the object. */
  get count(): number {
    return this.object.count;
  }

  begin(): Promise<void> {
    return this.object.begin();
  }

  /** Sends a piece, counted from 1. They are given in order, and may be under way beside each other. */
  async send(piece: number, body: Buffer): Promise<void> {
    const { part, place } = placeOfPiece(piece, this.plan);
    if (place === null) return this.object.send(part, body);
    const intermediate = this.open?.part === part ? this.open : this.beginIntermediate(part);
    await intermediate.begun;
    await intermediate.upload.send(place, body);
    intermediate.sent += 1;
    if (intermediate.sent === this.plan.perPart) this.move(intermediate);
  }

  async complete(): Promise<MadeObject> {
    if (this.open !== null && this.open.sent < this.plan.perPart) this.move(this.open);
    await Promise.all(this.moves);
    return this.object.complete();
  }

  /** Gives up what was sent. Nothing may be under way. */
  async abort(): Promise<void> {
    await Promise.allSettled(this.moves);
    await this.object.abort();
    if (this.open !== null) await removeIntermediates(this.bucket, this.key, this.mark);
  }

  private beginIntermediate(part: number): Intermediate {
    const key = `${incompleteKey(this.bucket, this.key)}${this.mark}.${part}`;
    const upload = new MultipartUpload(this.bucket, this.key, this.retry, {}, key);
    // Where the server copies more slowly than it receives, the sender waits: two intermediates at most are pending.
    const begun = Promise.resolve(this.moves.at(-2)).then(() => upload.begin());
    begun.catch(() => undefined);
    return (this.open = { part, key, upload, begun, sent: 0 });
  }

  private move({ part, key, upload }: Intermediate): void {
    const moved = async (): Promise<void> => {
      const { etag, versionId } = await upload.complete();
      await this.object.copy(part, key, etag);
      await removeObject(this.bucket, key, versionId);
    };
    const move = moved();
    move.catch(() => undefined);
    this.moves.push(move);
  }
}

/** Removes the intermediate objects that were left for this key; of one writer where its mark is given. */
export async function removeIntermediates(bucket: S3Bucket, key: string, mark?: string): Promise<void> {
  const { bucket: Bucket } = bucket.options;
  const prefix = incompleteKey(bucket, key);
  const isOurs = (name: string): boolean =>
    name.startsWith(prefix) &&
    /^[0-9a-f]{8}\.\d+$/.test(name.slice(prefix.length)) &&
    (mark === undefined || name.startsWith(`${prefix}${mark}.`));
  await abortUploads(bucket, prefix, isOurs);
  let token: string | undefined;
  do {
    const page = await bucket.send(
      new ListObjectsV2Command({ Bucket, Prefix: prefix, ContinuationToken: token }),
      `listing what is left of ${key}`,
    );
    for (const { Key = '' } of page.Contents ?? []) if (isOurs(Key)) await removeObject(bucket, Key, undefined);
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

/** What keys of intermediate objects begin with; no listing of a repository shows them. */
function incompleteKey(bucket: S3Bucket, key: string): string {
  const whole = bucketKey(bucket.options, key);
  const name = whole.lastIndexOf('/') + 1;
  return `${whole.slice(0, name)}${incompletePrefix}${whole.slice(name)}.`;
}

/** Where versions are kept, exactly this version, which would be paid for twice. One that may not be removed gets a marker at least. */
async function removeObject(bucket: S3Bucket, Key: string, VersionId: string | undefined): Promise<void> {
  const remove = (version: string | undefined) =>
    bucket.send(new DeleteObjectCommand({ Bucket: bucket.options.bucket, Key, VersionId: version }), `removing ${Key}`);
  await remove(VersionId).catch((error: unknown) => {
    if (VersionId === undefined || !isRepriseError(error) || error.code !== 'storage-refused') throw error;
    return remove(undefined);
  });
}
