import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig, ServiceInputTypes, ServiceOutputTypes } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { BuildMiddleware, Command } from '@smithy/types';
import type { SecretReference } from '../../domain/config.js';
import { readCertificates } from '../../files/certificates.js';
import { workMoved } from '../../files/work-signs.js';
import { isCredentialProblem, s3Failure } from './failures.js';
import { rightOf } from './right-names.js';
import type { S3Options } from './options.js';

/** Gives the secret behind a reference; kept nowhere. */
export type ReadSecret = (reference: SecretReference) => Promise<string>;

/** Attempts of one request, with the SDK's own back-off between the attempts. */
const MAX_ATTEMPTS = 6;
const CONNECT_TIMEOUT_MS = 10_000;
/** Without a byte in either direction for so long, a request has failed. */
const SOCKET_TIMEOUT_MS = 60_000;

type AnyCommand<I extends ServiceInputTypes, O extends ServiceOutputTypes> = Command<
  ServiceInputTypes,
  I,
  ServiceOutputTypes,
  O,
  never
>;

/** One bucket, opened: requests with fresh credentials where the old ones have expired, errors in our words. */
export interface S3Bucket {
  readonly options: S3Options;
  /**
   * Sends one request. Credentials that are refused are read again once.
   * @param doing what is said of a failure, e.g. `reading a/b`
   * @throws RepriseError `storage-unreachable`, `storage-refused`, `not-found`...
   */
  send<I extends ServiceInputTypes, O extends ServiceOutputTypes>(
    command: AnyCommand<I, O>,
    doing: string,
    signal?: AbortSignal,
  ): Promise<O>;
  /** The SDK's client, for its helpers that need one. */
  client(): Promise<S3Client>;
}

/** Opens a bucket; nothing is sent before the first request. */
export function openBucket(options: S3Options, readSecret: ReadSecret): S3Bucket {
  let current: Promise<S3Client> | null = null;
  const client = (): Promise<S3Client> => {
    current ??= makeClient(options, readSecret).catch((error: unknown) => {
      current = null;
      throw error;
    });
    return current;
  };
  return {
    options,
    client,
    async send(command, doing, signal) {
      const request = async () => {
        const used = client();
        try {
          const answer: unknown = await (await used).send(command as never, signal ? { abortSignal: signal } : {});
          workMoved();
          return answer;
        } catch (error) {
          // Whoever comes first throws the client away; the others find the new one.
          if (isCredentialProblem(error) && current === used) current = null;
          throw error;
        }
      };
      try {
        return (await request().catch((error: unknown) => {
          if (!isCredentialProblem(error) || signal?.aborted) throw error;
          return request();
        })) as never;
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        throw s3Failure(error, options, doing, rightOf(command));
      }
    },
  };
}

async function makeClient(options: S3Options, readSecret: ReadSecret): Promise<S3Client> {
  // Its warning of versions of Node.js to come would be among the errors of a backup.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const credentials = await credentialsOf(options, readSecret);
  const ca = await readCertificates(options.caFile, 'check ca_file and its owner');
  const agent = { keepAlive: true, maxSockets: Math.max(50, options.concurrency * 2) };
  const config: S3ClientConfig = {
    region: options.region,
    forcePathStyle: options.forcePathStyle,
    maxAttempts: MAX_ATTEMPTS,
    // Not every server knows these checksums: they are sent and requested only where the operation, or an object lock, demands them.
    requestChecksumCalculation:
      options.endpoint === undefined || options.objectLock !== undefined ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Amazon's buckets are in many regions, and what is copied into this one may be in another.
    ...(options.endpoint === undefined ? { followRegionRedirects: true } : { endpoint: options.endpoint }),
    ...(credentials === null ? {} : { credentials }),
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SOCKET_TIMEOUT_MS,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, ca }),
    }),
  };
  const client = new S3Client(config);
  client.middlewareStack.add(trustMd5, { step: 'build', name: 'trustMd5' });
  // For a copy on the server, these are a quarter of the work here: logs nobody reads, and a description of this computer.
  for (const name of ['loggerMiddleware', 'recursionDetectionMiddleware', 'getUserAgentMiddleware'])
    client.middlewareStack.remove(name);
  client.middlewareStack.add(nameUs, { step: 'build', name: 'nameUs' });
  return client;
}

/** Some proxies refuse requests that do not say whose they are. */
const nameUs: BuildMiddleware<ServiceInputTypes, ServiceOutputTypes> = (next) => (args) => {
  const { headers } = args.request as { headers: Record<string, string> };
  headers['user-agent'] = 'reprise';
  return next(args);
};

/**
 * A body whose MD5 is among the signed headers need not be hashed a second time for the signature (Amazon S3 API
 * reference, "unsigned payload"): for an uploader that is a third of its work.
 */
const trustMd5: BuildMiddleware<ServiceInputTypes, ServiceOutputTypes> = (next) => (args) => {
  const { headers } = args.request as { headers: Record<string, string> };
  if (headers['content-md5'] !== undefined) headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
  return next(args);
};

async function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Options, readSecret: ReadSecret) {
  if (accessKeyId === undefined || secretAccessKey === undefined) return null;
  return {
    accessKeyId: await readSecret(accessKeyId),
    secretAccessKey: await readSecret(secretAccessKey),
    sessionToken: sessionToken === undefined ? undefined : await readSecret(sessionToken),
  };
}
