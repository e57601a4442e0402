import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CopyObjectCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { repositoryFindings } from '../../../src/doctor/repository.js';
import { IDENTITY_FILE } from '../../../src/domain/storage/repository-identity.js';
import { writeUploadOrder } from '../../../src/process/jobs/upload-order.js';
import { repositoriesOf } from '../../../src/worker/repositories.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { type S3Server, startMoto } from '../../helpers/s3-servers.js';
import { tempDir } from '../../helpers/temp.js';
import { uploaderArgv } from '../../helpers/uploader.js';

failOnLeakedProcesses();

let server: S3Server;
let bucket: string;
let stateDir: string;
let repository: Parameters<typeof repositoryFindings>[0];

/** As a worker that has just started opens it. */
function opened() {
  const clusters = { mairie: { catalogue: 'offsite', policies: {} } };
  const config = { hosts: { db1: { stateDir } }, clusters } as unknown as Parameters<typeof repositoriesOf>[0];
  return repositoriesOf(config, 'db1').openStorage(repository, null);
}

/** Runs the uploader with a program that prints something and leaves a trace; its exit code, last line and trace. */
async function upload(key: string) {
  const trace = join(stateDir, `ran-${key.replaceAll('/', '-')}`);
  const order = await writeUploadOrder(stateDir, key, {
    ...{ operationId: 'op', repository, stateDir, key, env: { PATH: '/usr/bin:/bin' }, variables: {} },
    argv: ['/bin/sh', '-c', `echo ran >${trace}; echo content`],
  });
  const [program = '', ...argv] = uploaderArgv;
  const ended = await promisify(execFile)(program, [...argv, order]).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
  const ran = await readFile(trace, 'utf8').catch(() => null);
  return { code: ended.code, ran, line: JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '{}') as object };
}

const refused = (why: string) => ({
  code: 'repository-mismatch',
  message: expect.stringContaining(why) as unknown,
  hint: expect.stringContaining('reprise storage accept offsite') as unknown,
});

beforeAll(async () => {
  server = await startMoto();
  bucket = await server.bucket('identity', { versioned: true });
  stateDir = await tempDir('state');
  repository = { name: 'offsite', type: 's3', options: readS3Options(server.options(bucket)) } as typeof repository;
});

describe('W1: a bucket carries the identity of its repository', () => {
  test('W1: the first write makes it; the uploader, a process of its own, writes there too', async () => {
    await opened().write('a', '1');
    const marker = JSON.parse((await opened().read(IDENTITY_FILE)).toString('utf8')) as object;
    expect(marker).toMatchObject({ id: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown });
    expect(await upload('mairie/first')).toMatchObject({ code: 0, ran: 'ran\n', line: { written: { sizeBytes: 8 } } });
  });

  test.each([
    ['is not there', () => new DeleteObjectCommand({ Bucket: bucket, Key: IDENTITY_FILE })],
    [
      'is that of another repository',
      () => {
        const id = '11111111-1111-4111-8111-111111111111';
        const Body = JSON.stringify({ schemaVersion: 1, id, madeAt: '2026-11-21T02:15:00Z' });
        return new PutObjectCommand({ Bucket: bucket, Key: IDENTITY_FILE, Body });
      },
    ],
  ])(
    'W1: where it %s the bucket is neither read nor written, by the worker, the uploader and doctor',
    async (why, change) => {
      const { client } = server;
      const Bucket = bucket;
      await client.send(new CopyObjectCommand({ Bucket, Key: 'kept', CopySource: `${bucket}/${IDENTITY_FILE}` }));
      await client.send(change() as DeleteObjectCommand);
      await expect(opened().read('a')).rejects.toMatchObject(refused(why));
      await expect(opened().write('b', '2')).rejects.toMatchObject(refused(why));
      const { code, ran, line } = await upload(`mairie/${why.length}`);
      expect({ code, ran, line }).toMatchObject({ code: 75, ran: null, line: { failed: refused(why) } });
      expect(await repositoryFindings(repository, { stateDir })).toMatchObject([
        { check: 'repository/offsite/identity', level: 'problem', message: expect.stringContaining(why) as unknown },
      ]);
      await client.send(new CopyObjectCommand({ Bucket, Key: IDENTITY_FILE, CopySource: `${bucket}/kept` }));
      expect((await opened().read('a')).toString('utf8')).toBe('1');
    },
  );
});
