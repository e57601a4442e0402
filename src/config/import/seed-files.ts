import { configInvalid } from '../problem.js';
import { parseSource, type Source } from '../source.js';

/** A file as its author wrote it, and a way to say what is wrong in it. */
export interface SeedFile {
  readonly label: string;
  readonly source: Source;
}

export interface SeedFiles {
  /** `config_global.yml`: its section `backup.postgres`. */
  readonly global: SeedFile;
  /** `config_postgres.yml`: its section `connection`. */
  readonly postgres: SeedFile;
}

/** What became of one key of the old files. */
export interface Taken {
  /** `config_global.yml: backup.postgres.dir`. */
  readonly from: string;
  /** Where it went, or why it went nowhere. */
  readonly to: string;
}

/** What `backup_runner.py` reads from its two files, in one form whatever the spelling. */
export interface SeedSettings {
  readonly enabled: boolean;
  readonly dir: string;
  readonly retentionDays: number | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly user: string;
  readonly database: string;
  /** Whether a password stood there; the password itself is not read any further (F39). */
  readonly hasPassword: boolean;
  readonly read: readonly Taken[];
  readonly notRead: readonly Taken[];
}

/** Parses one of the files. @throws RepriseError `config-invalid` with file:line:column */
export function seedFile(text: string, label: string): SeedFile {
  const source = parseSource(text);
  if (source.problems.length > 0) throw configInvalid(label, source.problems);
  return { label, source };
}

type Spellings = Readonly<Record<'host' | 'port' | 'user' | 'database' | 'password', readonly string[]>>;
const spellings: Spellings = {
  host: ['host', 'hostname', 'server', 'address'],
  port: ['port'],
  user: ['user', 'username', 'login', 'role'],
  database: ['database', 'dbname', 'name', 'db', 'database_name'],
  password: ['password', 'passwd', 'pass', 'pwd'],
};

/**
 * Reads the settings.
 * @throws RepriseError `config-invalid` with file:line:column for what has no meaning: a retention of 0, no user...
 */
export function seedSettings({ global, postgres }: SeedFiles): SeedSettings {
  const read: Taken[] = [];
  const notRead: Taken[] = [];
  const backup = section(global, ['backup', 'postgres']);
  const connection = section(postgres, ['connection']);
  const taken = (file: SeedFile, path: readonly string[], to: string): void =>
    void read.push({ from: `${file.label}: ${path.join('.')}`, to });
  const left = (file: SeedFile, path: readonly string[], to: string): void =>
    void notRead.push({ from: `${file.label}: ${path.join('.')}`, to });
  const invalid = (file: SeedFile, path: readonly string[], message: string, hint: string): never => {
    throw configInvalid(file.label, [file.source.place({ path, message, hint })]);
  };

  const at = (key: string): readonly string[] => ['backup', 'postgres', key];
  const enabled =
    readEnabled(backup['enabled'] ?? true) ??
    invalid(global, at('enabled'), 'enabled is neither true nor false', 'write true or false');
  if ('enabled' in backup) taken(global, at('enabled'), `backups.nightly-dump.enabled: ${enabled}`);
  const dir = typeof backup['dir'] === 'string' && backup['dir'].trim() !== '' ? backup['dir'] : null;
  if ('dir' in backup && dir === null)
    invalid(global, at('dir'), 'dir is no path', 'write the directory of the dumps in quotes');
  if (dir !== null) taken(global, at('dir'), 'repositories.local.path');
  const days = backup['retention_days'] === undefined ? null : Number(backup['retention_days']);
  if (days !== null && !(Number.isInteger(days) && days >= 1))
    invalid(global, at('retention_days'), 'retention_days is no whole number from 1', '0 would mean: keep nothing');
  if (days !== null) taken(global, at('retention_days'), `backups.nightly-dump.retention.days: ${days}`);
  for (const key of Object.keys(backup))
    if (!['enabled', 'dir', 'retention_days'].includes(key)) left(global, at(key), 'not known here');

  const found = (what: keyof Spellings): string | null => {
    const keys = spellings[what].filter((key) => connection[key] !== undefined && connection[key] !== null);
    const [key, ...others] = keys;
    for (const other of others) left(postgres, ['connection', other], `${key} counts, as the first spelling of it`);
    if (key === undefined) return null;
    const value = connection[key];
    const path = ['connection', key];
    if (what === 'password') {
      taken(postgres, path, 'connection.passfile: the password itself is copied nowhere, see below');
      return '';
    }
    if (typeof value !== 'string' && typeof value !== 'number')
      return invalid(postgres, path, `${key} is no text`, 'write one value');
    if (/^\$\{?\w+\}?$|^\{\{.*\}\}$/.test(String(value))) {
      left(postgres, path, `${String(value)} is filled in from outside: write its value into reprise.yml`);
      return null;
    }
    taken(postgres, path, what === 'database' ? 'databases' : `connection.${what}`);
    return String(value);
  };
  const [host, port, user, database, password] = [
    found('host'),
    found('port'),
    found('user'),
    found('database'),
    found('password'),
  ];
  if (port !== null && !(Number.isInteger(Number(port)) && Number(port) >= 1 && Number(port) <= 65_535))
    invalid(postgres, ['connection', 'port'], 'port is no port', 'write a number from 1 to 65535');
  if (user === null)
    return invalid(
      postgres,
      ['connection'],
      'the connection names no user',
      `write one of: ${spellings.user.join(', ')}`,
    );
  if (database === null)
    return invalid(
      postgres,
      ['connection'],
      'the connection names no database',
      `write one of: ${spellings.database.join(', ')}`,
    );
  const known = new Set(Object.values(spellings).flat());
  for (const key of Object.keys(connection))
    if (!known.has(key))
      left(
        postgres,
        ['connection', key],
        'not known here; what libpq knows may be set in the environment of the worker, e.g. PGSSLMODE',
      );

  for (const [file, own] of [
    [global, ['backup']],
    [postgres, ['connection']],
  ] as const) {
    const top = file.source.value as Readonly<Record<string, unknown>>;
    for (const key of Object.keys(top))
      if (!(own as readonly string[]).includes(key)) left(file, [key], 'of no concern to backups');
  }
  const others = (global.source.value as { backup: Readonly<Record<string, unknown>> }).backup;
  for (const key of Object.keys(others))
    if (key !== 'postgres') left(global, ['backup', key], 'no backup of PostgreSQL');
  return {
    ...{ enabled, dir: dir ?? './backups/postgres', retentionDays: days },
    ...{ host, port: port === null ? null : Number(port), user, database, hasPassword: password !== null },
    ...{ read, notRead },
  };
}

/** YAML 1.1, which the old script's reader speaks, has more words for it than YAML 1.2. */
function readEnabled(value: unknown): boolean | null {
  if (typeof value === 'boolean') return value;
  const word = String(value).toLowerCase();
  if (['yes', 'on', 'true', '1'].includes(word)) return true;
  return ['no', 'off', 'false', '0'].includes(word) ? false : null;
}

function section(file: SeedFile, path: readonly string[]): Readonly<Record<string, unknown>> {
  let value = file.source.value;
  for (const key of path)
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw configInvalid(file.label, [
    file.source.place({
      path,
      message: `there is no section ${path.join('.')} here`,
      hint: 'was the other file meant? --global is config_global.yml, --postgres is config_postgres.yml',
    }),
  ]);
}
