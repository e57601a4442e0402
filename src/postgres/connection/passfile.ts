import { mkdir, readFile, stat } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import type { ConnectionConfig } from '../../domain/config.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { giveTo } from '../../files/directories.js';
import { shellWord } from '../../domain/text/text.js';

/**
 * Password for a connection from its password file, by libpq's rules (manual, "The Password File"): the first line
 * whose host, port, database and user match; `*` matches all, `\` escapes. Nothing but that file is read, so that a
 * password is never in a configuration or an environment.
 * @throws RepriseError `config-invalid` where the file is readable by others, `database-unreachable` where no line matches.
 */
export async function passwordFor(connection: ConnectionConfig, database: string): Promise<string> {
  const { passfile } = connection;
  if (passfile === undefined) {
    throw new RepriseError(
      'database-unreachable',
      `the server asks ${connection.user} for a password and the connection names no passfile`,
      'Add connection.passfile: a file of mode 0600 with a line host:port:database:user:password.',
    );
  }
  const content = await readOwnerOnly(passfile);
  const host = connection.host.startsWith('/') ? 'localhost' : connection.host;
  const wanted = [host, String(connection.port), database, connection.user];
  for (const line of content.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue;
    const fields = splitLine(line);
    // It may also be a socket's directory instead of localhost.
    const hit = wanted.every(
      (value, index) =>
        fields[index] === '*' || fields[index] === value || (index === 0 && fields[0] === connection.host),
    );
    if (hit && fields[4] !== undefined) return fields[4];
  }
  throw new RepriseError(
    'database-unreachable',
    `${passfile} has no line for user ${connection.user} at ${connection.host}:${connection.port}`,
    'Add a line host:port:database:user:password; a * matches all.',
  );
}

/**
 * The connection with files that tools running as `user` can read. Under root they run as somebody else, and libpq silently
 * ignores a password file it may not read: then owner-only copies of theirs are kept in `directory`.
 */
export async function readableBy(
  connection: ConnectionConfig,
  user: OsUser | null,
  directory: string,
): Promise<ConnectionConfig> {
  if (user === null) return connection;
  const readable = async (path: string | undefined, read: typeof readOwnerOnly): Promise<string | undefined> =>
    path === undefined ? undefined : readableFile(path, read, user, directory);
  const { passfile, tls } = connection;
  return {
    ...connection,
    passfile: await readable(passfile, readOwnerOnly),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...tls,
            rootCert: await readable(tls.rootCert, readAny),
            cert: await readable(tls.cert, readAny),
            key: await readable(tls.key, readAny),
          },
        }),
  };
}

async function readableFile(
  path: string,
  read: (path: string) => Promise<string>,
  user: OsUser,
  directory: string,
): Promise<string> {
  const found = await stat(path).catch(() => null);
  if (found === null || found.uid === user.uid) return path;
  const content = await read(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await giveTo(directory, user);
  const copy = join(directory, createHash('sha256').update(path).digest('hex').slice(0, 16));
  if ((await readFile(copy, 'utf8').catch(() => null)) !== content) await writeFileAtomic(copy, content, user);
  return copy;
}

/** libpq itself refuses a private key that others may read. */
const readAny = (path: string): Promise<string> => readFile(path, 'utf8');

async function readOwnerOnly(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  if (found === null) {
    throw new RepriseError(
      'config-invalid',
      `the password file ${path} cannot be read`,
      'Create it with mode 0600, owned by the user of the worker.',
    );
  }
  if ((found.mode & 0o077) !== 0) {
    throw new RepriseError(
      'config-invalid',
      `the password file ${path} can be read by others`,
      `Run: chmod 0600 ${shellWord(path)}`,
    );
  }
  return readFile(path, 'utf8');
}

/** Fields between colons; a backslash takes away the meaning of the next character. */
function splitLine(line: string): string[] {
  const fields = [''];
  for (let index = 0; index < line.length; index++) {
    const character = line[index] ?? '';
    if (character === ':' && fields.length < 5) fields.push('');
    else fields[fields.length - 1] += character === '\\' && index + 1 < line.length ? (line[++index] ?? '') : character;
  }
  return fields;
}
