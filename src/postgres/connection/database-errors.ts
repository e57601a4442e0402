import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ErrorCode } from '../../domain/errors.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { dropStatement, invalidDatabaseText } from '../server/databases.js';

/** Fields of an error as `pg` or Node give it. Only these are read: `detail` may hold row values. */
interface RawError {
  readonly message: string;
  readonly code?: string;
}

/** SQLSTATE of an error the server sent, or the code of a failed system call. */
export function sqlState(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** What a certificate, or a server that will not encrypt, has to do with it; codes are those of Node.js and OpenSSL. */
function isAboutTls(error: unknown): boolean {
  return (
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/.test(sqlState(error) ?? '') ||
    (error instanceof Error && /does not support SSL|establishing an SSL connection/.test(error.message))
  );
}

/** Whether the error means that there is no session any more, or never was one. */
function isConnectionLoss(error: unknown): boolean {
  const code = sqlState(error) ?? '';
  // Class 08, a login that is not accepted (28) and the server's own goodbyes: 57P01 to 57P05; 53300 is "too many connections".
  if (/^08|^28|^57P0|^53300$/.test(code)) return true;
  if (/^(ECONN|EPIPE|ENOTFOUND|EAI_|EHOST|ENET|ETIMEDOUT|ENOENT|EACCES)/.test(code)) return true;
  return (
    error instanceof Error &&
    /connection terminated|connection ended|not queryable|timeout expired|timed out connecting/i.test(error.message)
  );
}

/**
 * The first line of what the server says. Where it cannot read a value or compute with it (class 22, data exceptions), it quotes that value, which may
 * be one of a row: names of types stay, and whatever else is in quotes goes.
 */
function withoutValues(state: string | undefined, message: string): string {
  const line = message.slice(0, 2000).split('\n')[0] ?? '';
  if (state?.startsWith('22') !== true) return line;
  return line.replace(/: ".*$/, '').replace(/(?<!\b(?:type|enum|encoding) (?:\w+\.)?)".*(?:"|$)/, '"..."');
}

/** The error in Reprise's terms: its first line and SQLSTATE only, because details may quote rows. */
export function databaseError(error: unknown, connection: ConnectionConfig, database: string): RepriseError {
  if (isRepriseError(error)) return error;
  const raw: RawError = error instanceof Error ? (error as RawError) : { message: String(error) };
  const state = sqlState(error);
  if (isAboutTls(error))
    return databaseUnreachable(
      raw.message,
      connection,
      database,
      state,
      'Check sslmode, sslrootcert, sslcert and sslkey of the connection against the certificate of the server.',
    );
  if (isConnectionLoss(error)) return databaseUnreachable(raw.message, connection, database, state);
  // "cannot connect to invalid database", and its like for statements from another one.
  if (state === '55000' && /\binvalid database\b/.test(raw.message))
    return new RepriseError('query-failed', invalidDatabaseText(database), `Drop it: ${dropStatement(database)}`, {
      ...{ sqlState: state, database },
      invalid: true,
    });
  const [code, hint] =
    state === '42501' ? missingRight(raw.message, connection, database) : classify(state, raw.message);
  return new RepriseError(code, withoutValues(state, raw.message), hint, { sqlState: state, database });
}

/** The server cannot be talked to; the address is said, the reason is the driver's or the server's. */
function databaseUnreachable(
  reason: string,
  connection: ConnectionConfig,
  database: string,
  state?: string,
  tlsHint?: string,
): RepriseError {
  return new RepriseError(
    'database-unreachable',
    `database ${JSON.stringify(database)} at ${connection.host}:${connection.port} cannot be reached: ${reason}`,
    tlsHint ?? 'See whether the server runs and lets this user in: reprise doctor.',
    // A login that is refused (class 28), or a certificate, is refused again, until a person corrects it.
    { sqlState: state, final: state?.startsWith('28') === true || tlsHint !== undefined },
  );
}

/** The statement that grants what is missing, where the server's message names it. */
function missingRight(message: string, { user }: ConnectionConfig, database: string): [ErrorCode, string] {
  const grant = grantOf(message);
  return [
    'privilege-missing',
    grant === null
      ? `Grant the missing right to ${user}, the user of the connection.`
      : `As a superuser, in the database ${JSON.stringify(database)}: GRANT ${grant} TO ${quotedRole(user)};`,
  ];
}

/** The right that the server's message names; null where it names none. */
function grantOf(message: string): string | null {
  const called = /^permission denied for function (pg_[a-z_]+)$/.exec(message.split('\n')[0] ?? '')?.[1];
  if (called !== undefined) return `EXECUTE ON FUNCTION pg_catalog.${called}`;
  return /\bCHECKPOINT\b/.test(message) && /\bpg_checkpoint\b/.test(message) ? 'pg_checkpoint' : null;
}

export function quotedRole(role: string): string {
  return `"${role.replaceAll('"', '""')}"`;
}

function classify(state: string | undefined, message: string): [ErrorCode, string] {
  if (state === '3D000') return ['not-found', 'See the names under `databases:` of the cluster in reprise.yml.'];
  if (state === '53100') return ['storage-full', 'Free space on the server, then try again.'];
  if (state === '57014')
    return ['query-timeout', 'The statement took too long: see what it waits for in pg_stat_activity.'];
  if (state === '53200' && message.includes('shared memory'))
    return [
      'lock-table-full',
      'Set max_locks_per_transaction of the server higher, and restart it: it is too small for so many tables.',
    ];
  return ['query-failed', 'See the server log for the statement and the reason.'];
}
