import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { WriteStreamOptions, WrittenObject } from '../storage.js';
import type { S3Bucket } from './client.js';
import { MARK } from './copy.js';
import { putCommand } from './conditional-create.js';
import { ConcatenatedUpload } from './multipart-concat.js';
import { PartBuffers } from './part-buffers.js';
import { partPlan } from './part-plan.js';
import { withRetries } from './retry-policy.js';

/**
 * Uploads a stream of any size in parts, some of them under way at once, in a memory that its size has no part in; nobody sees it before all of them are
 * there. A part that fails is sent again, with fresh credentials where the old ones have expired: the upload stays the
 * same (F10, F12). One that breaks off for good is aborted.
 */
export async function uploadStream(
  bucket: S3Bucket,
  key: string,
  body: Readable,
  { signal, report, described: own = {}, mark }: WriteStreamOptions = {},
  plan = partPlan(bucket.options),
): Promise<WrittenObject> {
  const broken = new AbortController();
  const either = signal === undefined ? broken.signal : AbortSignal.any([signal, broken.signal]);
  let sentBytes = 0;
  const patience = { signal: either, waiting: (why: string) => report?.(sentBytes, why) };
  const described = mark === undefined ? own : { ...own, Metadata: { ...own.Metadata, [MARK]: mark } };
  const upload = new ConcatenatedUpload(bucket, key, patience, described, plan);
  const buffers = new PartBuffers(plan.pieceBytes, plan.atOnce);
  const underWay = new Set<Promise<void>>();
  const hash = createHash('sha256');
  let started = 0;
  const start = async (part: Buffer): Promise<void> => {
    if (!upload.begun) await upload.begin();
    const sending: Promise<void> = upload
      .send(++started, part)
      .then(() => {
        buffers.give(part);
        sentBytes += part.length;
        report?.(sentBytes);
      })
      .catch((error: unknown) => broken.abort(error))
      .finally(() => underWay.delete(sending));
    underWay.add(sending);
  };
  let sizeBytes = 0;
  // A producer that says nothing for hours would hold up the news.
  either.addEventListener('abort', () => body.destroy(either.reason as Error), { once: true });
  try {
    either.throwIfAborted();
    let part = await buffers.take(underWay);
    let filled = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      either.throwIfAborted();
      hash.update(chunk);
      sizeBytes += chunk.length;
      for (let from = 0; from < chunk.length;) {
        if (filled === part.length) {
          await start(part);
          part = await buffers.take(underWay);
          either.throwIfAborted();
          filled = 0;
        }
        const copied = chunk.copy(part, filled, from);
        filled += copied;
        from += copied;
      }
    }
    either.throwIfAborted();
    const last = part.subarray(0, filled);
    const written = { sizeBytes, sha256: hash.digest('hex') };
    if (!upload.begun) {
      const { ETag } = await withRetries(
        () => bucket.send(putCommand(bucket, key, last, { described }), `writing ${key}`, either),
        patience,
      );
      report?.(sizeBytes);
      return { ...written, parts: 1, ...(ETag === undefined ? {} : { etag: ETag }) };
    }
    await start(last);
    await Promise.all(underWay);
    either.throwIfAborted();
    const { etag } = await upload.complete();
    return { ...written, parts: upload.count, ...(etag === undefined ? {} : { etag }) };
  } catch (error) {
    broken.abort(error);
    await Promise.all(underWay);
    await upload.abort().catch(() => undefined);
    throw signal?.aborted ? signal.reason : broken.signal.reason;
  } finally {
    body.destroy();
  }
}
