import { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { isCold } from '../../domain/storage/storage-classes.js';
import { incompletePrefix, keyComponents, prefixComponents } from '../keys.js';
import type { ReadableStorage, StoredObject } from '../storage.js';
import type { S3Bucket } from './client.js';
import { NOT_THERE, s3Failure } from './failures.js';
import type { S3Options } from './options.js';
import { withRetries } from './retry-policy.js';

/** A stream that breaks off is continued where it was, so many times without a byte in between. */
const MAX_FAILURES = 5;

/** Key in the bucket of a key of the repository, checked to stay below its prefix. */
export function bucketKey({ prefix }: Pick<S3Options, 'prefix'>, key: string): string {
  const path = keyComponents(key).join('/');
  return `${bucketRoot({ prefix })}${path}`;
}

/** What keys in the bucket begin with, its slash included; empty for a whole bucket. */
export function bucketRoot({ prefix }: Pick<S3Options, 'prefix'>): string {
  return prefix === '' ? '' : `${prefix}/`;
}

/** A bucket as a storage that can only be read: what a dry run gets. */
export function openS3ForReading(bucket: S3Bucket): ReadableStorage {
  const { options } = bucket;
  return {
    kind: 's3',
    capabilities: { localPath: false, versioned: options.versioning === true, coldClasses: true },
    async read(key) {
      try {
        return Buffer.concat((await readStream(bucket, key).toArray()) as Buffer[]);
      } catch (error) {
        if (!isRepriseError(error) || error.code !== 'object-cold') throw error;
        // Records and manifests: a recovery reads them to know what to thaw, so it cannot thaw them.
        throw new RepriseError(
          'object-cold',
          `${key} is in an archive class of the bucket ${options.bucket} and cannot be read`,
          `have it thawed, which takes hours: ${thawCommand(options, key)}`,
          error.details,
        );
      }
    },
    open: async (key, fromByte = 0) => {
      if ((await statObject(bucket, key)) === null) {
        // A HEAD has no body that could say whether the bucket itself is missing.
        await bucket.send(new ListObjectsV2Command({ Bucket: options.bucket, MaxKeys: 1 }), `finding ${key}`);
        throw new RepriseError(
          'not-found',
          `there is no ${JSON.stringify(key)} in the bucket ${options.bucket}`,
          NOT_THERE,
        );
      }
      return readStream(bucket, key, fromByte);
    },
    stat: (key) => statObject(bucket, key),
    list: (prefix) => listObjects(bucket, prefix),
    topFolders: () => listTopFolders(bucket),
    localPath: () => {
      throw new RepriseError(
        'capability-missing',
        `the bucket ${options.bucket} has no paths on this host`,
        'use a repository of type directory for what needs one',
      );
    },
    freeBytes: () => Promise.resolve(null),
  };
}

/** For people, to paste. */
function thawCommand(options: S3Options, key: string): string {
  const { bucket, endpoint, region, thaw } = options;
  // The one tier that every cold class has.
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const request = JSON.stringify({ Days: thaw.days, GlacierJobParameters: { Tier: 'Standard' } });
  return `aws s3api restore-object ${endpoint === undefined ? '' : `--endpoint-url ${endpoint} `}--region ${region} --bucket ${bucket} --key ${quoted(bucketKey(options, key))} --restore-request ${quoted(request)}`;
}

function readStream(bucket: S3Bucket, key: string, fromByte = 0): Readable {
  return Readable.from(chunksOf(bucket, key, fromByte), { objectMode: false });
}

/** The object's bytes; a connection that breaks is opened again at the same place of the same version. */
async function* chunksOf(bucket: S3Bucket, key: string, fromByte: number): AsyncGenerator<Buffer> {
  const { options } = bucket;
  const Key = bucketKey(options, key);
  const doing = `reading ${key}`;
  let offset = fromByte;
  let etag: string | undefined;
  let total = Infinity;
  for (let failures = 0; offset < total;) {
    const part = { Range: offset === 0 ? undefined : `bytes=${offset}-`, IfMatch: etag };
    const answer = await withRetries(() =>
      bucket.send(new GetObjectCommand({ Bucket: options.bucket, Key, ...part }), doing),
    ).catch((error: unknown) => {
      const status = isRepriseError(error) ? error.details['status'] : undefined;
      // The range begins behind the last byte.
      if (status === 416 && offset === fromByte) return null;
      if (status === 412)
        throw new RepriseError(
          'conflict',
          `${key} in the bucket ${options.bucket} was replaced while it was read`,
          'read it again; find out which other program writes there',
        );
      throw error;
    });
    if (answer === null) return;
    etag ??= answer.ETag;
    total = wholeSize(answer);
    try {
      for await (const chunk of answer.Body as Readable) {
        const bytes = chunk as Buffer;
        offset += bytes.length;
        failures = 0;
        yield bytes;
      }
      if (total === Infinity) return;
      if (offset < total) throw new Error('the connection was closed');
    } catch (error) {
      failures += 1;
      if (failures > MAX_FAILURES) throw s3Failure(error, options, `${doing} (at byte ${offset} of ${total})`);
    }
  }
}

/** Size of the whole object, also where only a part was requested. */
function wholeSize({
  ContentRange,
  ContentLength,
}: {
  readonly ContentRange?: string | undefined;
  readonly ContentLength?: number | undefined;
}): number {
  const ofRange = /\/(\d+)$/.exec(ContentRange ?? '')?.[1];
  return ofRange === undefined ? (ContentLength ?? Infinity) : Number(ofRange);
}

async function statObject(bucket: S3Bucket, key: string): Promise<StoredObject | null> {
  try {
    const head = await bucket.send(
      new HeadObjectCommand({ Bucket: bucket.options.bucket, Key: bucketKey(bucket.options, key) }),
      `inspecting ${key}`,
    );
    const locked = head.ObjectLockRetainUntilDate;
    return {
      key,
      sizeBytes: head.ContentLength ?? 0,
      modifiedAt: (head.LastModified ?? new Date(0)).toISOString(),
      lockedUntil: locked?.toISOString(),
    };
  } catch (error) {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  }
}

/** A bucket that others use too may hold millions of objects at its top: so many requests, of a thousand names each, have to do. */
const TOP_PAGES = 10;

async function listTopFolders(bucket: S3Bucket): Promise<readonly string[]> {
  const { options } = bucket;
  const root = bucketRoot(options);
  const found: string[] = [];
  let token: string | undefined;
  for (let pages = 0; pages < TOP_PAGES; pages++) {
    const command = new ListObjectsV2Command({
      Bucket: options.bucket,
      Prefix: root,
      Delimiter: '/',
      ContinuationToken: token,
    });
    const page = await bucket.send(command, 'listing the folders at the top');
    for (const { Prefix = '' } of page.CommonPrefixes ?? []) found.push(Prefix.slice(root.length, -1));
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
    if (token === undefined) break;
  }
  return found;
}

async function* listObjects(bucket: S3Bucket, prefix: string): AsyncGenerator<StoredObject> {
  const { options } = bucket;
  const root = bucketRoot(options);
  const folder = prefixComponents(prefix).join('/');
  const Prefix = `${root}${folder === '' ? '' : `${folder}/`}`;
  let token: string | undefined;
  do {
    const page = await bucket.send(
      new ListObjectsV2Command({ Bucket: options.bucket, Prefix, ContinuationToken: token }),
      `listing ${prefix}`,
    );
    for (const { Key = '', Size = 0, LastModified, StorageClass = '' } of page.Contents ?? []) {
      // Consoles mark an empty folder with an object of that name, which is none of ours; intermediate objects of an upload are no objects yet.
      if (Key.endsWith('/') || Key.slice(Key.lastIndexOf('/') + 1).startsWith(incompletePrefix)) continue;
      yield {
        key: Key.slice(root.length),
        sizeBytes: Size,
        modifiedAt: (LastModified ?? new Date(0)).toISOString(),
        ...(isCold(StorageClass) ? { cold: true as const } : {}),
      };
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}
