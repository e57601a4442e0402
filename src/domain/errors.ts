/**
 * The one table of errors. Codes are stable and append-only: scripts, tests and translations search for them.
 * `exit` is the exit code of the command line (`docs/reference/cli.md`); `retryable` tells Temporal whether another
 * attempt of the same activity can help.
 */
export const errorTable = {
  internal: { exit: 1, retryable: false },
  'tool-failed': { exit: 1, retryable: true },
  'tool-rejected': { exit: 1, retryable: false },
  'tool-missing': { exit: 1, retryable: false },
  'job-stalled': { exit: 1, retryable: true },
  'job-cancelled': { exit: 1, retryable: false },
  usage: { exit: 2, retryable: false },
  'config-invalid': { exit: 4, retryable: false },
  'config-not-found': { exit: 4, retryable: false },
  'temporal-unreachable': { exit: 5, retryable: true },
  'database-unreachable': { exit: 5, retryable: true },
  'storage-unreachable': { exit: 5, retryable: true },
  'storage-full': { exit: 1, retryable: false },
  'not-found': { exit: 6, retryable: false },
  'lock-held': { exit: 7, retryable: false },
  conflict: { exit: 7, retryable: false },
  busy: { exit: 7, retryable: true },
  'check-failed': { exit: 8, retryable: false },
  'backup-corrupt': { exit: 8, retryable: false },
  'policy-missing': { exit: 9, retryable: false },
  'policy-disabled': { exit: 9, retryable: false },
  'approval-refused': { exit: 9, retryable: false },
  'approval-used': { exit: 9, retryable: false },
  'plan-unknown': { exit: 9, retryable: false },
  'plan-stale': { exit: 9, retryable: false },
  'plan-expired': { exit: 9, retryable: false },
  'confirmation-needed': { exit: 9, retryable: false },
  'capability-missing': { exit: 9, retryable: false },
  'version-mismatch': { exit: 9, retryable: false },
  'identity-mismatch': { exit: 9, retryable: false },
  'encoding-mismatch': { exit: 9, retryable: false },
  'privilege-missing': { exit: 9, retryable: false },
  'disk-full': { exit: 9, retryable: false },
  'wal-gap': { exit: 9, retryable: false },
  'wal-not-archived': { exit: 1, retryable: true },
  'target-invalid': { exit: 2, retryable: false },
  'target-ambiguous': { exit: 9, retryable: false },
  'target-before-backup': { exit: 9, retryable: false },
  'target-after-wal': { exit: 9, retryable: false },
  'target-not-reached': { exit: 1, retryable: false },
  'no-usable-backup': { exit: 9, retryable: false },
  'rotation-refused': { exit: 9, retryable: false },
  'path-refused': { exit: 9, retryable: false },
  'topology-refused': { exit: 9, retryable: false },
  'pooler-refused': { exit: 9, retryable: false },
  'service-failed': { exit: 1, retryable: true },
  'host-without-worker': { exit: 5, retryable: true },
  timeout: { exit: 124, retryable: false },
  interrupted: { exit: 130, retryable: false },
  'query-failed': { exit: 1, retryable: false },
  'query-timeout': { exit: 1, retryable: true },
  'extension-missing': { exit: 9, retryable: false },
  'lock-table-full': { exit: 9, retryable: false },
  'locale-missing': { exit: 9, retryable: false },
  'key-missing': { exit: 9, retryable: false },
  'partly-done': { exit: 3, retryable: false },
  'notifier-unreachable': { exit: 5, retryable: true },
  'notifier-rejected': { exit: 1, retryable: false },
  'address-refused': { exit: 9, retryable: false },
  'storage-refused': { exit: 5, retryable: false },
  'object-cold': { exit: 9, retryable: false },
  'lifecycle-refused': { exit: 9, retryable: false },
  'lock-lost': { exit: 7, retryable: false },
  'repository-mismatch': { exit: 9, retryable: false },
  'page-corrupt': { exit: 8, retryable: false },
  'worker-lost': { exit: 5, retryable: false },
  'step-stalled': { exit: 1, retryable: false },
} as const;

export type ErrorCode = keyof typeof errorTable;

/** What a person is told: what happened (lowercase sentence), what to do next, and a code to search for. */
export class RepriseError extends Error {
  override readonly name = 'RepriseError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint?: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** Tells a {@link RepriseError} by its shape: `instanceof` fails across jest realms and bundled copies. */
export function isRepriseError(error: unknown): error is RepriseError {
  return (
    error instanceof Error && error.name === 'RepriseError' && 'code' in error && (error.code as string) in errorTable
  );
}

/**
 * Whether another attempt can help: the reason may pass by itself. `details.final` says that this one does not, although
 * its code may mean one that does: a login that is refused, under the code of a server that cannot be reached.
 */
export function isRetryable({ code, details }: RepriseError): boolean {
  return errorTable[code].retryable && details['final'] !== true;
}

/** Message and hint as one text, the form in which logs, failures and terminals show an error. */
export function explain(error: { message: string; hint?: string | undefined }): string {
  return error.hint ? `${error.message}\nHINT: ${error.hint}` : error.message;
}

/** What the operating system refuses a file operation with, in terms of the table; undefined where it says nothing to a person. */
export function fromSystemError(error: unknown): RepriseError | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  switch (error.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new RepriseError('disk-full', `there is no space left on the device: ${error.message}`, MAKE_ROOM);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new RepriseError('privilege-missing', `a file may not be used: ${error.message}`, GIVE_ACCESS);
    default:
      return UNREACHABLE.has(String(error.code))
        ? new RepriseError('storage-unreachable', `it cannot be reached: ${error.message}`, SEE_MOUNT)
        : undefined;
  }
}

/** What a dead network file system, or a network, answers with. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'EIO',
  'ESTALE',
  'ETIMEDOUT',
  'ENOTCONN',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
]);

const MAKE_ROOM = 'Free space on the file system of that path, then run the step again.';
const GIVE_ACCESS = 'Check the owner and the mode of that path, and which user runs the worker.';
const SEE_MOUNT = 'See whether the file system of that path is mounted and answers, and whether the network works.';
