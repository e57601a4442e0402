import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, it } from '@jest/globals';
import type { SecretReference } from '../../../src/domain/config.js';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { openS3 } from '../../../src/storage/s3/s3-storage.js';
import type { WritableStorage } from '../../../src/storage/storage.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMeddler } from '../../helpers/meddler.js';
import { freePort } from '../../helpers/ports.js';
import { startMinio, startMoto } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';
import { startBadNetwork } from '../../helpers/toxiproxy.js';
import type { BadNetwork } from '../../helpers/toxiproxy.js';

failOnLeakedProcesses();

let minio: S3Server;
let network: BadNetwork;
const content = randomBytes(23 * 1024 ** 2);
const sha256 = createHash('sha256').update(content).digest('hex');

beforeAll(async () => {
  minio = await startMinio();
  await minio.bucket('storage');
  network = await startBadNetwork(minio.port);
});

const open = (
  more: Readonly<Record<string, unknown>> = {},
  secret = (reference: SecretReference) => resolveSecret(reference),
): WritableStorage =>
  openS3(
    readS3Options(
      minio.options('storage', { endpoint: `http://127.0.0.1:${network.port}`, part_size: '5MiB', ...more }),
    ),
    secret,
  );
const unfinished = async (Prefix: string): Promise<number> =>
  ((await minio.client.send(new ListMultipartUploadsCommand({ Bucket: 'storage', Prefix }))).Uploads ?? []).length;

/** The content in small pieces, with something done when so much of it was taken. */
async function* pieces(at: number, then: () => Promise<unknown>): AsyncGenerator<Buffer> {
  let done = false;
  for (let from = 0; from < content.length; from += 65_536) {
    if (from >= at && !done) {
      done = true;
      await then();
    }
    yield content.subarray(from, from + 65_536);
  }
}

it('F10: an upload outlasts answers of 500 and 503, and stays the same upload', async () => {
  let begun = 0;
  const failures = [503, 500, 503, 503, 500, 503, 503, 503];
  const endpoint = await startMeddler(minio.port, ({ method, url = '' }) => {
    if (method === 'POST' && url.includes('uploads')) begun += 1;
    const status = url.includes('partNumber=2&') ? failures.pop() : undefined;
    return status === undefined ? null : { status };
  });
  const storage = open({ endpoint });
  expect(await storage.writeStream('5xx', Readable.from(pieces(0, async () => undefined)))).toMatchObject({
    sha256,
    parts: 5,
  });
  expect([begun, failures.length]).toEqual([1, 0]);
});

it('F10: an upload outlasts a network that is gone for seconds, tells what it waits for, and goes on as the same', async () => {
  const storage = open();
  const waits: string[] = [];
  // It comes back when a second wait was told: that is after seconds, and never after the last try.
  let back: Promise<void> | undefined;
  const written = await storage.writeStream(
    'cut-off',
    Readable.from(pieces(12 * 1024 ** 2, () => network.enable(false))),
    {
      report: (_bytes, waiting) => {
        if (waiting === undefined || waits.push(waiting) < 2) return;
        back ??= network.enable(true);
      },
    },
  );
  await back;
  expect(written).toMatchObject({ sha256, sizeBytes: content.length });
  expect(waits[0]).toMatch(/\(.*(ECONNREFUSED|ECONNRESET|socket hang up).*\); try 2 of/);
  expect(await unfinished('cut-off')).toBe(0);
});

it('F10, F11: an upload whose connections are reset goes on; one that is given up leaves nothing', async () => {
  const storage = open();
  const heal = await network.toxic('reset_peer', { timeout: 40 }, 'upstream');
  let healed: Promise<void> | undefined;
  const report = (_bytes: number, waiting?: string): void => {
    if (waiting !== undefined) healed ??= heal();
  };
  expect(await storage.writeStream('reset', Readable.from(pieces(0, async () => undefined)), { report })).toMatchObject(
    { sha256 },
  );
  await (healed ?? heal());

  const stop = new AbortController();
  const giveUp = storage.writeStream(
    'given-up',
    Readable.from(pieces(17 * 1024 ** 2, async () => stop.abort(new Error('given up')))),
    { signal: stop.signal },
  );
  await expect(giveUp).rejects.toThrow('given up');
  expect([await storage.stat('given-up'), await unfinished('given-up')]).toEqual([null, 0]);
});

it('F10: reading goes on where a connection broke, each time from the same version', async () => {
  const storage = open();
  await storage.writeStream('read', Readable.from(pieces(0, async () => undefined)));
  const heal = await network.toxic('limit_data', { bytes: 4_000_000 });
  const read = createHash('sha256')
    .update(await buffer(await storage.open('read')))
    .digest('hex');
  expect(read).toBe(sha256);
  // Replaced in the middle of it: what is left is of another object.
  const stream = await storage.open('read');
  await expect(
    (async () => {
      let seen = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (seen === 0)
          await minio.client.send(
            new PutObjectCommand({ Bucket: 'storage', Key: 'read', Body: Buffer.alloc(content.length) }),
          );
        seen += chunk.length;
      }
    })(),
  ).rejects.toMatchObject({ code: 'conflict' });
  await heal();
});

it('F10: a storage that is not there at all is told as that, after a bounded time', async () => {
  await expect(open({ endpoint: `http://127.0.0.1:${await freePort()}` }).stat('x')).rejects.toMatchObject({
    code: 'storage-unreachable',
    message: expect.stringContaining('ECONNREFUSED'),
  });
});

it('F12: credentials that are refused are read anew once, also within an upload; then it is told where they come from', async () => {
  const wrong = 'AKWRONGWRONGWRONG';
  let reads = 0;
  const rotated = async (reference: SecretReference): Promise<string> => {
    const value = await resolveSecret(reference);
    if ('file' in reference && reference.file === minio.idFile) {
      reads += 1;
      // Somebody rotates the key after it was read.
      await writeFile(minio.idFile, minio.accessKeyId, { mode: 0o600 });
    }
    return value;
  };
  await writeFile(minio.idFile, wrong, { mode: 0o600 });
  expect(await open({}, rotated).writeStream('rotated', Readable.from(pieces(0, async () => undefined)))).toMatchObject(
    { sha256 },
  );
  expect(reads).toBe(2);

  await writeFile(minio.idFile, wrong, { mode: 0o600 });
  const refused: unknown = await open()
    .write('x', 'x')
    .catch((error: unknown) => error);
  await writeFile(minio.idFile, minio.accessKeyId, { mode: 0o600 });
  expect(refused).toMatchObject({ code: 'storage-refused', hint: expect.stringContaining(`the file ${minio.idFile}`) });
  const said = JSON.stringify(refused) + String(refused);
  for (const secret of [wrong, minio.secretAccessKey]) expect(said).not.toContain(secret);
});

it('F13: an object in a cold class is told as cold, not as broken', async () => {
  const moto = await startMoto();
  await moto.bucket('storage');
  await moto.client.send(
    new PutObjectCommand({ Bucket: 'storage', Key: 'cold', Body: 'x', StorageClass: 'DEEP_ARCHIVE' }),
  );
  const storage = openS3(readS3Options(moto.options('storage')), resolveSecret);
  expect(await storage.stat('cold')).toMatchObject({ sizeBytes: 1 });
  await expect(storage.read('cold')).rejects.toMatchObject({ code: 'object-cold' });
});
