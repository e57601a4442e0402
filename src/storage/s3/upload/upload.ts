import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ObjectDescription, WriteStreamOptions, WrittenObject } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { MARK } from './copy.js';
import { sendDescribed } from './description.js';
import { putCommand } from './conditional-create.js';
import { ConcatenatedUpload } from './multipart-concat.js';
import { partPlan } from './part-plan.js';
import type { PartPlan } from './part-plan.js';
import { withRetries } from '../retry-policy.js';
import type { RetryPolicy } from '../retry-policy.js';

/**
 * Uploads a stream of any size in parts, several at once, in constant memory; nobody sees the object before all parts
 * have arrived. A part that fails is sent again, with fresh credentials where the old ones have expired: the upload
 * stays the same. An upload that fails for good is aborted.
 */
export async function uploadStream(
  bucket: S3Bucket,
  key: string,
  body: Readable,
  { described: own = {}, mark, ...how }: WriteStreamOptions = {},
  plan = partPlan(bucket.options),
): Promise<WrittenObject> {
  const described = mark === undefined ? own : { ...own, Metadata: { ...own.Metadata, [MARK]: mark } };
  return new StreamUpload(bucket, key, described, how, plan).run(body);
}

class StreamUpload {
  private readonly broken = new AbortController();
  /** Aborted by the caller, or when a part has failed for good. */
  private readonly signal: AbortSignal;
  private readonly retry: RetryPolicy;
  private readonly upload: ConcatenatedUpload;
  private readonly buffers: PieceBuffers;
  private readonly underWay = new Set<Promise<void>>();
  private readonly hash = createHash('sha256');
  private pieces = 0;
  private sentBytes = 0;
  private sizeBytes = 0;

  constructor(
    private readonly bucket: S3Bucket,
    private readonly key: string,
    private readonly described: ObjectDescription,
    private readonly how: Pick<WriteStreamOptions, 'signal' | 'report' | 'leftOut'>,
    plan: PartPlan,
  ) {
    const { signal, report } = how;
    this.signal = signal === undefined ? this.broken.signal : AbortSignal.any([signal, this.broken.signal]);
    this.retry = { signal: this.signal, waiting: (why) => report?.(this.sentBytes, why) };
    this.upload = new ConcatenatedUpload(bucket, key, this.retry, described, plan, how.leftOut);
    this.buffers = new PieceBuffers(plan.pieceBytes, plan.atOnce);
  }

  async run(body: Readable): Promise<WrittenObject> {
    // While nobody reads, an error of the stream would end the worker; whoever reads next hears of it.
    body.on('error', () => undefined);
    // A producer that sends nothing for hours would delay the failure for as long.
    this.signal.addEventListener('abort', () => body.destroy(this.signal.reason as Error), { once: true });
    try {
      this.signal.throwIfAborted();
      const last = await this.sendFullPieces(body);
      this.signal.throwIfAborted();
      const written = { sizeBytes: this.sizeBytes, sha256: this.hash.digest('hex') };
      const made = this.upload.begun ? await this.complete(last) : await this.sendWhole(last);
      return { ...written, ...made };
    } catch (error) {
      this.broken.abort(error);
      await Promise.all(this.underWay);
      await this.upload.abort().catch(() => undefined);
      throw this.how.signal?.aborted ? this.how.signal.reason : this.broken.signal.reason;
    } finally {
      body.destroy();
    }
  }

  /** Reads to the end; what does not fill a piece is returned. */
  private async sendFullPieces(body: Readable): Promise<Buffer> {
    let piece = await this.buffers.take(this.underWay);
    let filled = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      this.signal.throwIfAborted();
      this.hash.update(chunk);
      this.sizeBytes += chunk.length;
      for (let from = 0; from < chunk.length;) {
        if (filled === piece.length) {
          await this.start(piece);
          piece = await this.buffers.take(this.underWay);
          this.signal.throwIfAborted();
          filled = 0;
        }
        const copied = chunk.copy(piece, filled, from);
        filled += copied;
        from += copied;
      }
    }
    return piece.subarray(0, filled);
  }

  /** Begins to send a piece, beside those that are under way. */
  private async start(piece: Buffer): Promise<void> {
    if (!this.upload.begun) await this.upload.begin();
    const sending: Promise<void> = this.upload
      .send(++this.pieces, piece)
      .then(() => {
        this.buffers.give(piece);
        this.sentBytes += piece.length;
        this.how.report?.(this.sentBytes);
      })
      .catch((error: unknown) => this.broken.abort(error))
      .finally(() => this.underWay.delete(sending));
    this.underWay.add(sending);
  }

  private async complete(last: Buffer): Promise<Pick<WrittenObject, 'parts' | 'etag'>> {
    await this.start(last);
    await Promise.all(this.underWay);
    this.signal.throwIfAborted();
    const { etag } = await this.upload.complete();
    return { parts: this.upload.count, etag };
  }

  /** An object that fits into one piece needs one request only. */
  private async sendWhole(body: Buffer): Promise<Pick<WrittenObject, 'parts' | 'etag'>> {
    const { bucket, key, described } = this;
    const { ETag } = await withRetries(
      () =>
        sendDescribed(
          described,
          (taken) => bucket.send(putCommand(bucket, key, body, { described: taken }), `writing ${key}`, this.signal),
          this.how.leftOut,
        ),
      this.retry,
    );
    this.how.report?.(this.sizeBytes);
    return { parts: 1, etag: ETag };
  }
}

/** Memory for the pieces of one upload: `most` buffers of one size, used again instead of waiting for the garbage collector. */
class PieceBuffers {
  private readonly free: Buffer[] = [];
  private made = 0;

  constructor(
    private readonly bytes: number,
    private readonly most: number,
  ) {}

  /** A buffer; waits until one of `underWay` has given one back. */
  async take(underWay: ReadonlySet<Promise<void>>): Promise<Buffer> {
    while (this.free.length === 0 && this.made === this.most && underWay.size > 0) await Promise.race(underWay);
    const free = this.free.pop();
    if (free !== undefined) return free;
    this.made += 1;
    return Buffer.allocUnsafeSlow(this.bytes);
  }

  give(buffer: Buffer): void {
    this.free.push(buffer);
  }
}
