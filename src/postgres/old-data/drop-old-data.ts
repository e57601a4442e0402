import { lstat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { dropRestoreLogin } from '../connection/restore-login.js';
import { removeTree } from '../../files/remove-tree.js';
import { sqlState } from '../connection/database-errors.js';
import { withMaintenance } from '../connection/with-client.js';
import { processesIn } from '../server/postmaster.js';

/** Only names that a recovery itself gave are ever removed, whatever a record says. */
const DIRECTORY = /\.(aside|salvage|tablespaces|configuration)-[A-Za-z0-9-]+$/;
const OBJECT_IN_USE = '55006';
const DATABASE = /_(aside|new)_[A-Za-z0-9-]+$/;

/**
 * By what old data is recognised: the inode of a directory, which a rename keeps, the OID of a database; for a copy recovered
 * beside, whose name is no recovery's own, also the mark in its comment: another server gives the same OIDs. Null where
 * nothing of that name is there; for a directory also where it is a link or no directory.
 */
export async function markOfOldData(
  where: string,
  connection: ConnectionConfig,
  beside?: string,
): Promise<string | null> {
  if (isAbsolute(where)) {
    const found = await lstat(where, { bigint: true }).catch(() => null);
    return found?.isDirectory() ? `inode ${found.ino}` : null;
  }
  return withMaintenance(connection, (client) => oidOf(client, where, beside !== undefined));
}

async function oidOf(client: pg.Client, database: string, isCopy: boolean): Promise<string | null> {
  const { rows } = await client.query<{ oid: string; marks: readonly string[] }>(
    `SELECT oid::text, ARRAY(SELECT (pg_catalog.regexp_matches(
              pg_catalog.shobj_description(oid, 'pg_database'), '[[]reprise:[^][]*[]]', 'g'))[1]) AS marks
       FROM pg_catalog.pg_database WHERE datname = $1`,
    [database],
  );
  const [found] = rows;
  if (found === undefined) return null;
  return [`oid ${found.oid}`, ...(isCopy ? found.marks : [])].join(' ');
}

/** A directory, by its absolute path, or a database, and by what it is recognised. */
interface OldDataAt {
  readonly where: string;
  readonly mark: string | null;
  /** A copy that was recovered beside: its name is the configuration's, and it is known by its mark alone. */
  readonly beside?: string;
}

/**
 * Whether the old data is still there; false where nothing of that name is.
 * @throws RepriseError `path-refused` for a name no recovery gives, or for something that is not what was kept under it
 */
export async function isOldDataThere(
  { where, mark, beside }: OldDataAt,
  connection: ConnectionConfig,
): Promise<boolean> {
  const isNamed = beside !== undefined || (isAbsolute(where) ? DIRECTORY : DATABASE).test(where);
  if (!isNamed) throw refused(where);
  const found = await markOfOldData(where, connection, beside);
  const isGone = found === null && (!isAbsolute(where) || (await lstat(where).catch(() => null)) === null);
  if (!isGone && (found === null || found !== mark)) throw another(where);
  return !isGone;
}

/**
 * Removes old data that a recovery has kept. What is gone already is no error.
 * @throws RepriseError those of {@link isOldDataThere}; `conflict` while a server is running in the directory
 */
export async function dropOldData(old: OldDataAt, connection: ConnectionConfig): Promise<void> {
  const { where, mark } = old;
  if (!(await isOldDataThere(old, connection))) return;
  if (isAbsolute(where)) return removeDirectory(where, mark);
  const drop = async (client: pg.Client): Promise<void> => {
    // A template cannot be dropped, and an invalid database not altered.
    if ((await isTemplate(client, where)) === true)
      await client.query(`ALTER DATABASE ${pg.escapeIdentifier(where)} IS_TEMPLATE false`);
    await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(where)}`).catch(async (error: unknown) => {
      // A subscription or a replication slot uses it too: of these the server itself says what to do.
      throw sqlState(error) === OBJECT_IN_USE && (await hasSessions(client, where)) ? inUse(where) : error;
    });
    // Of a restore that was given up in the middle.
    await dropRestoreLogin(client, where, null);
  };
  await withMaintenance(connection, drop, { notIn: [where] });
}

async function hasSessions(client: pg.Client, database: string): Promise<boolean> {
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_stat_activity WHERE datname = $1 LIMIT 1', [database]);
  return rows.length > 0;
}

async function isTemplate(client: pg.Client, database: string): Promise<boolean | undefined> {
  const { rows } = await client.query<{ template: boolean }>(
    'SELECT datistemplate AS template FROM pg_catalog.pg_database WHERE datname = $1',
    [database],
  );
  return rows[0]?.template;
}

/** Only the directory that has the mark, also where another one takes its name meanwhile. */
async function removeDirectory(path: string, mark: string | null): Promise<void> {
  const living = await processesIn(path);
  if (living.length > 0)
    throw new RepriseError(
      'conflict',
      `a server is running in ${path} (process ${living.join(', ')})`,
      'Stop it first (a copy recovered beside: reprise beside stop NAME), or keep the directory.',
    );
  await removeTree(path, { ino: BigInt(/^inode (\d+)$/.exec(mark ?? '')?.[1] ?? 0) });
}

function inUse(database: string): RepriseError {
  return new RepriseError(
    'conflict',
    `sessions are connected to the database ${JSON.stringify(database)}`,
    'End them (pg_stat_activity shows them), then drop it again; or keep it.',
  );
}

function refused(where: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${JSON.stringify(where)} is not a name that a recovery gives to old data`,
    'Remove it by hand if you are sure.',
  );
}

function another(where: string): RepriseError {
  return new RepriseError(
    'path-refused',
    `${JSON.stringify(where)} is not what a recovery has kept under this name: it was made or replaced since`,
    'See what it is; remove it by hand if you are sure.',
  );
}
