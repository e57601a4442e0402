import { z } from 'zod';
import type { SecretReference } from '../../domain/config.js';
import { parseSize, sizePattern, sizeRule } from '../../domain/text/units.js';
import { caFile, secretReference } from '../../domain/fields.js';
import { prefixComponents } from '../keys.js';

/** Smallest part S3 takes, other than the last (Amazon S3 User Guide, "multipart upload limits"). */
const MIN_PART_BYTES = 5 * 1024 * 1024;

const MIN_INFREQUENT_DAYS = 30;

const days = (what: string) => z.int().min(1).optional().describe(what);

/** Keys of a repository of type `s3`, besides `type` and `host`. */
export const s3Options = z.strictObject({
  // Amazon's rules for names of buckets.
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'a bucket has 3 to 63 of a-z, 0-9, dot and dash')
    .describe('Name of the bucket.'),
  prefix: z
    .string()
    .default('')
    .refine(isPrefix, 'expected a folder such as backups/postgres, without . and ..')
    .describe('Folder in the bucket; absent: the whole bucket.'),
  region: z.string().min(1).default('us-east-1').describe('Region of the bucket.'),
  endpoint: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("Address of another S3 server; absent: Amazon's."),
  force_path_style: z
    .boolean()
    .default(false)
    .describe('true: the bucket is in the path instead of the host name, as most other S3 servers need it.'),
  ca_file: caFile(),
  access_key_id: secretReference()
    .optional()
    .describe("Id of the key, by reference; absent: as Amazon's own tools find it (environment, profile, role)."),
  secret_access_key: secretReference().optional().describe('Secret of the key, by reference.'),
  session_token: secretReference().optional().describe('Token of temporary credentials, by reference.'),
  part_size: z
    .string({ error: sizeRule })
    .regex(sizePattern, sizeRule)
    .default('8MiB')
    .refine((text) => !sizePattern.test(text) || parseSize(text) >= MIN_PART_BYTES, 'S3 takes no part below 5MiB')
    .describe(
      'Size of the parts of an upload, from 5MiB to 16MiB, and of a copy on the server. Parts use at most 32MiB of memory.',
    ),
  concurrency: z.int().min(1).max(64).default(4).describe('Parts or objects that are transferred at once.'),
  versioning: z.boolean().optional().describe('Whether the bucket keeps versions; set by `storage apply`.'),
  lifecycle: z
    .strictObject({
      standard_ia_days: days('Days after which objects move to STANDARD_IA; at least 30.'),
      deep_archive_days: days('Days after which objects move to DEEP_ARCHIVE.'),
      noncurrent_deep_archive_days: days('Days after which noncurrent versions move to DEEP_ARCHIVE.'),
      noncurrent_expire_days: days(
        'Days after which noncurrent versions are removed; absent: a versioned bucket keeps all of them.',
      ),
      abort_incomplete_days: days('Days after which parts of unfinished uploads are removed; absent: 7.'),
    })
    .superRefine(checkLifecycle)
    .optional()
    .describe('Lifecycle rule for the objects; set by `storage apply`.'),
  object_lock: z
    .strictObject({ mode: z.enum(['governance', 'compliance']), days: z.int().min(1) })
    .optional()
    .describe('Object lock: for this number of days nobody can remove an object; set by `storage apply`.'),
  thaw: z
    .strictObject({
      tier: z.enum(['Expedited', 'Standard', 'Bulk']).default('Standard'),
      days: z.int().min(1).default(7),
    })
    .prefault({})
    .describe(
      'Tier of the thaw of files in an archive class, unless `--thaw-tier` names one, and for how many days they can be read.',
    ),
  block_public_access: z
    .boolean()
    .default(true)
    .describe('Blocks public access to the bucket; set by `storage apply`.'),
  default_encryption: z
    .enum(['AES256', 'aws:kms'])
    .optional()
    .describe('Encryption by the server; absent: its setting is kept, and AES256 is set if there is none.'),
  kms_key_id: z.string().min(1).optional().describe('KMS key for `aws:kms`; absent: the default key of the server.'),
});

/** What {@link import('../open-storage.js').openStorage} reads from `repository.options`. */
export interface S3Options extends Readonly<Record<string, unknown>> {
  readonly bucket: string;
  /** Without a slash at its end; empty: the whole bucket. */
  readonly prefix: string;
  readonly region: string;
  readonly endpoint?: string;
  readonly forcePathStyle: boolean;
  readonly caFile?: string;
  readonly accessKeyId?: SecretReference;
  readonly secretAccessKey?: SecretReference;
  readonly sessionToken?: SecretReference;
  readonly partBytes: number;
  readonly concurrency: number;
  readonly versioning?: boolean;
  readonly lifecycle?: S3Lifecycle;
  readonly objectLock?: { readonly mode: 'governance' | 'compliance'; readonly days: number };
  readonly thaw: { readonly tier: 'Expedited' | 'Standard' | 'Bulk'; readonly days: number };
  readonly blockPublicAccess: boolean;
  readonly defaultEncryption?: 'AES256' | 'aws:kms';
  readonly kmsKeyId?: string;
}

/** Days; absent: no such rule is wanted. */
export interface S3Lifecycle {
  readonly standardIaDays?: number;
  readonly deepArchiveDays?: number;
  readonly noncurrentDeepArchiveDays?: number;
  readonly noncurrentExpireDays?: number;
  readonly abortIncompleteDays?: number;
}

/** The program's own terms; keys that are absent stay absent. */
export function readS3Options(values: Readonly<Record<string, unknown>>): S3Options {
  const {
    force_path_style,
    ca_file,
    access_key_id,
    secret_access_key,
    session_token,
    part_size,
    lifecycle,
    object_lock,
    endpoint,
    versioning,
    block_public_access,
    default_encryption,
    kms_key_id,
    ...own
  } = s3Options.parse(values);
  return {
    ...own,
    prefix: own.prefix.replace(/\/$/, ''),
    forcePathStyle: force_path_style,
    partBytes: parseSize(part_size),
    blockPublicAccess: block_public_access,
    ...present({ defaultEncryption: default_encryption, kmsKeyId: kms_key_id }),
    ...present({
      endpoint,
      versioning,
      caFile: ca_file,
      accessKeyId: access_key_id,
      secretAccessKey: secret_access_key,
      sessionToken: session_token,
      objectLock: object_lock,
    }),
    ...(lifecycle === undefined
      ? {}
      : {
          lifecycle: present({
            standardIaDays: lifecycle.standard_ia_days,
            deepArchiveDays: lifecycle.deep_archive_days,
            noncurrentDeepArchiveDays: lifecycle.noncurrent_deep_archive_days,
            noncurrentExpireDays: lifecycle.noncurrent_expire_days,
            abortIncompleteDays: lifecycle.abort_incomplete_days,
          }),
        }),
  };
}

/** What Amazon refuses (S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle"), said with its place in the file. */
function checkLifecycle(
  {
    standard_ia_days: infrequent,
    deep_archive_days: deep,
    noncurrent_deep_archive_days: noncurrentDeep,
    noncurrent_expire_days: expire,
  }: Readonly<Partial<Record<string, number | undefined>>>,
  context: z.RefinementCtx,
): void {
  const wrong = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
  if (infrequent !== undefined && infrequent < MIN_INFREQUENT_DAYS)
    wrong('standard_ia_days', `S3 moves nothing to STANDARD_IA before ${MIN_INFREQUENT_DAYS} days`);
  if (infrequent !== undefined && deep !== undefined && deep < infrequent + MIN_INFREQUENT_DAYS)
    wrong(
      'deep_archive_days',
      `objects stay in STANDARD_IA for ${MIN_INFREQUENT_DAYS} days at least: expected ${infrequent + MIN_INFREQUENT_DAYS} or more`,
    );
  if (expire !== undefined && noncurrentDeep !== undefined && expire <= noncurrentDeep)
    wrong('noncurrent_expire_days', `expected more than the ${noncurrentDeep} of noncurrent_deep_archive_days`);
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function present<T extends Readonly<Record<string, unknown>>>(values: T): Present<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Present<T>;
}

function isPrefix(prefix: string): boolean {
  try {
    prefixComponents(prefix);
    return true;
  } catch {
    return false;
  }
}

/**
 * The root of a repository's objects, the same for every spelling of the server's address: an address holds no letter
 * case and no default port. On AWS no two buckets share a name, whatever region or endpoint they are reached by.
 */
export function s3Root({ endpoint, bucket, prefix }: Pick<S3Options, 'endpoint' | 'bucket' | 'prefix'>): string {
  return ['', endpoint === undefined ? 'aws' : serverOf(endpoint), bucket, prefix].join('/');
}

/** URL lowers the host's letters and leaves out the default port of its scheme. */
function serverOf(endpoint: string): string {
  const { host, pathname } = new URL(endpoint);
  return /^s3([.-][a-z0-9-]+)*\.amazonaws\.com$/.test(host) ? 'aws' : `${host}${pathname.replace(/\/+$/, '')}`;
}
