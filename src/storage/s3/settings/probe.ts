import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { isRepriseError } from '../../../domain/errors.js';
import { incompletePrefix } from '../../keys.js';
import type { S3Bucket } from '../client.js';
import { bucketRoot } from '../reading.js';

/** Most servers know times to the second: versions this far apart differ on each of them. */
const APART_MS = 2100;

/**
 * What a server gives as the time of a noncurrent version. Only with `written` can a bucket be recovered to a point
 * in time; VersityGW gives `superseded`, the time at which the next version came.
 */
export interface VersionTimes {
  readonly times: 'written' | 'superseded' | 'unversioned' | 'unknown';
  /** The finding in words, a lowercase sentence. */
  readonly detail: string;
}

/**
 * Writes two versions of an object of its own and checks whether the first one keeps its time when it is superseded. The
 * same server's two answers are compared, so no clock matters. Its versions are removed for good; a key that may not do
 * that hides them.
 *
 * @throws RepriseError `storage-unreachable`, `storage-refused` (it needs to write and to list versions)
 */
export async function probeVersionTimes(bucket: S3Bucket, signal?: AbortSignal): Promise<VersionTimes> {
  const Bucket = bucket.options.bucket;
  const { Status } = await bucket.send(new GetBucketVersioningCommand({ Bucket }), 'reading versioning', signal);
  if (Status !== 'Enabled') return { times: 'unversioned', detail: 'the bucket keeps no versions' };
  const lock = await defaultLock(bucket, signal);
  if (lock === 'COMPLIANCE')
    return { times: 'unknown', detail: "not tried: the bucket's compliance lock would keep what the probe writes" };
  const Key = `${bucketRoot(bucket.options)}${incompletePrefix}probe-${randomUUID()}`;
  try {
    const first = await writeVersion(bucket, Key, '1', lock, signal);
    const before = await timeOf(bucket, Key, first, signal);
    await sleep(APART_MS, undefined, { signal });
    await writeVersion(bucket, Key, '2', lock, signal);
    const after = await timeOf(bucket, Key, first, signal);
    if (before === null || after === null)
      return { times: 'unknown', detail: 'the server does not list the version that it has just taken' };
    return before === after
      ? { times: 'written', detail: 'a noncurrent version keeps the time at which it was written' }
      : {
          times: 'superseded',
          detail:
            'a noncurrent version gets the time at which it was superseded: what was current at an instant cannot be known',
        };
  } finally {
    await removeVersions(bucket, Key, lock === 'GOVERNANCE');
  }
}

/** Whether the server refuses to create what exists already (`If-None-Match: *`): the records of a cluster need that. */
export async function probeConditionalCreate(bucket: S3Bucket, signal?: AbortSignal): Promise<boolean | 'unknown'> {
  const lock = await defaultLock(bucket, signal);
  if (lock === 'COMPLIANCE') return 'unknown';
  const at = {
    Bucket: bucket.options.bucket,
    Key: `${bucketRoot(bucket.options)}${incompletePrefix}probe-${randomUUID()}`,
    ...checksum(lock),
  };
  try {
    await bucket.send(new PutObjectCommand({ ...at, Body: '1' }), 'writing a probe', signal);
    await bucket.send(new PutObjectCommand({ ...at, Body: '2', IfNoneMatch: '*' }), 'writing a probe', signal);
    return false;
  } catch (error) {
    if (isRepriseError(error) && error.details['s3'] === 'PreconditionFailed') return true;
    // A server that says that it does not know the header keeps no promise either.
    if (isRepriseError(error) && error.details['s3'] === 'NotImplemented') return false;
    throw error;
  } finally {
    await removeVersions(bucket, at.Key, lock === 'GOVERNANCE');
  }
}

async function writeVersion(
  bucket: S3Bucket,
  Key: string,
  Body: string,
  lock: Lock,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { VersionId } = await bucket.send(
    new PutObjectCommand({ Bucket: bucket.options.bucket, Key, Body, ...checksum(lock) }),
    'writing a probe',
    signal,
  );
  return VersionId;
}

/** What is locked as it arrives needs a checksum (Amazon S3 API reference, PutObject); elsewhere not every server knows it. */
function checksum(lock: Lock): { ChecksumAlgorithm?: 'CRC32' } {
  return lock === null ? {} : { ChecksumAlgorithm: 'CRC32' };
}

async function timeOf(
  bucket: S3Bucket,
  Key: string,
  version: string | undefined,
  signal?: AbortSignal,
): Promise<number | null> {
  const found = (await versionsOf(bucket, Key, signal)).find(({ VersionId }) => VersionId === version);
  return found?.LastModified?.getTime() ?? null;
}

async function versionsOf(bucket: S3Bucket, Key: string, signal?: AbortSignal) {
  const page = await bucket.send(
    new ListObjectVersionsCommand({ Bucket: bucket.options.bucket, Prefix: Key }),
    'listing the versions of a probe',
    signal,
  );
  return [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ VersionId, LastModified }) => ({
    VersionId,
    LastModified,
  }));
}

/** Runs also after a cancellation, so it heeds no signal. */
async function removeVersions(bucket: S3Bucket, Key: string, bypass: boolean): Promise<void> {
  const { bucket: Bucket } = bucket.options;
  try {
    for (const { VersionId } of await versionsOf(bucket, Key)) {
      await bucket.send(
        new DeleteObjectCommand({ Bucket, Key, VersionId, ...(bypass ? { BypassGovernanceRetention: true } : {}) }),
        'removing a probe',
      );
    }
  } catch (error) {
    // Removing versions takes a right of its own. Without it a delete marker hides what is left, which is some bytes.
    if (!isRepriseError(error) || error.details['status'] !== 403) throw error;
    await bucket.send(new DeleteObjectCommand({ Bucket, Key }), 'removing a probe');
  }
}

type Lock = string | null;

/** What a new object of the bucket is locked with; null where nothing holds it. */
async function defaultLock(bucket: S3Bucket, signal?: AbortSignal): Promise<Lock> {
  try {
    const { ObjectLockConfiguration } = await bucket.send(
      new GetObjectLockConfigurationCommand({ Bucket: bucket.options.bucket }),
      'reading the object lock',
      signal,
    );
    return ObjectLockConfiguration?.Rule?.DefaultRetention?.Mode ?? null;
  } catch (error) {
    // A bucket without a lock, a server without locks, and a key that may not read it: nothing is known to hold a probe.
    if (isRepriseError(error) && error.code !== 'storage-unreachable') return null;
    throw error;
  }
}
