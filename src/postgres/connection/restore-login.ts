import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { createFileAtomic } from '../../files/atomic-file.js';
import { removeTree } from '../../files/remove-tree.js';
import { giveTo, makePrivateDirectory } from '../../files/directories.js';
import type { OsUser } from '../../process/jobs/jobs.js';
import { endSessionsOf, scramVerifier } from './login.js';
import { withClient } from './with-client.js';

/**
 * A role that restores one database and has no rights beside it: no membership, no attribute but LOGIN, and that only
 * until the restore has ended. Code of the dump runs as this role, and as nobody else.
 */
export interface RestoreLogin {
  /** Its name, made from the name of the database it restores. */
  readonly role: string;
  /** The server, as this role. */
  readonly connection: ConnectionConfig;
}

/** Where the passwords of such logins are kept while they are needed; owner-only. */
export interface LoginFiles {
  readonly stateDir: string;
  readonly user: OsUser | null;
}

/** How far the restore has come, as the comment of its role says it. */
export type LoginState = 'absent' | 'restoring' | 'compared';

const PREFIX = 'reprise_restore_';
const COMPARED = 'compared';

export function restoreRole(database: string): string {
  return PREFIX + createHash('sha256').update(database).digest('hex').slice(0, 16);
}

/** Where a restore of this database keeps what it needs; removed when the database got its name, or was dropped. */
export function restoreDirectory(stateDir: string, database: string): string {
  return join(stateDir, 'restores', restoreRole(database));
}

/**
 * Makes the role, or finds the one that an earlier attempt made, and lets it log in.
 * @param mark stands in its comment: by it the role is known again; `sessions`: no more than these, so that code in the
 *   dump opens none
 * @throws RepriseError `privilege-missing` where we are no superuser, `conflict` where the name is another one's
 */
export async function openRestoreLogin(
  client: pg.ClientBase,
  server: ConnectionConfig,
  { database, mark, sessions }: { readonly database: string; readonly mark: string; readonly sessions: number },
  files: LoginFiles,
): Promise<RestoreLogin> {
  await requireSuperuser(client);
  const role = restoreRole(database);
  const { passfile, password } = await passwordOf(role, files);
  const name = pg.escapeIdentifier(role);
  const found = await commentOf(client, role);
  if (found !== null && !found.includes(mark)) throw taken(role);
  await client.query('BEGIN');
  if (found === null) await client.query(`CREATE ROLE ${name}`);
  await client.query(
    `ALTER ROLE ${name} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT ${sessions} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`,
  );
  // It may have changed its own settings, and rows are counted only where this is on.
  await client.query(`ALTER ROLE ${name} RESET ALL; ALTER ROLE ${name} SET track_counts = on`);
  await client.query(`COMMENT ON ROLE ${name} IS ${pg.escapeLiteral(`${mark} restores a database`)}`);
  await client.query('COMMIT');
  return { role, connection: { ...server, user: role, passfile } };
}

/** What there is of the role of a database's restore. */
export async function restoreLoginState(client: pg.ClientBase, database: string): Promise<LoginState> {
  const comment = await commentOf(client, restoreRole(database));
  if (comment === null) return 'absent';
  return comment.endsWith(COMPARED) ? COMPARED : 'restoring';
}

/**
 * Takes its login, ends its sessions, and takes the database from it: whatever it began has ended then, and what it
 * set for the database is gone.
 * @throws RepriseError `check-failed` where it left something that goes on without a session; `lock-held`
 */
export async function closeRestoreLogin(
  client: pg.ClientBase,
  database: string,
  tablespaces: readonly string[],
): Promise<void> {
  const role = restoreRole(database);
  const [name, place] = [pg.escapeIdentifier(role), pg.escapeIdentifier(database)];
  await client.query(`ALTER ROLE ${name} NOLOGIN`);
  await endSessionsOf(client, role);
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_prepared_xacts WHERE owner = $1', [role]);
  if (rows.length > 0)
    throw new RepriseError(
      'check-failed',
      'what was restored has left a prepared transaction, so that it is not used',
      'choose another backup, and find out who put that into the database',
    );
  await client.query(`ALTER DATABASE ${place} OWNER TO CURRENT_USER`);
  await client.query(`ALTER DATABASE ${place} RESET ALL`);
  await client.query(`ALTER DATABASE ${place} IS_TEMPLATE false ALLOW_CONNECTIONS true`);
  for (const tablespace of tablespaces)
    await client.query(`REVOKE ALL ON TABLESPACE ${pg.escapeIdentifier(tablespace)} FROM ${name}`);
}

/** Notes that the restored schema was compared: from then on the role's objects get their owners. */
export async function noteCompared(client: pg.ClientBase, database: string): Promise<void> {
  const role = restoreRole(database);
  const comment = (await commentOf(client, role)) ?? '';
  await client.query(`COMMENT ON ROLE ${pg.escapeIdentifier(role)} IS ${pg.escapeLiteral(`${comment}, ${COMPARED}`)}`);
}

/** Drops the role of a database that is gone, or that it owns nothing of any more, and forgets its password. */
export async function dropRestoreLogin(
  client: pg.ClientBase,
  database: string,
  files: LoginFiles | null,
): Promise<void> {
  const role = restoreRole(database);
  if ((await commentOf(client, role))?.includes('[reprise:') === true) {
    await client.query(`ALTER ROLE ${pg.escapeIdentifier(role)} NOLOGIN`);
    await endSessionsOf(client, role);
    // What it was granted on the server itself, such as a tablespace, where an attempt had no time to take it back.
    await client.query(`DROP OWNED BY ${pg.escapeIdentifier(role)}`);
    await client.query(`DROP ROLE IF EXISTS ${pg.escapeIdentifier(role)}`);
  }
  if (files !== null) await rm(passfileOf(role, files), { force: true });
}

/** Removes what a restore of this database kept on the host: it has its name now, or was dropped. */
export async function forgetRestore(stateDir: string, database: string): Promise<void> {
  await rm(join(stateDir, 'restore-logins', restoreRole(database)), { force: true });
  await removeTree(restoreDirectory(stateDir, database));
}

/** What the server says of an entry of pg_hba.conf that is missing, or that asks for a user of the system. */
const NOT_ADMITTED = /no pg_hba\.conf entry|pg_hba\.conf rejects|(?:Peer|Ident) authentication failed/i;

/**
 * Whether such a login can be made and may log in. Changes nothing: the server looks into pg_hba.conf before it looks for the
 * role, so that one that does not exist tells.
 * @throws RepriseError `privilege-missing` with what to do
 */
export async function requireRestoreLogin(client: pg.ClientBase, server: ConnectionConfig): Promise<void> {
  await requireSuperuser(client);
  const role = restoreRole('probe');
  const tried = await withClient({ ...server, user: role }, server.maintenanceDatabase, async () => '', {
    password: randomBytes(8).toString('hex'),
  }).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  if (!NOT_ADMITTED.test(tried)) return;
  const place = server.host.startsWith('/') ? 'local all all' : 'host all all 127.0.0.1/32';
  throw new RepriseError(
    'privilege-missing',
    `pg_hba.conf does not let in the login without rights that a dump is restored by (a role ${PREFIX}...)`,
    `add a line to pg_hba.conf that lets roles of the server in with a password, such as: ${place} scram-sha-256; then: SELECT pg_reload_conf()`,
  );
}

/** @throws RepriseError `privilege-missing` */
async function requireSuperuser(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ role: string; superuser: boolean }>(
    'SELECT rolname::text AS role, rolsuper AS superuser FROM pg_catalog.pg_roles WHERE rolname = current_user',
  );
  if (rows[0]?.superuser === true) return;
  throw new RepriseError(
    'privilege-missing',
    `role ${rows[0]?.role ?? ''} is no superuser, and only one can make the login that restores without rights, and give what it restored to its owners`,
    'connect as a superuser; or, where you trust all that is in the dump, set restore_as: superuser for the cluster: then the role of the connection restores it itself',
  );
}

async function commentOf(client: pg.ClientBase, role: string): Promise<string | null> {
  const { rows } = await client.query<{ comment: string | null }>(
    `SELECT pg_catalog.shobj_description(oid, 'pg_authid') AS comment FROM pg_catalog.pg_roles WHERE rolname = $1`,
    [role],
  );
  return rows[0] === undefined ? null : (rows[0].comment ?? '');
}

const passfileOf = (role: string, { stateDir }: LoginFiles): string => join(stateDir, 'restore-logins', role);

/** The same for every attempt: an earlier one's pg_restore may be using it. */
async function passwordOf(role: string, files: LoginFiles): Promise<{ passfile: string; password: string }> {
  const directory = join(files.stateDir, 'restore-logins');
  await makePrivateDirectory(directory);
  await giveTo(directory, files.user);
  const passfile = passfileOf(role, files);
  await createFileAtomic(passfile, `*:*:*:${role}:${randomBytes(24).toString('hex')}\n`, files.user);
  const password = (await readFile(passfile, 'utf8')).trim().split(':').at(-1) ?? '';
  return { passfile, password };
}

function taken(role: string): RepriseError {
  return new RepriseError(
    'conflict',
    `there is a role ${role} that this operation did not make`,
    'drop it (DROP OWNED, then DROP ROLE), then try again',
  );
}
