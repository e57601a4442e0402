/**
 * Time-outs that a role, a database or the server may set for every session. What ends a query of an application is
 * wrong for a dump, so that each session of ours has none but those it asks for: what is said at its start wins.
 */
const IN_EVERY_VERSION = [
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'tcp_user_timeout',
] as const;
/** A server in recovery, as most temporary instances are, runs no serializable transaction. The space is for the server, which splits at others. */
export const READ_COMMITTED = String.raw`default_transaction_isolation=read\ committed`;
/**
 * What a role, a database or the server may set for applications, and what would stop or change our own statements: a database that was made
 * read-only in an incident is repaired and frozen all the same, a NULL in an array stays one, and a copy can be read.
 */
const FOR_OUR_STATEMENTS = [
  'default_transaction_read_only=off',
  'default_transaction_deferrable=off',
  READ_COMMITTED,
  'array_nulls=on',
] as const;
/** A server that does not know one refuses the session. */
const SINCE = [
  { name: 'idle_session_timeout', versionNum: 140_000 },
  { name: 'transaction_timeout', versionNum: 170_000 },
] as const;

/** Those that end a session or a statement; the server's own names. */
export const TIMEOUTS: readonly string[] = [...IN_EVERY_VERSION, ...SINCE.map(({ name }) => name)].filter(
  (name) => name !== 'tcp_user_timeout',
);

/**
 * Options of a session without time-outs and with {@link FOR_OUR_STATEMENTS}, as libpq's `PGOPTIONS` and the driver's `options` have them.
 * @param versionNum of the server, where it is known: without it, time-outs that not every version has stay as they are
 */
export function sessionOptions({
  versionNum = 0,
  statementTimeoutMs = 0,
  others = [],
}: {
  readonly versionNum?: number;
  readonly statementTimeoutMs?: number;
  readonly others?: readonly string[];
} = {}): string {
  const settings = [
    ...IN_EVERY_VERSION.map((name) => `${name}=${name === 'statement_timeout' ? statementTimeoutMs : 0}`),
    ...SINCE.filter((one) => versionNum >= one.versionNum).map(({ name }) => `${name}=0`),
    ...FOR_OUR_STATEMENTS,
    ...others,
  ];
  return settings.map((setting) => `-c ${setting}`).join(' ');
}

/** Expressions that switch off in an open session what its server knows beyond {@link sessionOptions}. */
export const WITHOUT_NEWER_TIMEOUTS: readonly string[] = SINCE.map(
  ({ name }) =>
    `CASE WHEN pg_catalog.current_setting('${name}', true) IS NOT NULL THEN pg_catalog.set_config('${name}', '0', false) END`,
);

/** An expression: foreign keys and triggers count for what we write, also where role, database or server switch them off; only a superuser may say so. */
export const CONSTRAINTS_COUNT =
  "CASE WHEN pg_catalog.current_setting('session_replication_role') <> 'origin' AND pg_catalog.current_setting('is_superuser') = 'on' THEN pg_catalog.set_config('session_replication_role', 'origin', false) END";

/** An expression: what the server says is committed is on disk, also where role, database or server do not ask for that. */
export const COMMITS_ON_DISK =
  "CASE WHEN pg_catalog.current_setting('synchronous_commit') = 'off' THEN pg_catalog.set_config('synchronous_commit', 'local', false) END";

/** An expression: the driver reads times in this style alone. In which order the numbers of a date are read stays as it is set. */
export const TIMES_AS_ISO = "pg_catalog.set_config('DateStyle', 'ISO', false)";
