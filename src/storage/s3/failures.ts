import { RepriseError } from '../../domain/errors.js';
import type { S3Options } from './options.js';

/** What an error of the SDK's says of itself, by shape: `instanceof` fails across module realms. */
interface ServiceError {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number };
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
  'list what is there with reprise backup list; where all of it is missing, check bucket, prefix and endpoint in reprise.yml with reprise storage plan';

/** Whether the credentials were refused, so that fresh ones may help (F12). */
export function isCredentialProblem(error: unknown): boolean {
  return credentialErrors.has((error as ServiceError | null)?.name ?? '');
}

/** Name of an S3 error, e.g. `NoSuchKey`; a HEAD without a body has only its status. */
export function s3ErrorName(error: unknown): string {
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

export function httpStatus(error: unknown): number | null {
  return (error as ServiceError | null)?.$metadata?.httpStatusCode ?? null;
}

/** A failed request in this program's words. Errors that are ours already pass through. */
export function s3Failure(error: unknown, options: S3Options, doing: string): RepriseError {
  if (error instanceof RepriseError) return error;
  const where = `the bucket ${options.bucket}${options.endpoint === undefined ? '' : ` at ${options.endpoint}`}`;
  const name = s3ErrorName(error);
  const status = httpStatus(error);
  const attempts = (error as ServiceError).$metadata?.attempts;
  const details = { s3: name, ...(status === null ? {} : { status }), ...(attempts === undefined ? {} : { attempts }) };
  const failed = (code: ConstructorParameters<typeof RepriseError>[0], why: string, hint: string) =>
    new RepriseError(code, `${where} cannot be used: ${doing} failed (${why})`, hint, details);
  if (name === 'NoSuchKey' || name === 'NoSuchVersion')
    return new RepriseError('not-found', `${where} has no such object: ${doing} failed`, NOT_THERE, details);
  if (name === 'NoSuchBucket')
    return failed(
      'storage-refused',
      name,
      'check bucket and endpoint of the repository in reprise.yml: reprise storage plan shows what is there, and reprise storage apply makes a bucket that is to be new',
    );
  if (name === 'InvalidObjectState')
    return new RepriseError(
      'object-cold',
      `${where} holds it in a cold class: ${doing} failed`,
      'a recovery asks for the thaw and waits for it; see reprise backup show',
      details,
    );
  if (isCredentialProblem(error))
    return failed(
      'storage-refused',
      name,
      `the credentials were refused, also after reading them anew: renew ${credentialsNamed(options)}`,
    );
  if (name === 'CredentialsProviderError')
    return failed(
      'storage-refused',
      'no credentials',
      'name access_key_id and secret_access_key in the repository, or give the worker a role',
    );
  if (status === 403 || name === 'AccessDenied')
    return failed(
      'storage-refused',
      name,
      'give this key the right in its policy, or see whether an object lock holds the object',
    );
  if (status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429)
    return failed(
      'storage-refused',
      name,
      'the server does not take this request; see what it supports with reprise storage plan',
    );
  return failed(
    'storage-unreachable',
    name,
    'see that the server answers and that endpoint, region and ca_file are right',
  );
}

/** Where the credentials come from, never what they are (F39). */
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
