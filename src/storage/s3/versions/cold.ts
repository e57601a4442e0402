import { HeadObjectCommand, RestoreObjectCommand } from '@aws-sdk/client-s3';
import type { RestoreStatus } from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { isRepriseError } from '../../../domain/errors.js';
import { isCold } from '../../../domain/storage/storage-classes.js';
import type { ThawTier } from '../../../domain/storage/storage-classes.js';
import type { ColdObject } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import { bucketKey } from '../reading.js';

/** Those of the objects that cannot be read now: in a class that has to be thawed, and not thawed. */
export async function coldObjects(bucket: S3Bucket, keys: readonly string[]): Promise<readonly ColdObject[]> {
  const objects = await pMap(keys, (key) => coldObject(bucket, key), { concurrency: bucket.options.concurrency });
  return objects.filter((object) => object !== null);
}

async function coldObject(bucket: S3Bucket, key: string): Promise<ColdObject | null> {
  try {
    const {
      StorageClass = 'STANDARD',
      ContentLength = 0,
      Restore = '',
    } = await bucket.send(
      new HeadObjectCommand({ Bucket: bucket.options.bucket, Key: bucketKey(bucket.options, key) }),
      `inspecting ${key}`,
    );
    const thawed = Restore.includes('ongoing-request="false"');
    return isCold(StorageClass) && !thawed
      ? {
          key,
          sizeBytes: ContentLength,
          storageClass: StorageClass,
          thawing: Restore.includes('ongoing-request="true"'),
        }
      : null;
  } catch (error) {
    // What is gone is no matter of thawing: whoever reads it says so.
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  }
}

/** The same of an entry of a listing. */
export function isUnreadable({
  StorageClass = '',
  RestoreStatus,
}: {
  readonly StorageClass?: string | undefined;
  readonly RestoreStatus?: RestoreStatus | undefined;
}): boolean {
  return (
    isCold(StorageClass) &&
    (RestoreStatus?.RestoreExpiryDate === undefined || RestoreStatus.IsRestoreInProgress === true)
  );
}

/** Requests readable copies for a number of days. One that was requested already is no error (S3 says 409), so it can be repeated. */
export async function requestThaw(
  bucket: S3Bucket,
  keys: readonly string[],
  Tier: ThawTier,
  Days: number,
): Promise<void> {
  const { bucket: Bucket, concurrency } = bucket.options;
  const one = async ({ key, thawing }: ColdObject): Promise<void> => {
    if (thawing) return;
    try {
      await bucket.send(
        new RestoreObjectCommand({
          Bucket,
          Key: bucketKey(bucket.options, key),
          RestoreRequest: { Days, GlacierJobParameters: { Tier } },
        }),
        `requesting the thaw of ${key}`,
      );
    } catch (error) {
      if (!isRepriseError(error) || error.details['s3'] !== 'RestoreAlreadyInProgress') throw error;
    }
  };
  await pMap(await coldObjects(bucket, keys), one, { concurrency });
}
