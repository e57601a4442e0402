import { beforeAll, describe } from '@jest/globals';
import { readS3Options } from '../../src/storage/s3/options.js';
import { openS3 } from '../../src/storage/s3/s3-storage.js';
import { resolveSecret } from '../../src/process/secrets.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startMinio, startMoto, startVersity } from '../helpers/s3-servers.js';
import type { S3Server } from '../helpers/s3-servers.js';
import { describeStorage } from './storage-suite.js';

failOnLeakedProcesses();

for (const [kind, start] of [['versitygw', startVersity], ['minio', startMinio], ['moto', startMoto]] as const) {
  describe(kind, () => {
    let server: S3Server;
    let count = 0;
    beforeAll(async () => {
      server = await start();
      await server.bucket('storage', { versioned: true });
    });
    describeStorage({ kind: `s3 on ${kind}`, open: async () => openS3(readS3Options(server.options('storage', { prefix: `test-${count++}` })), resolveSecret) });
  });
}
