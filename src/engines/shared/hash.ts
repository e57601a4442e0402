import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { workMoved } from '../../files/work-signs.js';
import type { Progress } from '../../domain/operation/progress.js';
import type { ReadableStorage } from '../../storage/storage.js';

/** Size in bytes and SHA-256 (hex) of a whole object. */
export interface Fingerprint {
  readonly sizeBytes: number;
  readonly sha256: string;
}

interface Reading {
  readonly storage: Pick<ReadableStorage, 'open'>;
  readonly signal: AbortSignal;
  readonly report: (progress: Progress) => void;
}

/** SHA-256 (hex) of a file on this host. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer);
    workMoved();
  }
  return hash.digest('hex');
}

/** Reads an object once, in constant memory. Throws `not-found` where it is missing, the signal's reason when aborted. */
export async function fingerprint(
  reading: Reading,
  key: string,
  phase: string,
  totalBytes?: number,
): Promise<Fingerprint> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const source = await reading.storage.open(key);
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      reading.signal.throwIfAborted();
      hash.update(chunk);
      sizeBytes += chunk.length;
      reading.report({
        phase,
        done: sizeBytes,
        total: totalBytes,
        unit: 'bytes',
      });
    }
  } finally {
    source.destroy();
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/**
 * Why an object is not what was recorded; null where it is. The size goes first: it costs nothing, and tells an
 * empty and a truncated file from a changed one.
 */
export async function damageOf(
  reading: Reading & { readonly storage: Pick<ReadableStorage, 'stat'> },
  key: string,
  recorded: Fingerprint,
): Promise<string | null> {
  const there = await reading.storage.stat(key);
  if (there === null) return `${key} is missing`;
  if (there.sizeBytes !== recorded.sizeBytes) {
    return `${key} has ${there.sizeBytes} bytes where ${recorded.sizeBytes} were recorded`;
  }
  const found = await fingerprint(reading, key, 'comparing SHA-256', recorded.sizeBytes);
  return found.sha256 === recorded.sha256 ? null : `the SHA-256 of ${key} differs from the recorded one`;
}
