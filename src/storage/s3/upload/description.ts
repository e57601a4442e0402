import { GetObjectAclCommand, GetObjectTaggingCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import type { Grant, HeadObjectCommandOutput, Permission } from '@aws-sdk/client-s3';
import { isRepriseError } from '../../../domain/errors.js';
import { isCold } from '../../../domain/storage/storage-classes.js';
import type { LostTrait } from '../../../domain/media/media.js';
import type { ObjectDescription } from '../../storage.js';
import type { S3Bucket } from '../client.js';

/** An object whose description is read. */
export interface DescribedObject {
  readonly bucket: string;
  /** Whole key in that bucket. */
  readonly key: string;
  readonly versionId?: string | undefined;
}

export interface FoundDescription {
  readonly etag: string | undefined;
  /** All that a request which makes a copy can take along. */
  readonly described: ObjectDescription;
  /** What it has, and a copy cannot have. */
  readonly lost: readonly LostTrait[];
}

interface DescribeHow {
  /** The copy goes to another server, which knows neither the accounts nor the keys of this one. */
  readonly elsewhere?: boolean;
  /** False where the server copies them by itself. */
  readonly tags?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Classes in which a copy can be read at once. One of an archive class comes into the default class: it is wanted to be read. */
const READABLE_CLASSES = [
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
] as const;

/** Encryption with keys of one's own; any other one is the bucket's business. */
const KMS = ['aws:kms', 'aws:kms:dsse'] as const;

const GROUPS = 'http://acs.amazonaws.com/groups/global/';
/** Access that every server and every owner understands, by its grants besides the owner's. */
const CANNED: readonly (readonly [NonNullable<ObjectDescription['ACL']>, readonly string[]])[] = [
  ['public-read', ['AllUsers READ']],
  ['public-read-write', ['AllUsers READ', 'AllUsers WRITE']],
  ['authenticated-read', ['AuthenticatedUsers READ']],
];

/** Headers of grants, by permission; objects know no others (Amazon S3 User Guide, "access control list overview"). */
const HEADERS = {
  FULL_CONTROL: 'GrantFullControl',
  READ: 'GrantRead',
  READ_ACP: 'GrantReadACP',
  WRITE_ACP: 'GrantWriteACP',
} as const satisfies Partial<Record<Permission, string>>;

/**
 * What describes an object, besides its content: type and metadata, storage class, access, encryption, redirection, and tags.
 * What may not be read, or a copy cannot have, is named in `lost`.
 */
export async function describeObject(
  bucket: S3Bucket,
  object: DescribedObject,
  { elsewhere = false, tags: withTags = true, signal }: DescribeHow = {},
): Promise<FoundDescription> {
  const at = { Bucket: object.bucket, Key: object.key, VersionId: object.versionId };
  const [head, access, tags] = await Promise.all([
    bucket.send(new HeadObjectCommand(at), `inspecting ${object.key}`, signal),
    unlessRefused(bucket.send(new GetObjectAclCommand(at), `reading the ACL of ${object.key}`, signal)),
    withTags
      ? unlessRefused(bucket.send(new GetObjectTaggingCommand(at), `reading the tags of ${object.key}`, signal))
      : 'unknown',
  ]);
  const lost = new Set<LostTrait>();
  const described = {
    ...headersOf(head, lost),
    ...storageOf(head, elsewhere, lost),
    ...(typeof access === 'string' ? {} : accessOf(access.Owner?.ID, access.Grants ?? [], elsewhere, lost)),
    ...(typeof tags === 'string' ? {} : taggingOf(tags.TagSet ?? [])),
  };
  if (access === 'refused') lost.add('acl');
  if (tags === 'refused') lost.add('tags');
  if (head.ObjectLockMode !== undefined || head.ObjectLockLegalHoldStatus === 'ON') lost.add('lock');
  return { etag: head.ETag, described, lost: [...lost] };
}

/** A key without the right is told from a server that has no such thing, or not of old versions. */
async function unlessRefused<T>(answer: Promise<T>): Promise<T | 'refused' | 'unknown'> {
  try {
    return await answer;
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    if (error.details['status'] === 403) return 'refused';
    const isUnknown = error.details['s3'] === 'NotImplemented' || ['storage-refused', 'not-found'].includes(error.code);
    if (isUnknown) return 'unknown';
    throw error;
  }
}

function headersOf(head: HeadObjectCommandOutput, lost: Set<LostTrait>): ObjectDescription {
  const { CacheControl, ContentDisposition, ContentEncoding, ContentLanguage, ContentType, Metadata } = head;
  const expires = head.ExpiresString === undefined ? undefined : new Date(head.ExpiresString);
  if (expires && Number.isNaN(expires.getTime())) lost.add('expires');
  return {
    ...{ CacheControl, ContentDisposition, ContentEncoding, ContentLanguage, ContentType, Metadata },
    Expires: expires && !Number.isNaN(expires.getTime()) ? expires : undefined,
    WebsiteRedirectLocation: head.WebsiteRedirectLocation,
  };
}

function storageOf(head: HeadObjectCommandOutput, elsewhere: boolean, lost: Set<LostTrait>): ObjectDescription {
  if (isCold(head.StorageClass ?? '')) lost.add('class');
  const kms = KMS.find((name) => name === head.ServerSideEncryption);
  if (kms && elsewhere) lost.add('encryption');
  return {
    StorageClass: READABLE_CLASSES.find((name) => name === head.StorageClass),
    ...(kms && !elsewhere
      ? { ServerSideEncryption: kms, SSEKMSKeyId: head.SSEKMSKeyId, BucketKeyEnabled: head.BucketKeyEnabled }
      : {}),
  };
}

/** The owner's own right needs no mention; where it is all there is, the object has the access that every new one has. */
function accessOf(
  owner: string | undefined,
  grants: readonly Grant[],
  elsewhere: boolean,
  lost: Set<LostTrait>,
): ObjectDescription {
  const others = grants.filter(
    ({ Grantee, Permission }) => Grantee?.ID !== owner || Permission !== 'FULL_CONTROL' || Grantee?.URI,
  );
  if (others.length === 0) return {};
  const named = others.map(
    ({ Grantee, Permission }) => `${Grantee?.URI?.replace(GROUPS, '') ?? Grantee?.ID} ${Permission}`,
  );
  const canned = CANNED.find(
    ([, wanted]) => wanted.length === named.length && wanted.every((one) => named.includes(one)),
  );
  if (canned) return { ACL: canned[0] };
  if (!elsewhere) return grantHeaders(grants);
  // Accounts of one server mean nothing to another one; what everybody may do there, everybody may do here.
  lost.add('grants');
  const open = CANNED.find(([, [first = '']]) => named.includes(first));
  return open ? { ACL: open[0] } : {};
}

function grantHeaders(grants: readonly Grant[]): ObjectDescription {
  const byHeader = new Map<string, string[]>();
  for (const { Grantee, Permission } of grants) {
    const header = Object.hasOwn(HEADERS, Permission ?? '') ? HEADERS[Permission as keyof typeof HEADERS] : undefined;
    const who = Grantee?.URI !== undefined ? `uri="${Grantee.URI}"` : Grantee?.ID && `id="${Grantee.ID}"`;
    if (header && who) byHeader.set(header, [...(byHeader.get(header) ?? []), who]);
  }
  return Object.fromEntries([...byHeader].map(([header, whom]) => [header, whom.join(', ')]));
}

function taggingOf(
  tags: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[],
): ObjectDescription {
  if (tags.length === 0) return {};
  return {
    Tagging: new URLSearchParams(tags.map(({ Key = '', Value = '' }): [string, string] => [Key, Value]))
      .toString()
      .replaceAll('+', '%20'),
  };
}

/** Parts of a description that a server or a key's rights may refuse, in the order in which they are given up. */
const PARTS: readonly (readonly [LostTrait, readonly (keyof ObjectDescription)[]])[] = [
  ['acl', ['ACL', 'GrantFullControl', 'GrantRead', 'GrantReadACP', 'GrantWriteACP']],
  ['tags', ['Tagging', 'TaggingDirective']],
  ['class', ['StorageClass']],
  ['encryption', ['ServerSideEncryption', 'SSEKMSKeyId', 'BucketKeyEnabled']],
  ['redirect', ['WebsiteRedirectLocation']],
];

/** Which part an error speaks of; others may speak of any. */
const SPEAKS_OF: Readonly<Record<string, LostTrait>> = {
  AccessControlListNotSupported: 'acl',
  InvalidStorageClass: 'class',
  InvalidTag: 'tags',
};

/**
 * Sends a request that makes an object. What the server does not have, or the key may not give, is left out rather than the
 * object: the content counts for more than its description.
 * @param leftOut told of each part that the object was made without
 */
export async function sendDescribed<T>(
  described: ObjectDescription,
  send: (described: ObjectDescription) => Promise<T>,
  leftOut: (trait: LostTrait) => void = () => undefined,
): Promise<T> {
  const left = new Set<LostTrait>();
  let rest = described;
  let first: unknown;
  for (;;) {
    try {
      const made = await send(rest);
      left.forEach(leftOut);
      return made;
    } catch (error) {
      first ??= error;
      const present = PARTS.filter(
        ([trait, fields]) => !left.has(trait) && fields.some((field) => rest[field] !== undefined),
      );
      const [next] = isAboutDescription(error)
        ? [...present.filter(([trait]) => trait === SPEAKS_OF[String(error.details['s3'])]), ...present]
        : [];
      if (next === undefined) throw first;
      const [trait, fields] = next;
      left.add(trait);
      rest = without(rest, fields);
    }
  }
}

function without(described: ObjectDescription, fields: readonly (keyof ObjectDescription)[]): ObjectDescription {
  const rest = Object.fromEntries(
    Object.entries(described).filter(([name]) => !fields.includes(name as keyof ObjectDescription)),
  );
  // A copy on the server takes the tags along by itself.
  return described.TaggingDirective !== undefined && fields.includes('TaggingDirective')
    ? { ...rest, TaggingDirective: 'REPLACE' }
    : rest;
}

/** Refused for what it asks: not for the network, not for its own precondition, not for the credentials. */
function isAboutDescription(error: unknown): error is Error & { readonly details: Readonly<Record<string, unknown>> } {
  if (!isRepriseError(error)) return false;
  const { s3, status } = error.details;
  return s3 === 'NotImplemented' || status === 403 || status === 400;
}
