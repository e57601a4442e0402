import type { PlannedRestore } from '../drill/drill.js';
import type { ReachedTarget } from '../operation/step-events.js';
import { formatTarget } from '../target/target.js';
import { shellWord } from '../text/text.js';

/** What a temporary instance is restored from and to, decided before anything is written. */
export interface PlannedInstance {
  readonly cluster: string;
  readonly host: string;
  readonly dataDir: string;
  readonly restore: PlannedRestore;
  /** Bytes that it needs, and that are free for it. */
  readonly neededBytes: number;
  readonly freeBytes: number;
  /** How long it stays once it runs; null: as long as its operation. */
  readonly ttlSeconds: number | null;
  readonly warnings: readonly string[];
}

/** A temporary instance that runs: a copy in a directory of its own, which only the user of its server reaches. */
export interface OpenedInstance {
  readonly cluster: string;
  readonly host: string;
  readonly dataDir: string;
  /** Directory of its Unix socket. */
  readonly socketDir: string;
  readonly port: number;
  /** Superuser of the copy: for reads of our own, never for queries that somebody else wrote. */
  readonly user: string;
  readonly databases: readonly string[];
  readonly restore: PlannedRestore;
  readonly reached: ReachedTarget;
  /** When it is removed, UTC ISO-8601; null: with its operation. */
  readonly expiresAt: string | null;
  /** How people get in; absent of one that is for steps of its operation. */
  readonly login?: PeopleLogin;
}

/** How people get into a temporary instance, on its host and as a user of the operating system who may. */
export interface PeopleLogin {
  readonly user: string;
  /** Password file as libpq reads it, its owner's alone; null: the socket asks for no password. */
  readonly passfile: string | null;
  /** `options` of the connection; null: none. */
  readonly options: string | null;
  /** User of the operating system that owns the socket; root may use it too. */
  readonly osUser: string;
  /** What whoever connects has to know; null: nothing. */
  readonly note: string | null;
}

/** As libpq reads it (manual, "Keyword/Value Connection Strings"); it holds no password. */
export function connectionText(
  { socketDir, port, user, databases, login }: OpenedInstance,
  database = databases.find((name) => name !== 'postgres') ?? databases[0] ?? 'postgres',
): string {
  const parts: Readonly<Record<string, string | null>> = {
    host: socketDir,
    port: String(port),
    dbname: database,
    user: login?.user ?? user,
    passfile: login?.passfile ?? null,
    options: login?.options ?? null,
  };
  return Object.entries(parts)
    .flatMap(([name, value]) => (value === null ? [] : [`${name}=${quoteConninfo(value)}`]))
    .join(' ');
}

/** One value of a connection string. */
const quoteConninfo = (value: string): string =>
  /^[A-Za-z0-9_./-]+$/.test(value) ? value : `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** What is typed to connect by a connection string: a shell expands nothing of it, whatever a database is called. */
export function psqlCommand(connection: string): string {
  return `psql ${/["$`\\!]/.test(connection) ? shellWord(connection) : `"${connection}"`}`;
}

/** What it was restored from, in one phrase. */
export function sourceText({ policy, engine, backups }: PlannedRestore): string {
  return `${backups.map(({ id }) => id).join(', ')} (policy ${policy}, ${engine})`;
}

/** One line: to what, and from what. */
export function instanceText({ cluster, restore }: Pick<PlannedInstance, 'cluster' | 'restore'>): string {
  return `${cluster} at ${formatTarget(restore.target)}, from ${sourceText(restore)}`;
}
