import { createHash } from 'node:crypto';
import { pMapIterable } from 'p-map';
import { RepriseError, isRepriseError, isRetryable } from '../domain/errors.js';
import type { MediaVerdict } from '../domain/media/media.js';
import { workMoved } from '../files/work-signs.js';
import { listMedia, openIn, type MediaPlace } from './place.js';
import type { ObjectFacts } from '../storage/storage.js';

/** So many problems are named, the rest counted. */
const SHOWN = 20;
/** Images under way at once: each may take hundreds of MB when decoded. */
const DECODERS = 2;

export interface VerifyOptions {
  readonly concurrency: number;
  /** So many images, chosen by chance, are decoded for real. */
  readonly sample: number;
  readonly signal?: AbortSignal;
  readonly report?: (done: number) => void;
}

/** Reads every object whole, compares size and checksum, and decodes a sample of the images. Memory does not grow with them. */
export async function verifyAll(
  place: MediaPlace,
  { concurrency, sample, signal, report }: VerifyOptions,
): Promise<MediaVerdict> {
  let [objects, bytes, read, unchecked, decoded, problems, images] = [0, 0, 0, 0, 0, 0, 0];
  const samples: { key: string; problem: string }[] = [];
  const chosen: ObjectFacts[] = [];
  const found = (key: string, problem: string): void => {
    problems += 1;
    if (samples.length < SHOWN) samples.push({ key, problem });
  };
  const readOne = async (facts: ObjectFacts) => ({ facts, ...(await readWhole(place, facts, signal)) });
  for await (const { facts, problem, checked } of pMapIterable(listMedia(place), readOne, {
    concurrency,
    backpressure: concurrency * 4,
  })) {
    objects += 1;
    bytes += facts.sizeBytes;
    if (problem === null) read += 1;
    else found(facts.key, problem);
    if (problem === null && !checked) unchecked += 1;
    if (isImage(facts) && problem === null) choose(chosen, facts, ++images, sample);
    if (objects % 100 === 0) report?.(objects);
  }
  const decode = async ({ key }: ObjectFacts) => ({ key, problem: await decodeProblem(place, key, signal) });
  for await (const { key, problem } of pMapIterable(chosen, decode, { concurrency: DECODERS })) {
    decoded += 1;
    if (problem !== null) found(key, problem);
  }
  return { objects, bytes, read, unchecked, decoded, problems, samples };
}

/** Reads so many of these objects, chosen by chance, and decodes every image among them. A key without an object is a problem. */
export async function verifySample(
  place: MediaPlace,
  keys: AsyncIterable<{ readonly key: string }>,
  { objects: most, signal }: { readonly objects: number; readonly signal: AbortSignal },
): Promise<MediaVerdict> {
  const chosen: { readonly key: string }[] = [];
  let count = 0;
  for await (const one of keys) choose(chosen, one, ++count, most);
  let [bytes, read, unchecked, decoded, problems] = [0, 0, 0, 0, 0];
  const samples: { key: string; problem: string }[] = [];
  for (const { key } of chosen) {
    const whole = await readWhole(place, { key, sizeBytes: null }, signal);
    bytes += whole.length;
    const decodes = whole.problem === null && isImage({ key, sizeBytes: whole.length });
    if (decodes) decoded += 1;
    const problem = decodes ? await decodeProblem(place, key, signal) : whole.problem;
    if (problem === null) {
      read += 1;
      if (!whole.checked) unchecked += 1;
      continue;
    }
    problems += 1;
    if (samples.length < SHOWN) samples.push({ key, problem });
  }
  return { objects: chosen.length, bytes, read, unchecked, decoded, problems, samples };
}

/** Each of so many stays with the same chance, whatever comes (reservoir sampling). */
function choose<T>(chosen: T[], item: T, count: number, most: number): void {
  if (chosen.length < most) {
    chosen.push(item);
    return;
  }
  const place = Math.floor(Math.random() * count);
  if (place < most) chosen[place] = item;
}

async function readWhole(
  place: MediaPlace,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number | null },
  signal?: AbortSignal,
): Promise<{ readonly problem: string | null; readonly checked: boolean; readonly length: number }> {
  let [checked, length] = [false, 0];
  const problem = await problemOf(signal, async () => {
    const { body, md5 } = await openIn(place, key);
    checked = md5 !== null;
    const hash = createHash('md5');
    for await (const chunk of body) {
      signal?.throwIfAborted();
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
      workMoved();
    }
    if (sizeBytes !== null && length !== sizeBytes) return `has ${length} bytes and is listed with ${sizeBytes}`;
    return md5 !== null && hash.digest('hex') !== md5 ? 'is not what its checksum says' : null;
  });
  return { problem, checked, length };
}

function decodeProblem(place: MediaPlace, key: string, signal?: AbortSignal): Promise<string | null> {
  return problemOf(signal, async () =>
    imageProblem(Buffer.concat((await (await openIn(place, key)).body.toArray()) as Buffer[])),
  );
}

/** An object that cannot be read is a finding; a storage that cannot be reached is none. */
async function problemOf(
  signal: AbortSignal | undefined,
  inspect: () => Promise<string | null>,
): Promise<string | null> {
  signal?.throwIfAborted();
  try {
    return await inspect();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (isRepriseError(error)) {
      if (isRetryable(error)) throw error;
      return `cannot be read: ${error.message}`;
    }
    // The stream itself broke off: the next attempt reads again.
    throw new RepriseError(
      'storage-unreachable',
      `reading was interrupted: ${error instanceof Error ? error.message : String(error)}`,
      'check the network to the server',
    );
  }
}

/** Bigger images are not decoded: their pixels would not fit in memory. */
const MOST_BYTES = 100 * 1024 * 1024;

/** Names of images of the types that are decoded. */
function isImage({ key, sizeBytes }: { readonly key: string; readonly sizeBytes: number }): boolean {
  return /\.(jpe?g|png|webp|gif|tiff?)$/i.test(key) && sizeBytes <= MOST_BYTES;
}

/** Decodes every pixel; what is wrong with it in words, or null. The decoder is loaded when the first image comes. */
async function imageProblem(content: Buffer): Promise<string | null> {
  if (content.length === 0) return 'is empty';
  const { default: sharp } = await import('sharp');
  try {
    // An animation's pages too: a GIF that is cut off has a whole first one. The pixels are read in grey, which takes
    // a byte each: `stats()` ignores failures while other images are decoded.
    await sharp(content, { failOn: 'error', pages: -1 }).toColourspace('b-w').raw().toBuffer();
    return null;
  } catch (error) {
    const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    return `cannot be decoded: ${reason}`;
  }
}
