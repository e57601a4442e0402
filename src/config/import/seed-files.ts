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
  /** Whether a password was there; the password itself is not read any further. */
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

type Section = Readonly<Record<string, unknown>>;

/** Collects what became of each key. */
class Keys {
  readonly read: Taken[] = [];
  readonly notRead: Taken[] = [];

  taken(file: SeedFile, path: readonly string[], to: string): void {
    this.read.push({ from: `${file.label}: ${path.join('.')}`, to });
  }

  left(file: SeedFile, path: readonly string[], why: string): void {
    this.notRead.push({ from: `${file.label}: ${path.join('.')}`, to: why });
  }

  leftAllBut(known: readonly string[], file: SeedFile, at: readonly string[], values: object, why: string): void {
    for (const key of Object.keys(values)) if (!known.includes(key)) this.left(file, [...at, key], why);
  }
}

function invalid(file: SeedFile, path: readonly string[], message: string, hint: string): never {
  throw configInvalid(file.label, [file.source.place({ path, message, hint })]);
}

/**
 * Reads the settings.
 * @throws RepriseError `config-invalid` with file:line:column for what has no meaning: a retention of 0, no user...
 */
export function seedSettings({ global, postgres }: SeedFiles): SeedSettings {
  const keys = new Keys();
  const backup = section(global, ['backup', 'postgres']);
  const connection = section(postgres, ['connection']);
  const settings = { ...backupSettings(global, backup, keys), ...connectionSettings(postgres, connection, keys) };
  const other = 'not used for backups';
  keys.leftAllBut(['backup'], global, [], global.source.value as object, other);
  keys.leftAllBut(['connection'], postgres, [], postgres.source.value as object, other);
  keys.leftAllBut(['postgres'], global, ['backup'], section(global, ['backup']), 'not a backup of PostgreSQL');
  return { ...settings, read: keys.read, notRead: keys.notRead };
}

function backupSettings(file: SeedFile, backup: Section, keys: Keys) {
  const at = (key: string): readonly string[] => ['backup', 'postgres', key];
  const enabled =
    readEnabled(backup['enabled'] ?? true) ??
    invalid(file, at('enabled'), 'enabled is neither true nor false', 'write true or false');
  if ('enabled' in backup) keys.taken(file, at('enabled'), `backups.nightly-dump.enabled: ${enabled}`);
  const dir = typeof backup['dir'] === 'string' && backup['dir'].trim() !== '' ? backup['dir'] : null;
  if (dir !== null) keys.taken(file, at('dir'), 'repositories.local.path');
  else if ('dir' in backup) invalid(file, at('dir'), 'dir is no path', 'write the directory of the dumps in quotes');
  const retentionDays = backup['retention_days'] === undefined ? null : Number(backup['retention_days']);
  if (retentionDays !== null) {
    if (!Number.isInteger(retentionDays) || retentionDays < 1)
      invalid(file, at('retention_days'), 'retention_days is no whole number from 1', '0 would mean: keep nothing');
    keys.taken(file, at('retention_days'), `backups.nightly-dump.retention.days: ${retentionDays}`);
  }
  keys.leftAllBut(['enabled', 'dir', 'retention_days'], file, ['backup', 'postgres'], backup, 'not known here');
  return { enabled, dir: dir ?? './backups/postgres', retentionDays };
}

function connectionSettings(file: SeedFile, connection: Section, keys: Keys) {
  const find = (what: keyof Spellings): string | null => connectionValue(file, connection, what, keys);
  const [host, portText, user, database] = [find('host'), find('port'), find('user'), find('database')];
  const hasPassword = find('password') !== null;
  const port = portText === null ? null : Number(portText);
  if (port !== null && !(Number.isInteger(port) && port >= 1 && port <= 65_535))
    invalid(file, ['connection', 'port'], 'port is no port', 'write a number from 1 to 65535');
  const missing = (what: 'user' | 'database'): never =>
    invalid(file, ['connection'], `the connection names no ${what}`, `write one of: ${spellings[what].join(', ')}`);
  keys.leftAllBut(
    Object.values(spellings).flat(),
    file,
    ['connection'],
    connection,
    'not known here; what libpq knows may be set in the environment of the worker, e.g. PGSSLMODE',
  );
  return { host, port, user: user ?? missing('user'), database: database ?? missing('database'), hasPassword };
}

/** A setting by the first spelling that is there; null where none is, '' for a password, which is not read. */
function connectionValue(file: SeedFile, connection: Section, what: keyof Spellings, keys: Keys): string | null {
  const [key, ...others] = spellings[what].filter((spelling) => (connection[spelling] ?? null) !== null);
  for (const other of others) keys.left(file, ['connection', other], `${key} counts, as the first spelling of it`);
  if (key === undefined) return null;
  const value = connection[key];
  const path = ['connection', key];
  if (what === 'password') {
    keys.taken(file, path, 'connection.passfile: the password itself is copied nowhere, see below');
    return '';
  }
  if (typeof value !== 'string' && typeof value !== 'number')
    return invalid(file, path, `${key} is no text`, 'write one value');
  if (/^\$\{?\w+\}?$|^\{\{.*\}\}$/.test(String(value))) {
    keys.left(file, path, `${value} is a placeholder: write its value into reprise.yml`);
    return null;
  }
  keys.taken(file, path, what === 'database' ? 'databases' : `connection.${what}`);
  return String(value);
}

/** YAML 1.1, which the old script's reader speaks, has more words for it than YAML 1.2. */
function readEnabled(value: unknown): boolean | null {
  if (typeof value === 'boolean') return value;
  const word = String(value).toLowerCase();
  if (['yes', 'on', 'true', '1'].includes(word)) return true;
  return ['no', 'off', 'false', '0'].includes(word) ? false : null;
}

function section(file: SeedFile, path: readonly string[]): Section {
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
