import { ListObjectVersionsCommand, PutObjectLockConfigurationCommand } from '@aws-sdk/client-s3';
import { afterEach, describe, expect, test } from '@jest/globals';
import { resolveSecret } from '../../../src/process/exec/secrets.js';
import { openBucket } from '../../../src/storage/s3/client.js';
import { readS3Options } from '../../../src/storage/s3/options.js';
import { probeConditionalCreate, probeVersionTimes } from '../../../src/storage/s3/settings/probe.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { startMinio, startMoto, startVersity } from '../../helpers/s3-servers.js';
import type { S3Server } from '../../helpers/s3-servers.js';

failOnLeakedProcesses();

const cases = [
  { kind: 'minio', start: startMinio, times: 'written' },
  { kind: 'moto', start: startMoto, times: 'written' },
  { kind: 'versitygw', start: startVersity, times: 'superseded' },
] as const;

describe.each(cases)('P3: what $kind keeps', ({ start, times }) => {
  let server: S3Server | undefined;
  const opened = (bucket: string) =>
    openBucket(readS3Options(server!.options(bucket, { prefix: 'below/here' })), resolveSecret);
  const left = async (bucket: string) => {
    const page = await server!.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    return [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])];
  };

  afterEach(() => server?.stop());

  test(`K3: a noncurrent version has the time at which it was ${times}; the probes leave nothing`, async () => {
    server = await start();
    await server.bucket('versioned', { versioned: true });
    await server.bucket('plain');
    await expect(probeVersionTimes(opened('versioned'))).resolves.toMatchObject({ times });
    await expect(probeConditionalCreate(opened('versioned'))).resolves.toBe(true);
    await expect(probeVersionTimes(opened('plain'))).resolves.toMatchObject({ times: 'unversioned' });
    expect(await left('versioned')).toEqual([]);
    expect(await left('plain')).toEqual([]);

    await server.bucket('locked', { locked: true });
    const lock = (Mode: 'GOVERNANCE' | 'COMPLIANCE') =>
      server!.client.send(
        new PutObjectLockConfigurationCommand({
          Bucket: 'locked',
          ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention: { Mode, Days: 1 } } },
        }),
      );
    await lock('GOVERNANCE');
    await expect(probeVersionTimes(opened('locked'))).resolves.toMatchObject({ times });
    expect(await left('locked')).toEqual([]);
    await lock('COMPLIANCE');
    await expect(probeVersionTimes(opened('locked'))).resolves.toMatchObject({ times: 'unknown' });
    await expect(probeConditionalCreate(opened('locked'))).resolves.toBe('unknown');
    expect(await left('locked')).toEqual([]);
  });
});
