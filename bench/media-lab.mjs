/** A MinIO of its own, and a bucket in it whose objects were damaged after an instant, as often as wanted. */
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListBucketsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { toolsDirectory } from '../dist/process/exec/find-programs.js';
import { freePorts } from '../dist/process/exec/ports.js';
import { readS3Options } from '../dist/storage/s3/options.js';
import { openS3 } from '../dist/storage/s3/s3-storage.js';

const concurrency = 32;

/** Every object has two versions; `damage` makes it so again, then deletes half of 5 % and overwrites the others. */
export async function damagedBucket({ client, make, place }, name, count) {
  const Bucket = await make(name, true);
  const keys = Array.from(
    { length: count },
    (_, n) => `media/${String(n % 100).padStart(2, '0')}/${String(n).padStart(7, '0')}.jpg`,
  );
  const body = randomBytes(4096);
  const put = (Key) =>
    client.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.concat([Buffer.from(Key), randomBytes(8), body]) }));
  await pMap(keys, put, { concurrency });
  const versions = await pMap(keys, async (Key) => ({ Key, VersionId: (await put(Key)).VersionId }), { concurrency });
  await sleep(1500);
  const at = Date.now();
  await sleep(1500);
  return {
    name,
    at,
    /** What was there at that instant. */
    versions,
    async damage() {
      const { storage, folder } = place(name);
      let Objects = [];
      const remove = async () => {
        if (Objects.length > 0)
          await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }));
        Objects = [];
      };
      for await (const { key, versionId, modifiedAt } of storage.objects.versions(folder)) {
        if (Date.parse(modifiedAt) > at && Objects.push({ Key: `${folder}${key}`, VersionId: versionId }) === 1000)
          await remove();
      }
      await remove();
      const damaged = keys.filter((_, n) => n % 20 === 7);
      await pMap(
        damaged,
        (Key, n) => (n % 2 === 0 ? client.send(new DeleteObjectCommand({ Bucket, Key })) : put(Key)),
        { concurrency },
      );
    },
  };
}

export async function startMinio(root, children) {
  const [port, consolePort] = await freePorts(2);
  const [id, key] = [`AK${randomBytes(9).toString('hex').toUpperCase()}`, randomBytes(20).toString('hex')];
  const endpoint = `http://127.0.0.1:${port}`;
  const env = {
    ...process.env,
    MINIO_ROOT_USER: id,
    MINIO_ROOT_PASSWORD: key,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
  };
  children.push(
    spawn(
      join(toolsDirectory(), 'minio-2026-02-12', 'minio'),
      [
        'server',
        '--quiet',
        '--address',
        `127.0.0.1:${port}`,
        '--console-address',
        `127.0.0.1:${consolePort}`,
        join(root, 'minio'),
      ],
      { env, stdio: 'ignore' },
    ),
  );
  const options = (bucket) =>
    readS3Options({
      bucket,
      endpoint,
      force_path_style: true,
      access_key_id: { env: 'id' },
      secret_access_key: { env: 'key' },
    });
  const secret = async (reference) => (reference.env === 'id' ? id : key);
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: id, secretAccessKey: key },
  });
  for (let tries = 0; tries < 300; tries++) {
    if (
      await client.send(new ListBucketsCommand({})).then(
        () => true,
        () => false,
      )
    )
      break;
    await sleep(100);
  }
  return {
    /** A client as Amazon's library makes it, with nothing of ours. */
    client,
    place: (name) => ({ name, storage: openS3(options(name), secret), folder: 'media/' }),
    environment: {
      AWS_ACCESS_KEY_ID: id,
      AWS_SECRET_ACCESS_KEY: key,
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_S3: endpoint,
    },
    /** Makes a bucket; returns its name. */
    async make(name, versioned = false) {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      if (versioned)
        await client.send(
          new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }),
        );
      return name;
    },
  };
}
