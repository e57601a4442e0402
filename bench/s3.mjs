/** An S3 server for a bench, with keys made for it. */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import * as https from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { toolsDirectory } from '../dist/process/exec/find-programs.js';
import { freePorts } from '../dist/process/exec/ports.js';
import { giveTo } from '../dist/files/directories.js';
import { makeScratchDirectory } from '../dist/postgres/server/scratch-directory.js';

/** Starts VersityGW over a directory; with TLS, its certificate is its own authority. */
export async function startS3(directory, { tls = false, user = null, buckets }) {
  await makeScratchDirectory(directory, user);
  for (const name of ['data', 'meta']) await mkdir(join(directory, name));
  const [port] = await freePorts(1);
  const keys = {
    AWS_ACCESS_KEY_ID: `AK${randomBytes(8).toString('hex')}`,
    AWS_SECRET_ACCESS_KEY: randomBytes(20).toString('hex'),
    AWS_REGION: 'us-east-1',
  };
  const caFile = tls ? join(directory, 'cert.pem') : null;
  const keyFile = join(directory, 'key.pem');
  if (tls)
    await promisify(execFile)('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      keyFile,
      '-out',
      caFile,
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
    ]);
  if (tls) await giveTo(caFile, user);
  const argv = [
    '--port',
    `127.0.0.1:${port}`,
    ...(tls ? ['--cert', caFile, '--key', keyFile] : []),
    '--region',
    'us-east-1',
    '--quiet',
    'posix',
    '--sidecar',
    join(directory, 'meta'),
    join(directory, 'data'),
  ];
  const env = { ...process.env, ROOT_ACCESS_KEY: keys.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: keys.AWS_SECRET_ACCESS_KEY };
  const child = spawn(join(toolsDirectory(), 'versitygw-1.8.0', 'versitygw'), argv, { env, stdio: 'ignore' });
  const endpoint = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const handler = tls
    ? new NodeHttpHandler({ httpsAgent: new https.Agent({ ca: await readFile(caFile) }) })
    : undefined;
  const client = new S3Client({
    region: 'us-east-1',
    endpoint,
    forcePathStyle: true,
    credentials: { accessKeyId: keys.AWS_ACCESS_KEY_ID, secretAccessKey: keys.AWS_SECRET_ACCESS_KEY },
    ...(handler ? { requestHandler: handler } : {}),
  });
  for (const Bucket of buckets) {
    for (let tries = 0; ; tries++) {
      const made = await client.send(new CreateBucketCommand({ Bucket })).then(
        () => true,
        () => false,
      );
      if (made) break;
      if (tries > 100) throw new Error('the S3 server does not answer');
      await sleep(100);
    }
  }
  client.destroy();
  const stop = async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { stop, endpoint, port, keys, caFile };
}

/** Keys of a repository in one of its buckets, as the storage reads them; its secrets are in the environment. */
export const s3Options = ({ endpoint, caFile }, bucket, more = {}) => ({
  ...{ bucket, prefix: '', region: 'us-east-1', endpoint, forcePathStyle: true },
  ...{ accessKeyId: { env: 'AWS_ACCESS_KEY_ID' }, secretAccessKey: { env: 'AWS_SECRET_ACCESS_KEY' } },
  ...{ partBytes: 8 * 1024 ** 2, concurrency: 4, thaw: { tier: 'Standard', days: 7 }, blockPublicAccess: true },
  ...(caFile === null ? {} : { caFile }),
  ...more,
});
