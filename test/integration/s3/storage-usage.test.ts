import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, it } from '@jest/globals';
import type { StorageUsage } from '../../../src/domain/storage/storage-usage.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMoto, startVersity } from '../../helpers/s3-servers.js';
import { told } from '../../helpers/site-cli.js';
import { storageSite } from '../../helpers/storage-site.js';

failOnLeakedProcesses();

describe.each([
  ['moto', startMoto, 'DEEP_ARCHIVE'],
  ['versitygw', startVersity, 'STANDARD'],
] as const)('P6: storage usage on %s', (_kind, start, cold) => {
  it('counts old versions and unfinished uploads, by class and cluster, over several pages, and what they cost', async () => {
    const server = await start(cold === 'DEEP_ARCHIVE' ? { MOTO_S3_DEFAULT_MAX_KEYS: '2' } : {});
    const Bucket = await server.bucket('used', { versioned: true });
    const put = (Key: string, bytes: number, more = {}) =>
      server.client.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.alloc(bytes), ...more }));
    await put('postgres/mairie/dump/a', 100);
    await put('postgres/mairie/dump/a', 200);
    await put('postgres/mairie/dump/gone', 400);
    await server.client.send(new DeleteObjectCommand({ Bucket, Key: 'postgres/mairie/dump/gone' }));
    await put('postgres/mairie/dump/old', 1000, cold === 'STANDARD' ? {} : { StorageClass: cold });
    await put('postgres/other/x', 7);
    await put('elsewhere/not-ours', 5000);
    const upload = await server.client.send(
      new CreateMultipartUploadCommand({ Bucket, Key: 'postgres/mairie/dump/broken-off' }),
    );
    await server.client.send(
      new UploadPartCommand({
        Bucket,
        Key: 'postgres/mairie/dump/broken-off',
        UploadId: upload.UploadId,
        PartNumber: 1,
        Body: Buffer.alloc(3000),
      }),
    );

    const prices = 'prices: { currency: EUR, per_gb_month: { STANDARD: 1024, DEEP_ARCHIVE: 1 } }';
    const where = await storageSite({
      repositories: `  offsite: ${server.repositoryYaml(Bucket, `prefix: postgres, ${prices}`)}`,
      catalogue: 'offsite',
    });
    const { usage } = await where.answer<'storage-usage'>({ kind: 'storage-usage', repository: 'offsite' });
    const seen = usage.rows.map(({ cluster, storageClass, state, objects, bytes }) =>
      [cluster, storageClass, state, objects, bytes].join(' '),
    );
    const current =
      cold === 'STANDARD'
        ? ['mairie STANDARD current 2 1200']
        : ['mairie DEEP_ARCHIVE current 1 1000', 'mairie STANDARD current 1 200'];
    expect(seen).toEqual([
      ...current,
      'mairie STANDARD noncurrent 2 500',
      'mairie STANDARD unfinished 1 3000',
      ' STANDARD current 1 7',
    ]);
    expect(usage.total).toMatchObject({ objects: 6, bytes: 4707 });
    const archived = cold === 'STANDARD' ? 1000 * 1024 : 1000 + 40 * 1024;
    expect(usage.total.monthlyCost).toBeCloseTo((3707 * 1024 + archived) / 2 ** 30, 9);
    await server.stop();
  });
});

it('P6: a directory is added up by cluster; the command line shows it, with no cost where the config names none', async () => {
  const where = await storageSite({
    repositories: '  offsite: { type: directory, path: ./backups, host: db1 }',
    catalogue: 'offsite',
  });
  await mkdir(join(where.root, 'backups', 'mairie', 'dump'), { recursive: true });
  await writeFile(join(where.root, 'backups', 'mairie', 'dump', 'a'), Buffer.alloc(1234));
  await writeFile(join(where.root, 'backups', 'stray'), 'x');
  const { exit, document } = await told<{ repositories: StorageUsage[] }>(where, 'storage', 'usage');
  expect(exit).toBe(0);
  expect(document).toMatchObject({
    schemaVersion: 1,
    repositories: [
      { repository: 'offsite', host: 'db1', currency: null, total: { objects: 2, bytes: 1235, monthlyCost: null } },
    ],
  });
  expect((await where.cli('storage', 'usage', 'offsite')).stdout).toMatch(
    /mairie\s+DISK\s+current\s+1\s+1\.2 kB\s+-\n[\s\S]*no price is known for DISK/,
  );
});
