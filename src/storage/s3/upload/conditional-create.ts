import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import type { ObjectDescription, WritableStorage } from '../../storage.js';
import type { S3Bucket } from '../client.js';
import type { S3Options } from '../options.js';
import { bucketKey } from '../reading.js';

/** Two writers at the same instant: the server tells the loser to try again (Amazon S3 User Guide, "conditional writes"). */
const CONFLICT_TRIES = 10;
const CONFLICT_WAIT_MS = 50;

/** A small object in one request. A bucket with object lock takes none without a checksum: this one every server knows. */
export function putCommand(
  { options }: S3Bucket,
  key: string,
  Body: Buffer,
  {
    ifAbsent = false,
    keep = false,
    described = {},
  }: { readonly ifAbsent?: boolean; readonly keep?: boolean; readonly described?: ObjectDescription } = {},
): PutObjectCommand {
  const ContentMD5 = createHash('md5').update(Body).digest('base64');
  return new PutObjectCommand({
    ...described,
    Bucket: options.bucket,
    Key: bucketKey(options, key),
    Body,
    ContentMD5,
    IfNoneMatch: ifAbsent ? '*' : undefined,
    ...(keep ? retention(options) : {}),
  });
}

/** For as long as the bucket's own rule would: that one may have been changed, or not been set yet. */
function retention({ objectLock }: S3Options): Partial<PutObjectCommandInput> {
  if (objectLock === undefined) return {};
  return {
    ObjectLockMode: objectLock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
    ObjectLockRetainUntilDate: new Date(Date.now() + objectLock.days * 86_400_000),
  };
}

/**
 * `createIfAbsent` of one bucket. Whether its server honours `If-None-Match` is tried with the first object that is
 * created: a server that ignores it would let two writers both believe that they came first.
 */
export function conditionalCreate(bucket: S3Bucket): WritableStorage['createIfAbsent'] {
  let honoured = false;
  let turn: Promise<unknown> = Promise.resolve();
  return async (key, body, { keep = false } = {}) => {
    const bytes = Buffer.from(body);
    bucketKey(bucket.options, key);
    const inTurn = async (): Promise<boolean> => {
      if (honoured) return createOnce(bucket, key, bytes, keep);
      const { made, tried } = await createTrying(bucket, key, bytes, keep);
      honoured = tried;
      return made;
    };
    if (honoured) return inTurn();
    const mine = turn.then(inTurn);
    turn = mine.catch(() => undefined);
    return mine;
  };
}

/** Checks for the object first: where the condition is ignored, nothing may be overwritten to find that out. */
async function createTrying(
  bucket: S3Bucket,
  key: string,
  body: Buffer,
  keep: boolean,
): Promise<{ made: boolean; tried: boolean }> {
  const { options } = bucket;
  const object = { Bucket: options.bucket, Key: bucketKey(options, key) };
  const there = await bucket.send(new HeadObjectCommand(object), `inspecting ${key}`).catch((error: unknown) => {
    if (isRepriseError(error) && error.code === 'not-found') return null;
    throw error;
  });
  if (there !== null) return { made: false, tried: false };
  if (!(await createOnce(bucket, key, body, keep))) return { made: false, tried: true };
  if (!(await isRefusedTwice(bucket, key, body))) {
    await bucket.send(new DeleteObjectCommand(object), `removing ${key}`);
    throw new RepriseError(
      'capability-missing',
      `the server of the bucket ${options.bucket} ignores If-None-Match: two workers could overwrite each other's records there`,
      'update that server, or use a repository on another one',
    );
  }
  return { made: true, tried: true };
}

async function isRefusedTwice(bucket: S3Bucket, key: string, body: Buffer): Promise<boolean> {
  try {
    await bucket.send(putCommand(bucket, key, body, { ifAbsent: true }), `creating ${key}`);
    return false;
  } catch (error) {
    if (isPrecondition(error)) return true;
    throw error;
  }
}

async function createOnce(bucket: S3Bucket, key: string, body: Buffer, keep: boolean): Promise<boolean> {
  let lock = keep && bucket.options.objectLock !== undefined;
  let mayBeMine = false;
  for (let tries = 1; ; tries++) {
    try {
      await bucket.send(putCommand(bucket, key, body, { ifAbsent: true, keep: lock }), `creating ${key}`);
      return true;
    } catch (error) {
      if (lock && isLockRefused(error)) {
        // VersityGW writes the object before it finds that it cannot lock it.
        [lock, mayBeMine] = [false, true];
        continue;
      }
      if (isPrecondition(error))
        return (mayBeMine || Number(error.details['attempts'] ?? 1) > 1) && (await isThis(bucket, key, body));
      if (!isRepriseError(error) || error.details['s3'] !== 'ConditionalRequestConflict' || tries >= CONFLICT_TRIES)
        throw error;
      await sleep(CONFLICT_WAIT_MS * (1 + Math.random()));
    }
  }
}

/** A bucket without object lock, a server that knows none, or a key without the right s3:PutObjectRetention. */
const isLockRefused = (error: unknown): boolean =>
  isRepriseError(error) && [400, 403, 501].includes(Number(error.details['status']));

const isPrecondition = (error: unknown): error is RepriseError =>
  isRepriseError(error) && error.details['status'] === 412;

/** Sent twice because the first answer was lost, it may have been this very request that made the object. */
async function isThis(bucket: S3Bucket, key: string, body: Buffer): Promise<boolean> {
  const { options } = bucket;
  const answer = await bucket.send(
    new GetObjectCommand({ Bucket: options.bucket, Key: bucketKey(options, key) }),
    `reading ${key}`,
  );
  return body.equals(Buffer.from((await answer.Body?.transformToByteArray()) ?? []));
}
