import {
  CreateBucketCommand,
  GetBucketEncryptionCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
  PutBucketEncryptionCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  PutPublicAccessBlockCommand,
} from '@aws-sdk/client-s3';
import type { BucketLocationConstraint } from '@aws-sdk/client-s3';
import { isRepriseError } from '../../../domain/errors.js';
import type { StorageSetting } from '../../../domain/storage/storage-plan.js';
import type { S3Bucket } from '../client.js';

/** One setting of a bucket: what it is and should be, and how it is made so. */
export interface BucketSetting {
  readonly name: string;
  /** The bucket exists. Throws what the server says where it knows no such setting. */
  inspect(bucket: S3Bucket, signal?: AbortSignal): Promise<SettingState>;
  /** What it is in a bucket that is not there yet: then `wanted` alone counts. */
  wanted(bucket: S3Bucket): readonly string[];
  change(bucket: S3Bucket, signal?: AbortSignal): Promise<void>;
}

export interface SettingState {
  readonly is: readonly string[];
  readonly wanted: readonly string[];
  readonly detail?: string;
}

/** Amazon has this region's buckets made without naming it. */
const DEFAULT_REGION = 'us-east-1';

/** Where the bucket is; null where there is none. An S3 server other than Amazon's may not tell: then an empty text. */
export async function regionOf(bucket: S3Bucket, signal?: AbortSignal): Promise<string | null> {
  try {
    const { BucketRegion } = await bucket.send(
      new HeadBucketCommand({ Bucket: bucket.options.bucket }),
      'finding the bucket',
      signal,
    );
    return BucketRegion ?? '';
  } catch (error) {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  }
}

/** Makes the bucket in the region of the config; with an object lock from the start, where one is wanted. */
export async function createBucket(bucket: S3Bucket, signal?: AbortSignal): Promise<void> {
  const { bucket: Bucket, region, objectLock } = bucket.options;
  const place =
    region === DEFAULT_REGION
      ? {}
      : { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } };
  await bucket.send(
    new CreateBucketCommand({
      Bucket,
      ...place,
      ObjectLockEnabledForBucket: objectLock === undefined ? undefined : true,
    }),
    'creating the bucket',
    signal,
  );
}

const versioning: BucketSetting = {
  name: 'versioning',
  wanted: ({ options }) => (keepsVersions(options) ? ['enabled'] : []),
  async inspect(bucket, signal) {
    const { Status } = await bucket.send(
      new GetBucketVersioningCommand({ Bucket: bucket.options.bucket }),
      'reading versioning',
      signal,
    );
    const is = Status === undefined ? 'off' : Status.toLowerCase();
    if (keepsVersions(bucket.options)) return { is: [is], wanted: ['enabled'] };
    // Once on, it can only be suspended; what the config does not speak of is left.
    const wanted = bucket.options.versioning === false && is === 'enabled' ? 'suspended' : is;
    return { is: [is], wanted: [wanted] };
  },
  async change(bucket, signal) {
    const Status = keepsVersions(bucket.options) ? 'Enabled' : 'Suspended';
    await bucket.send(
      new PutBucketVersioningCommand({ Bucket: bucket.options.bucket, VersioningConfiguration: { Status } }),
      'setting versioning',
      signal,
    );
  },
};

const objectLock: BucketSetting = {
  name: 'object lock',
  wanted: ({ options }) =>
    options.objectLock === undefined ? [] : [lockLine(options.objectLock.mode, options.objectLock.days, 'days')],
  async inspect(bucket, signal) {
    const is = await lockOf(bucket, signal);
    const { objectLock: own } = bucket.options;
    return { is, wanted: own === undefined ? is : [lockLine(own.mode, own.days, 'days')] };
  },
  async change(bucket, signal) {
    const { bucket: Bucket, objectLock: own } = bucket.options;
    if (own === undefined) return;
    const DefaultRetention = {
      Mode: own.mode === 'compliance' ? ('COMPLIANCE' as const) : ('GOVERNANCE' as const),
      Days: own.days,
    };
    await bucket.send(
      new PutObjectLockConfigurationCommand({
        Bucket,
        ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention } },
      }),
      'setting the object lock',
      signal,
    );
  },
};

async function lockOf(bucket: S3Bucket, signal?: AbortSignal): Promise<readonly string[]> {
  const answer = await absentAs(null, ['ObjectLockConfigurationNotFoundError'], () =>
    bucket.send(
      new GetObjectLockConfigurationCommand({ Bucket: bucket.options.bucket }),
      'reading the object lock',
      signal,
    ),
  );
  const { Mode, Days, Years } = answer?.ObjectLockConfiguration?.Rule?.DefaultRetention ?? {};
  if (answer?.ObjectLockConfiguration?.ObjectLockEnabled !== 'Enabled') return ['off'];
  if (Mode === undefined) return ['on, holds nothing by itself'];
  return [
    Days === undefined ? lockLine(Mode.toLowerCase(), Years ?? 0, 'years') : lockLine(Mode.toLowerCase(), Days, 'days'),
  ];
}

const lockLine = (mode: string, amount: number, unit: string): string => `${mode}, ${amount} ${unit}`;

const publicAccessFlags = [
  'BlockPublicAcls',
  'IgnorePublicAcls',
  'BlockPublicPolicy',
  'RestrictPublicBuckets',
] as const;
const allBlocked = {
  BlockPublicAcls: true,
  IgnorePublicAcls: true,
  BlockPublicPolicy: true,
  RestrictPublicBuckets: true,
};

const publicAccess: BucketSetting = {
  name: 'public access block',
  wanted: ({ options }) => (options.blockPublicAccess ? publicAccessFlags.map((flag) => `${flag} on`) : []),
  async inspect(bucket, signal) {
    const answer = await absentAs(null, ['NoSuchPublicAccessBlockConfiguration'], () =>
      bucket.send(
        new GetPublicAccessBlockCommand({ Bucket: bucket.options.bucket }),
        'reading the public access block',
        signal,
      ),
    );
    const flags = answer?.PublicAccessBlockConfiguration ?? {};
    const is = publicAccessFlags.map((flag) => `${flag} ${flags[flag] === true ? 'on' : 'off'}`);
    return { is, wanted: bucket.options.blockPublicAccess ? publicAccess.wanted(bucket) : is };
  },
  async change(bucket, signal) {
    await bucket.send(
      new PutPublicAccessBlockCommand({ Bucket: bucket.options.bucket, PublicAccessBlockConfiguration: allBlocked }),
      'setting the public access block',
      signal,
    );
  },
};

const encryption: BucketSetting = {
  name: 'default encryption',
  wanted: ({ options }) => [encryptionLine(options.defaultEncryption ?? 'AES256', options.kmsKeyId)],
  async inspect(bucket, signal) {
    const { options } = bucket;
    const answer = await absentAs(null, ['ServerSideEncryptionConfigurationNotFoundError'], () =>
      bucket.send(new GetBucketEncryptionCommand({ Bucket: options.bucket }), 'reading the default encryption', signal),
    );
    const rule = answer?.ServerSideEncryptionConfiguration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault;
    const is =
      rule?.SSEAlgorithm === undefined
        ? ['none']
        : [encryptionLine(rule.SSEAlgorithm, options.kmsKeyId === undefined ? undefined : rule.KMSMasterKeyID)];
    // Somebody's better choice is left alone where the config makes none.
    return {
      is,
      wanted: options.defaultEncryption === undefined && rule !== undefined ? is : encryption.wanted(bucket),
    };
  },
  async change(bucket, signal) {
    const { bucket: Bucket, defaultEncryption: SSEAlgorithm = 'AES256', kmsKeyId } = bucket.options;
    const Rules = [
      {
        ApplyServerSideEncryptionByDefault: {
          SSEAlgorithm,
          KMSMasterKeyID: kmsKeyId,
        },
      },
    ];
    await bucket.send(
      new PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: { Rules } }),
      'setting the default encryption',
      signal,
    );
  },
};

const encryptionLine = (algorithm: string, key: string | undefined): string =>
  key === undefined ? algorithm : `${algorithm}, key ${key}`;

/** In the order in which they are set: a lock needs versions. */
export const plainSettings: readonly BucketSetting[] = [versioning, objectLock, publicAccess, encryption];

/** A lock needs versions, whatever else the config says. */
function keepsVersions({ versioning: wanted, objectLock: lock }: S3Bucket['options']): boolean {
  return wanted === true || lock !== undefined;
}

/** Some settings that were never made are an error on the wire. */
export async function absentAs<T, A>(absent: A, names: readonly string[], request: () => Promise<T>): Promise<T | A> {
  try {
    return await request();
  } catch (error) {
    if (isRepriseError(error) && names.includes(String(error.details['s3']))) return absent;
    throw error;
  }
}

/** What a server says to what it does not have, or the key may not see; null for every other failure. */
export function gapOf(error: unknown): { readonly verdict: StorageSetting['verdict']; readonly detail: string } | null {
  if (!isRepriseError(error)) return null;
  const { s3, status } = error.details;
  const name = String(s3);
  if (status === 501 || status === 405 || name === 'NotImplemented')
    return { verdict: 'lacking', detail: `this server does not support it (${name})` };
  if (status === 403) return { verdict: 'lacking', detail: `the key may not read it (${name})` };
  return null;
}
