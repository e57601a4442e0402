import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { beforeAll, describe } from '@jest/globals';
import { readS3Options } from '../../src/storage/s3/options.js';
import { openS3 } from '../../src/storage/s3/s3-storage.js';
import { resolveSecret } from '../../src/process/exec/secrets.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startMinio, startMoto, startVersity } from '../helpers/s3-servers.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { s3Cases } from './s3-cases.js';
import { describeStorage } from './storage-suite.js';

failOnLeakedProcesses();

for (const [kind, start] of [
  ['versitygw', startVersity],
  ['minio', startMinio],
  ['moto', startMoto],
] as const) {
  describe(kind, () => {
    let server: S3Server;
    let count = 0;
    beforeAll(async () => {
      server = await start();
      // VersityGW 1.8 with metadata beside the files never shows a key again that was removed in a versioned bucket
      // (versity/versitygw#2411).
      await server.bucket('storage', { versioned: kind !== 'versitygw' });
    });
    describeStorage({
      kind: `s3 on ${kind}`,
      open: async () =>
        openS3(
          readS3Options(server.options('storage', { prefix: `test-${count++}`, part_size: '5MiB', concurrency: 3 })),
          resolveSecret,
        ),
      bigBytes: 5 * 1024 ** 2,
      unfinished: async () => {
        const { Uploads } = await server.client.send(new ListMultipartUploadsCommand({ Bucket: 'storage' }));
        return (Uploads ?? []).map(({ Key }) => String(Key));
      },
    });
    s3Cases(() => server);
  });
}
