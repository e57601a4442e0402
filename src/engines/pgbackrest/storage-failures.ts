import type { ErrorCode } from '../../domain/errors.js';

/** What the words of pgBackRest say of an object store, whose failures it ends with one exit code. */
interface StorageRule {
  readonly says: RegExp;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** Most telling first; wording of pgBackRest 2.45 and later, error codes of Amazon's S3 API reference. A HEAD has no body: its status tells. */
const rules: readonly StorageRule[] = [
  {
    says: /<Code>(?:NoSuchBucket|InvalidBucketName)</,
    code: 'storage-refused',
    message: 'the bucket of the repository does not exist',
    hint: 'correct repo1-s3-bucket, repo1-s3-endpoint and repo1-s3-region in pgbackrest.conf, or create the bucket: reprise storage plan',
  },
  {
    says: /<Code>RequestTimeTooSkewed</,
    code: 'storage-refused',
    message: 'the clock of this host is wrong, and the storage refuses its requests',
    hint: 'set the clock (timedatectl status), then run the step again',
  },
  {
    says: /HTTP request failed with 40[13]|<Code>(?:ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied)</,
    code: 'storage-refused',
    message: 'the storage refuses the credentials, or what they ask for',
    hint: 'renew repo1-s3-key and repo1-s3-key-secret (or repo1-s3-token) in pgbackrest.conf, which every command reads anew, or give that key the right in its policy',
  },
  {
    says: /in certificate common name|certificate verify failed|unable to verify certificate/,
    code: 'config-invalid',
    message: 'the certificate of the storage is not trusted',
    hint: 'name its authority in repo1-storage-ca-file, and the storage in repo1-s3-endpoint by a name that stands in its certificate (pgBackRest knows no addresses there)',
  },
  {
    says: /HTTP request failed with (?:408|429|5\d\d)/,
    code: 'storage-unreachable',
    message: 'the storage does not answer as it should',
    hint: 'see that it works; the step is tried again',
  },
  {
    says: /HTTP request failed with 4\d\d/,
    code: 'storage-refused',
    message: 'the storage refuses a request',
    hint: 'check repo1-* in pgbackrest.conf; what the storage says stands below "Response Content" of: pgbackrest --stanza=... info',
  },
];

export function storageRule(output: string): StorageRule | undefined {
  return rules.find(({ says }) => says.test(output));
}

/** The storage's own code, in words for the end of a message; empty where it gave none. */
export function storageCode(output: string): string {
  const code = /<Code>(\w{1,64})<\/Code>/.exec(output)?.[1];
  return code === undefined ? '' : ` (${code})`;
}
