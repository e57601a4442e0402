import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { certificate } from './certificate.js';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import { reaperOfFile, tempDir } from './temp.js';
import { testTools } from './test-tools.js';

/** A real S3 server of this test file's own. */
export interface S3Server {
  readonly kind: 'versitygw' | 'minio' | 'moto';
  readonly endpoint: string;
  readonly port: number;
  readonly caFile?: string;
  /** Where VersityGW keeps objects: a bucket's folder holds each as a file. */
  readonly dataDir?: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Files that hold the two, 0600, for a reprise.yml. */
  readonly idFile: string;
  readonly keyFile: string;
  /** A client with all rights. */
  readonly client: S3Client;
  /** The server's process; gone after {@link stop}. */
  stop(): Promise<void>;
  /** Makes a bucket; a versioned one on request. */
  bucket(name: string, how?: { versioned?: boolean; locked?: boolean }): Promise<string>;
  /** Keys of a repository of type `s3` in reprise.yml for one of its buckets, as one YAML flow map. */
  repositoryYaml(bucket: string, more?: string): string;
  /** The same as `RepositoryConfig.options`' raw text values, for `readS3Options`. */
  options(bucket: string, more?: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
}

/** VersityGW with TLS, over a directory of its own. A noncurrent version there has the time at which it was superseded. */
export async function startVersity({ tls = true } = {}): Promise<S3Server> {
  const root = await tempDir('versity');
  for (const name of ['data', 'versions', 'meta']) await mkdir(join(root, name));
  const port = await freePort();
  const secure = tls ? await certificate() : null;
  const tlsArguments =
    secure === null ? [] : ['--cert', secure.certFile, '--key', secure.certFile.replace(/cert\.pem$/, 'key.pem')];
  const keys = newKeys();
  const server = await startServer('versitygw', port, keys, secure?.certFile, () =>
    spawn(
      testTools.versitygw(),
      [
        '--port',
        `127.0.0.1:${port}`,
        ...tlsArguments,
        '--region',
        'us-east-1',
        '--quiet',
        'posix',
        '--sidecar',
        join(root, 'meta'),
        '--versioning-dir',
        join(root, 'versions'),
        join(root, 'data'),
      ],
      {
        env: { ...process.env, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey },
        stdio: 'ignore',
      },
    ),
  );
  return { ...server, dataDir: join(root, 'data') };
}

/** MinIO: the right times of versions, to the millisecond; no storage classes. */
export async function startMinio(): Promise<S3Server> {
  const root = await tempDir('minio');
  const port = await freePort();
  const consolePort = await freePort();
  const keys = newKeys();
  return startServer('minio', port, keys, undefined, () =>
    spawn(
      testTools.minio(),
      ['server', '--quiet', '--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`, root],
      {
        env: {
          ...process.env,
          MINIO_ROOT_USER: keys.accessKeyId,
          MINIO_ROOT_PASSWORD: keys.secretAccessKey,
          MINIO_BROWSER: 'off',
          MINIO_UPDATE: 'off',
          MINIO_CI_CD: 'on',
        },
        stdio: 'ignore',
      },
    ),
  );
}

/** moto: lifecycle and storage classes; all in memory, times to the second as Amazon's. */
export async function startMoto(env: Readonly<Record<string, string>> = {}): Promise<S3Server> {
  const port = await freePort();
  return startServer('moto', port, newKeys(), undefined, () =>
    spawn('python3', ['-m', 'moto.server', '--host', '127.0.0.1', '--port', String(port)], {
      env: { ...process.env, PYTHONPATH: testTools.moto(), ...env },
      stdio: 'ignore',
    }),
  );
}

interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const newKeys = (): Keys => ({
  accessKeyId: `AK${randomBytes(9).toString('hex').toUpperCase()}`,
  secretAccessKey: randomBytes(20).toString('hex'),
});

async function startServer(
  kind: S3Server['kind'],
  port: number,
  keys: Keys,
  caFile: string | undefined,
  start: () => ChildProcess,
): Promise<S3Server> {
  const child = start();
  if (child.pid !== undefined) reaperOfFile().process(child.pid);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  onCleanup(stop);
  const endpoint = `${caFile === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const agent = caFile === undefined ? undefined : new https.Agent({ ca: await readFile(caFile) });
  const client = new S3Client({
    region: 'us-east-1',
    endpoint,
    forcePathStyle: true,
    credentials: keys,
    requestHandler: new NodeHttpHandler(agent ? { httpsAgent: agent } : {}),
  });
  onCleanup(async () => client.destroy());
  await answering(child, endpoint, agent);
  const secrets = await tempDir('s3-keys');
  const idFile = join(secrets, 'id');
  const keyFile = join(secrets, 'key');
  await writeFile(idFile, keys.accessKeyId, { mode: 0o600 });
  await writeFile(keyFile, keys.secretAccessKey, { mode: 0o600 });
  const options = (
    bucket: string,
    more: Readonly<Record<string, unknown>> = {},
  ): Readonly<Record<string, unknown>> => ({
    ...{ bucket, endpoint, force_path_style: true },
    ...{ access_key_id: { file: idFile }, secret_access_key: { file: keyFile } },
    ...(caFile === undefined ? {} : { ca_file: caFile }),
    ...more,
  });
  return {
    ...{ kind, endpoint, port, client, stop, idFile, keyFile, options },
    ...keys,
    ...(caFile === undefined ? {} : { caFile }),
    async bucket(name, { versioned = false, locked = false } = {}) {
      await client.send(
        new CreateBucketCommand({ Bucket: name, ...(locked ? { ObjectLockEnabledForBucket: true } : {}) }),
      );
      if (versioned && !locked)
        await client.send(
          new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }),
        );
      return name;
    },
    repositoryYaml: (bucket, more = '') =>
      `{ type: s3, ${JSON.stringify(options(bucket)).slice(1, -1)}${more === '' ? '' : `, ${more}`} }`,
  };
}

/** Waits until the server answers anything at all. */
async function answering(child: ChildProcess, endpoint: string, agent: https.Agent | undefined): Promise<void> {
  for (const limit = Date.now() + 600_000; Date.now() < limit;) {
    if (child.exitCode !== null) throw new Error(`the S3 server ended with ${child.exitCode}`);
    const status = await new Promise<number | null>((resolve) => {
      const asked = (agent ? https : http).request(endpoint, agent ? { agent } : {}, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      asked.on('error', () => resolve(null));
      asked.end();
    });
    if (status !== null && status < 500) return;
    await sleep(50);
  }
  throw new Error('the S3 server does not answer');
}
