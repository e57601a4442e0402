import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RepriseError } from '../domain/errors.js';
import type { FoundCluster } from '../domain/found-cluster.js';
import { iniSections } from '../domain/text/ini.js';
import { makeOwnDirectory } from '../files/trusted-paths.js';
import { isErrno } from '../files/paths.js';
import { runProgram } from '../process/exec/run-program.js';
import { userOf } from '../process/exec/users.js';
import type { OsUser } from '../process/jobs/jobs.js';
import { unmakeable } from './machine.js';

/** Where pgBackRest looks for its configuration. */
const PGBACKREST_CONFS = ['/etc/pgbackrest/pgbackrest.conf', '/etc/pgbackrest.conf'] as const;
const DEFAULT_SOCKET_DIR = '/var/run/postgresql';
const DEFAULT_PORT = 5432;
/** Of applications: not templates, and not an empty `postgres`. */
const DATABASES = `SELECT datname FROM pg_catalog.pg_database
  WHERE datallowconn AND NOT datistemplate AND (datname <> 'postgres'
     OR EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm')))
  ORDER BY 1`;

interface Stanza {
  readonly name: string;
  readonly config: string;
  readonly options: ReadonlyMap<string, string>;
}

/**
 * The clusters of this machine, by Debian's list of them and by pgBackRest's configuration. Changes nothing.
 * @param pgbackrest its configuration; default: where pgBackRest looks for it
 */
export async function findClusters(pgbackrest?: string): Promise<readonly FoundCluster[]> {
  const stanzas = await findStanzas(
    pgbackrest === undefined ? PGBACKREST_CONFS : [pgbackrest],
    pgbackrest !== undefined,
  );
  const listed = await debianClusters();
  const known = new Set(listed.map(({ dataDir }) => dataDir));
  const others = stanzas.flatMap(({ name, options }) => {
    const dataDir = options.get('pg1-path');
    return dataDir === undefined || known.has(dataDir) || options.has('pg1-host')
      ? []
      : [{ name, dataDir, port: Number(options.get('pg1-port') ?? DEFAULT_PORT), debian: null }];
  });
  const found = await Promise.all([...listed, ...others].map((one) => described(one, stanzas)));
  // Debian lists what a removed cluster has left in /etc.
  const there = found.filter(({ owner }) => owner !== null);
  return there.length > 0 ? there : found;
}

type Listed = Pick<FoundCluster, 'name' | 'dataDir' | 'port' | 'debian'>;

/** What `pg_lsclusters` prints: version, name, port, status, owner, data directory, log file. */
async function debianClusters(): Promise<readonly Listed[]> {
  const { stdout } = await runProgram(['pg_lsclusters', '--no-header']).catch((error: unknown) => {
    if (error instanceof RepriseError && error.code === 'tool-missing') return { stdout: '' };
    throw error;
  });
  const lines = stdout.split('\n').flatMap((line) => {
    const [, version, name, port, dataDir] =
      /^(\S+)\s+(\S+)\s+(\d+)\s+\S+\s+\S+\s+(\/.*?)(?:\s+\S+)?\s*$/.exec(line) ?? [];
    return version === undefined || name === undefined || dataDir === undefined
      ? []
      : [{ version, name, port: Number(port), dataDir }];
  });
  const isAlone = (name: string): boolean => lines.filter((line) => line.name === name).length === 1;
  return lines.map(({ version, name, port, dataDir }) => ({
    name: isAlone(name) ? name : `${name}-${version}`,
    port,
    dataDir,
    debian: { version, name },
  }));
}

async function findStanzas(files: readonly string[], named: boolean): Promise<readonly Stanza[]> {
  for (const config of files) {
    const text = await readFile(config, 'utf8').catch((error: unknown) => {
      if (!named && isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return null;
      throw new RepriseError(
        'config-not-found',
        `${config} cannot be read`,
        'name the file by its path on this machine',
      );
    });
    if (text === null) continue;
    return iniSections(text)
      .filter(({ name }) => !/^global(:|$)|:/.test(name))
      .map(({ name, options }) => ({ name, config, options: new Map(options) }));
  }
  return [];
}

async function described(listed: Listed, stanzas: readonly Stanza[]): Promise<FoundCluster> {
  const { dataDir, port } = listed;
  const found = await stat(dataDir).catch(() => null);
  const user = found === null ? null : await userOf(found);
  const stanza = stanzas.find(({ options }) => options.get('pg1-path') === dataDir);
  const socketDir = (await runningSocket(dataDir)) ?? stanza?.options.get('pg1-socket-path') ?? DEFAULT_SOCKET_DIR;
  return {
    ...listed,
    socketDir,
    owner: user?.name ?? null,
    databases: await databasesAt(socketDir, port, user),
    stanza: stanza === undefined ? null : { name: stanza.name, config: stanza.config },
  };
}

/** Line 5 of postmaster.pid: the first directory of sockets. */
async function runningSocket(dataDir: string): Promise<string | null> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  return text.split('\n')[4]?.trim() || null;
}

async function databasesAt(socketDir: string, port: number, user: OsUser | null): Promise<readonly string[] | null> {
  const as = process.getuid?.() === 0 ? user : null;
  const connection = ['--host', socketDir, '--port', String(port), '--username', 'postgres', '--no-password'];
  const argv = ['psql', '--no-psqlrc', '--tuples-only', '--no-align', '--record-separator-zero', ...connection];
  return runProgram([...argv, '--dbname', 'postgres', '--command', DATABASES], { user: as, timeoutMs: 10_000 }).then(
    ({ stdout }) => stdout.split('\0').filter((name) => name !== ''),
    () => null,
  );
}

/**
 * Makes a directory of the first configuration for the owner of the data, or sees that it is there.
 * @throws RepriseError `privilege-missing` with the command that makes it
 */
export async function makeFirstDirectory(path: string, dataDir: string): Promise<void> {
  if ((await stat(path).catch(() => null)) !== null) return;
  const wrong = await unmakeable('init', 'the directory', path);
  if (wrong !== null) throw new RepriseError('privilege-missing', wrong.message, wrong.fix ?? undefined);
  const owner = process.getuid?.() === 0 ? await stat(dataDir).catch(() => null) : null;
  await makeOwnDirectory(path, owner);
}
