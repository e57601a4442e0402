import { randomUUID } from 'node:crypto';
import {
  DeleteObjectCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectAclCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3';
import { isRepriseError } from '../../../domain/errors.js';
import { incompletePrefix } from '../../keys.js';
import type { S3Bucket } from '../client.js';

/** A version id that every server understands, and that an object which was never there does not have. */
const VersionId = 'null';

/** Rights that a recovery of media may need, besides listing and writing, which show themselves at once. */
export const objectRights = {
  reading: [
    's3:GetObjectVersion',
    's3:GetObjectAcl',
    's3:GetObjectVersionAcl',
    's3:GetObjectTagging',
    's3:GetObjectVersionTagging',
  ],
  writing: ['s3:DeleteObjectVersion', 's3:PutObjectAcl', 's3:PutObjectTagging'],
} as const;
export type ObjectRight = (typeof objectRights)['reading' | 'writing'][number];

/**
 * Which of these rights the key lacks below a prefix: each is tried on an object that was never there, so that nothing is
 * changed. A server checks the right first, and finds then that there is no such object.
 */
export async function missingRights(
  bucket: S3Bucket,
  Prefix: string,
  side: keyof typeof objectRights,
): Promise<readonly ObjectRight[]> {
  const at = { Bucket: bucket.options.bucket, Key: `${Prefix}${incompletePrefix}probe-${randomUUID()}` };
  const send = bucket.send.bind(bucket);
  const doing = 'trying what this key may do';
  const trials: Readonly<Record<ObjectRight, () => Promise<unknown>>> = {
    's3:GetObjectVersion': () => send(new GetObjectCommand({ ...at, VersionId }), doing),
    's3:GetObjectAcl': () => send(new GetObjectAclCommand(at), doing),
    's3:GetObjectVersionAcl': () => send(new GetObjectAclCommand({ ...at, VersionId }), doing),
    's3:GetObjectTagging': () => send(new GetObjectTaggingCommand(at), doing),
    's3:GetObjectVersionTagging': () => send(new GetObjectTaggingCommand({ ...at, VersionId }), doing),
    's3:DeleteObjectVersion': () => send(new DeleteObjectCommand({ ...at, VersionId }), doing),
    's3:PutObjectAcl': () => send(new PutObjectAclCommand({ ...at, ACL: 'private' }), doing),
    's3:PutObjectTagging': () => send(new PutObjectTaggingCommand({ ...at, Tagging: { TagSet: [] } }), doing),
  };
  // A key that may not list is told "forbidden" of everything that is not there: then only deleting says something.
  const hidesAbsence = await isForbidden(() => send(new HeadObjectCommand(at), doing));
  const asked = objectRights[side].filter((right) => right === 's3:DeleteObjectVersion' || !hidesAbsence);
  const missing = await Promise.all(asked.map((right) => isForbidden(trials[right])));
  return asked.filter((_, index) => missing[index]);
}

/** Anything else than this answer says that the key may, or that the server knows no such thing. */
async function isForbidden(trial: () => Promise<unknown>): Promise<boolean> {
  try {
    await trial();
    return false;
  } catch (error) {
    if (!isRepriseError(error) || error.code === 'storage-unreachable') {
      if (isRepriseError(error) && error.details['s3'] === 'NotImplemented') return false;
      throw error;
    }
    return error.details['status'] === 403;
  }
}
