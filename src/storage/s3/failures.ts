import { RepriseError, type ErrorCode } from '../../domain/errors.js';
import type { S3Options } from './options.js';

/** What an error of the SDK's says of itself, by shape: `instanceof` fails across module realms. */
interface ServiceError {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

const credentialErrors = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'RequestExpired',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'InvalidToken',
  'TokenRefreshRequired',
]);

/** What to do where an object is not there. */
export const NOT_THERE =
  'list the backups with reprise backup list; where all of it is missing, check bucket, prefix and endpoint in reprise.yml with reprise storage plan';

/** Whether the credentials were refused, so that fresh ones may help. */
export function isCredentialProblem(error: unknown): boolean {
  return credentialErrors.has((error as ServiceError | null)?.name ?? '');
}

/** Name of an S3 error, e.g. `NoSuchKey`; a HEAD without a body has only its status. */
function s3ErrorName(error: unknown): string {
  const { name, code, message, $metadata } = (error ?? {}) as ServiceError;
  if ($metadata?.httpStatusCode === 404 && (name === 'NotFound' || name === 'UnknownError' || name === undefined))
    return 'NoSuchKey';
  // What fails below HTTP has a name that says nothing.
  return (
    (name === 'Error' || name === 'AggregateError'
      ? (code ?? message?.replace(/^AWS SDK error wrapper for (?:Error: )?/, ''))
      : name) ?? 'unknown'
  );
}

function httpStatus(error: unknown): number | null {
  return (error as ServiceError | null)?.$metadata?.httpStatusCode ?? null;
}

function skewOf(error: unknown): number | null {
  const date = (error as ServiceError | null)?.$response?.headers?.['date'];
  const there = Date.parse(date ?? '');
  return Number.isNaN(there) ? null : (Date.now() - there) / 1000;
}

interface FailedRequest {
  /** As S3 calls it. */
  readonly name: string;
  readonly status: number | null;
  /** How far this host's clock is from that of the server; null where the answer has no date. */
  readonly skewSeconds: number | null;
}

/** S3 refuses requests whose time is further off. */
const MOST_SKEW_SECONDS = 900;

/** A HEAD is refused without a body: then the date of the answer tells. */
function isOfWrongClock({ name, status, skewSeconds }: FailedRequest): boolean {
  return name === 'RequestTimeTooSkewed' || (status === 403 && Math.abs(skewSeconds ?? 0) > MOST_SKEW_SECONDS);
}

/** What a kind of failure means; the first rule that matches decides. */
interface FailureRule {
  matches(request: FailedRequest): boolean;
  readonly code: ErrorCode;
  /** What is said of the bucket; default: that it cannot be used, with the name that S3 gives the failure. */
  says?(doing: string): string;
  hint(options: S3Options, right: string | undefined): string;
}

const rules: readonly FailureRule[] = [
  {
    matches: ({ name }) => name === 'NoSuchKey' || name === 'NoSuchVersion',
    code: 'not-found',
    says: (doing) => `has no such object: ${doing} failed`,
    hint: () => NOT_THERE,
  },
  {
    matches: ({ name }) => name === 'NoSuchBucket',
    code: 'storage-refused',
    hint: () =>
      'check bucket and endpoint of the repository in reprise.yml: reprise storage plan shows what exists, and reprise storage apply creates a new bucket',
  },
  {
    matches: ({ name }) => name === 'InvalidObjectState',
    code: 'object-cold',
    says: (doing) => `has it in an archive class: ${doing} failed`,
    hint: () => 'a recovery requests the thaw and waits for it; see reprise backup show',
  },
  {
    matches: isOfWrongClock,
    code: 'storage-refused',
    says: (doing) => `refuses the requests of this host, whose clock is wrong: ${doing} failed`,
    hint: () => 'set the clock (timedatectl status), then run the step again',
  },
  {
    matches: ({ name }) => credentialErrors.has(name),
    code: 'storage-refused',
    hint: (options) =>
      `the credentials were refused, also after reading them again: renew ${credentialsNamed(options)}`,
  },
  {
    matches: ({ name }) => name === 'CredentialsProviderError',
    code: 'storage-refused',
    says: (doing) => `cannot be used: ${doing} failed (no credentials)`,
    hint: () => 'name access_key_id and secret_access_key in the repository, or give the worker a role',
  },
  {
    matches: ({ name, status }) => status === 403 || name === 'AccessDenied',
    code: 'storage-refused',
    hint: (_options, right) =>
      `give this key the right ${right ?? 'to do this'} in its policy, or see whether an object lock holds the object`,
  },
  {
    // 408 and 429 pass.
    matches: ({ status }) => status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429,
    code: 'storage-refused',
    hint: () => 'the server does not accept this request; see what it supports with reprise storage plan',
  },
  {
    matches: () => true,
    code: 'storage-unreachable',
    hint: () => 'check that the server answers and that endpoint, region and ca_file are right',
  },
];

/**
 * A failed request in this program's words. Errors that are ours already pass through.
 * @param right that the request needs, as policies name it
 */
export function s3Failure(error: unknown, options: S3Options, doing: string, right?: string): RepriseError {
  if (error instanceof RepriseError) return error;
  const request = { name: s3ErrorName(error), status: httpStatus(error), skewSeconds: skewOf(error) };
  const { code, says, hint } = rules.find((rule) => rule.matches(request)) as FailureRule;
  const { name } = request;
  // Whoever takes 403 for a right that lacks must not take this for one.
  const status = isOfWrongClock(request) ? null : request.status;
  const attempts = (error as ServiceError | null)?.$metadata?.attempts;
  const where = `the bucket ${options.bucket}${options.endpoint === undefined ? '' : ` at ${options.endpoint}`}`;
  return new RepriseError(
    code,
    `${where} ${says?.(doing) ?? `cannot be used: ${doing} failed (${name})`}`,
    hint(options, right),
    { s3: name, ...(status === null ? {} : { status }), ...(attempts === undefined ? {} : { attempts }) },
  );
}

/** Where the credentials come from, never what they are. */
function credentialsNamed({ accessKeyId, secretAccessKey, sessionToken }: S3Options): string {
  const named = [accessKeyId, secretAccessKey, sessionToken].flatMap((reference) => {
    if (reference === undefined) return [];
    if ('env' in reference) return [`the environment variable ${reference.env}`];
    return 'file' in reference
      ? [`the file ${reference.file}`]
      : [`what ${reference.command[0] ?? 'the command'} prints`];
  });
  return named.length === 0 ? "what Amazon's own tools find (environment, profile, role)" : named.join(', ');
}
