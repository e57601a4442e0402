import { beforeAll, describe, expect, it } from '@jest/globals';
import { resolveSecret } from '../../src/process/exec/secrets.js';
import { readS3Options } from '../../src/storage/s3/options.js';
import { openS3 } from '../../src/storage/s3/s3-storage.js';
import type { WritableStorage } from '../../src/storage/storage.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startMeddler } from '../helpers/meddler.js';
import { startMinio, startMoto } from '../helpers/s3-servers.js';
import type { S3Server } from '../helpers/s3-servers.js';

failOnLeakedProcesses();

const opened = (server: S3Server, endpoint: string): WritableStorage =>
  openS3(readS3Options(server.options('storage', { endpoint })), resolveSecret);

describe('createIfAbsent in a bucket', () => {
  let minio: S3Server;
  beforeAll(async () => {
    minio = await startMinio();
    await minio.bucket('storage');
  });

  it('K2, F10: knows its own object when the answer to its request was lost, and no other', async () => {
    let lose = 0;
    const endpoint = await startMeddler(minio.port, ({ method }) =>
      method === 'PUT' && lose-- > 0 ? { loseAnswer: true } : null,
    );
    const storage = opened(minio, endpoint);
    expect(await storage.createIfAbsent('first', 'the server proves itself')).toBe(true);
    lose = 1;
    expect(await storage.createIfAbsent('mine', 'mine')).toBe(true);
    lose = 1;
    expect(await storage.createIfAbsent('mine', 'another')).toBe(false);
    // Without a lost answer, the same body is somebody else's all the same.
    expect(await storage.createIfAbsent('mine', 'mine')).toBe(false);
    expect((await storage.read('mine')).toString()).toBe('mine');
  });

  it('K2: a server that ignores If-None-Match is found out before a record is trusted to it, and nothing is overwritten', async () => {
    // Of the servers at hand, moto takes a request of which a signed header is missing.
    const moto = await startMoto();
    await moto.bucket('storage');
    const endpoint = await startMeddler(moto.port, () => ({ withoutHeader: 'if-none-match' }));
    const storage = opened(moto, endpoint);
    await storage.write('there', 'before');
    expect(await storage.createIfAbsent('there', 'after')).toBe(false);
    expect((await storage.read('there')).toString()).toBe('before');
    for (const key of ['new', 'newer'])
      await expect(storage.createIfAbsent(key, 'x')).rejects.toMatchObject({ code: 'capability-missing' });
    expect(await storage.stat('new')).toBeNull();
  });
});
