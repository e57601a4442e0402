import type { RepriseError } from '../../domain/errors.js';
import type { ToolRule, ToolTable } from '../../process/exec/tool-rules.js';
import { toolFailure } from '../../process/exec/tool-rules.js';

type Meaning = Pick<ToolRule, 'code' | 'message' | 'hint'>;

/** Exit codes for a repository that cannot be reached, or not decrypted. */
const UNREACHABLE = 49;
const UNDECRYPTED = 95;

const wrongCluster: Meaning = {
  code: 'identity-mismatch',
  message: 'the stanza belongs to another PostgreSQL cluster or version',
  hint: 'compare pg1-path, pg1-port and the stanza name with the cluster; after pg_upgrade of this very cluster run: pgbackrest stanza-upgrade',
};
const wrongConfig: Meaning = {
  code: 'config-invalid',
  message: 'pgBackRest does not accept its configuration',
  hint: 'correct the option that the message names in pgbackrest.conf',
};
const noArchiving: Meaning = {
  code: 'config-invalid',
  message: 'the server does not archive with pgBackRest',
  hint: 'set archive_mode = on and an archive_command that runs pgbackrest archive-push for this stanza, then restart or reload',
};
const noRepository: Meaning = {
  code: 'storage-unreachable',
  message: 'the repository cannot be reached',
  hint: 'check repo1-* in pgbackrest.conf, the network and the rights of the user that runs pgbackrest',
};

/** Exit codes of pgBackRest that mean one thing; numbers from its error table, stable over versions. */
const byExitCode: Readonly<Record<number, Meaning>> = {
  26: {
    code: 'backup-corrupt',
    message: 'a file does not match its recorded checksum',
    hint: 'run: reprise backup verify ID; then recover from another backup',
  },
  27: wrongConfig,
  28: wrongCluster,
  29: {
    code: 'backup-corrupt',
    message: 'a file of the repository cannot be read',
    hint: 'run: pgbackrest verify; a backup whose manifest is damaged cannot be restored: take a new full one',
  },
  31: wrongConfig,
  32: wrongConfig,
  37: wrongConfig,
  38: {
    code: 'conflict',
    message: 'a PostgreSQL server runs in the target directory',
    hint: 'stop it, or remove a stale postmaster.pid after checking that no server runs',
  },
  40: {
    code: 'path-refused',
    message: 'the target directory holds files that are not of this restore',
    hint: 'name an empty directory, or move its contents away',
  },
  44: wrongCluster,
  46: {
    code: 'version-mismatch',
    message: 'this pgBackRest does not know that version of PostgreSQL',
    hint: 'install a newer pgbackrest',
  },
  [UNREACHABLE]: noRepository,
  50: {
    code: 'lock-held',
    message: 'another pgBackRest command works on this stanza',
    hint: 'wait for it to end; cron may not run pgbackrest beside Reprise',
  },
  51: wrongCluster,
  56: {
    code: 'database-unreachable',
    message: 'pgBackRest cannot connect to the server',
    hint: 'check pg1-port, pg1-socket-path and pg1-user in pgbackrest.conf, and that the server runs',
  },
  58: wrongCluster,
  62: {
    code: 'conflict',
    message: 'pgBackRest was stopped for this stanza',
    hint: 'run: pgbackrest --stanza=... start',
  },
  68: noArchiving,
  75: {
    code: 'not-found',
    message: 'the repository has no such backup',
    hint: 'list the backups: reprise backup list',
  },
  80: {
    code: 'database-unreachable',
    message: 'pgBackRest found no server to back up',
    hint: 'check pg1-path and that the server runs',
  },
  82: {
    code: 'wal-not-archived',
    message: 'a WAL segment was not archived in time',
    hint: "read the server's log for what archive_command says and pg_stat_archiver for since when; until it works, pg_wal grows",
  },
  87: noArchiving,
  [UNDECRYPTED]: {
    code: 'config-invalid',
    message: 'the repository cannot be decrypted',
    hint: 'check repo1-cipher-pass in pgbackrest.conf',
  },
  102: noRepository,
  103: noRepository,
};

const noRights: ToolRule = {
  pattern: /ERROR: \[\d+\]: unable to [^\n]*Permission denied/,
  code: 'privilege-missing',
  message: 'the user that runs pgbackrest may not write where it has to',
  hint: 'check the owner of log-path, lock-path, spool-path and the repository: was pgbackrest run there as another user?',
};
/** A write that a full disk cut short is told with what the call before it had failed with: its own error is none. */
const full: ToolRule = {
  pattern:
    /No space left on device|Disk quota exceeded|File too large|\[064\]: [^\n]*unable to write '[^'\n]*': \[2\] No such file or directory/i,
  code: 'storage-full',
  message: 'there is no space left',
  hint: 'free space, then run the step again; older backups are untouched',
};
/** What pgBackRest says of an object store, whose failures all have one exit code. Wording of pgBackRest 2.45 and later, error codes of Amazon's S3 API reference. A HEAD has no body: its status tells. */
const storageRules: readonly ToolRule[] = [
  {
    pattern: /<Code>(?:NoSuchBucket|InvalidBucketName)</,
    code: 'storage-refused',
    message: 'the bucket of the repository does not exist',
    hint: 'correct repo1-s3-bucket, repo1-s3-endpoint and repo1-s3-region in pgbackrest.conf, or create the bucket: reprise storage plan',
  },
  {
    pattern: /<Code>RequestTimeTooSkewed</,
    code: 'storage-refused',
    message: 'the clock of this host is wrong, and the storage refuses its requests',
    hint: 'set the clock (timedatectl status), then run the step again',
  },
  {
    pattern:
      /HTTP request failed with 40[13]|<Code>(?:ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied)</,
    code: 'storage-refused',
    message: 'the storage refuses the credentials, or what they ask for',
    hint: 'renew repo1-s3-key and repo1-s3-key-secret (or repo1-s3-token) in pgbackrest.conf, which every command reads anew, or give that key the right in its policy',
  },
  {
    pattern: /in certificate common name|certificate verify failed|unable to verify certificate/,
    code: 'config-invalid',
    message: 'the certificate of the storage is not trusted',
    hint: 'name its authority in repo1-storage-ca-file, and the storage in repo1-s3-endpoint by a name that its certificate holds (pgBackRest accepts no IP address there)',
  },
  {
    pattern: /HTTP request failed with (?:408|429|5\d\d)/,
    code: 'storage-unreachable',
    message: 'the storage does not answer as it should',
    hint: 'see that it works; the step is tried again',
  },
  {
    pattern: /HTTP request failed with 4\d\d/,
    code: 'storage-refused',
    message: 'the storage refuses a request',
    hint: 'check repo1-* in pgbackrest.conf; what the storage answered is under "Response Content" in the output of: pgbackrest --stanza=... info',
  },
];

/** What the messages say goes before the exit code, which is one for many reasons. */
export const PGBACKREST: ToolTable = {
  errorLine: firstError,
  rules: [
    full,
    noRights,
    ...storageRules,
    ...Object.entries(byExitCode).map(([exitCode, meaning]) => ({ ...meaning, exitCodes: [Number(exitCode)] })),
  ],
};

/** What `info` says of a repository that it cannot read: it ends with 0, and prints `[HostConnectError] unable to ...`. */
export function failureOfRepository(message: string): RepriseError {
  const [, error, text = message] = /^\[(\w+)\] ([^]*)$/.exec(message) ?? [];
  return toolFailure(PGBACKREST, {
    name: 'pgbackrest info',
    exitCode: error === 'CryptoError' ? UNDECRYPTED : UNREACHABLE,
    output: `ERROR: [099]: ${text}`,
  });
}

/** The first error that pgBackRest reports, without its number: later ones follow from it. */
function firstError(output: string): string {
  const found = /ERROR: \[\d+\]: (?:raised from [^:]+: )?(.+)/.exec(output)?.[1];
  return found === undefined ? '' : `${found.trim().replace(/:$/, '').slice(0, 300)}${storageCode(output)}`;
}

/** The storage's own code, in words for the end of a message; empty where it gave none. */
function storageCode(output: string): string {
  const code = /<Code>(\w{1,64})<\/Code>/.exec(output)?.[1];
  return code === undefined ? '' : ` (${code})`;
}
