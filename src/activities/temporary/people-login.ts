import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { PeopleLogin } from '../../domain/explore/instance.js';
import type { RecoveryMethod } from '../../domain/plan/plan.js';
import { writeFileAtomic } from '../../files/atomic-file.js';
import { pathExists } from '../../files/paths.js';
import { scramVerifier } from '../../postgres/connection/login.js';
import { READ_COMMITTED } from '../../postgres/connection/session-options.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import type { ClusterContext } from '../cluster-context.js';

/** Reads all rows and does nothing else; in the throw-away cluster of dumps only. */
export const PEOPLE_ROLE = 'reprise_explore';
/** Major version with the role `pg_read_all_data`. */
const WITH_READ_ALL = 14;

interface Copy {
  readonly dataDir: string;
  readonly method: RecoveryMethod;
}

/**
 * How people get in: as a login that only reads. One can be made, with a password of its own, where the server takes writes. A server
 * in recovery knows the logins of production alone, and nobody can give them another password: there the operating system says who
 * gets in, as the socket is in a directory of its owner's.
 */
export async function peopleLogin(
  clusterContext: ClusterContext,
  connection: ConnectionConfig,
  { dataDir, method }: Copy,
): Promise<PeopleLogin> {
  const osUser = clusterContext.user?.name ?? userInfo().username;
  if (method !== 'databases') return { ...(await readerOfCopy(clusterContext, connection)), osUser };
  const passfile = join(dirname(dataDir), 'pgpass');
  // Written last: with the file, the role has just this password.
  if (!(await pathExists(passfile))) {
    const password = randomBytes(24).toString('hex');
    await makeReader(connection, password);
    await writeFileAtomic(passfile, `*:*:*:${PEOPLE_ROLE}:${password}\n`, clusterContext.user);
  }
  return { user: PEOPLE_ROLE, passfile, options: null, osUser, note: null };
}

async function makeReader(connection: ConnectionConfig, password: string): Promise<void> {
  const role = pg.escapeIdentifier(PEOPLE_ROLE);
  await withMaintenance(connection, async (client) => {
    const { rows } = await client.query('SELECT FROM pg_catalog.pg_roles WHERE rolname = $1', [PEOPLE_ROLE]);
    if (rows.length === 0) await client.query(`CREATE ROLE ${role} NOLOGIN INHERIT BYPASSRLS`);
    const { rows: groups } = await client.query("SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_read_all_data'");
    if (groups.length > 0) await client.query(`GRANT pg_read_all_data TO ${role}`);
    await client.query(`ALTER ROLE ${role} SET default_transaction_read_only = on`);
    await client.query(`ALTER ROLE ${role} LOGIN PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`);
  });
}

/** The role of checks where the copy has it; else the role of the connection, with no more rights at first than to read. */
async function readerOfCopy(
  { cluster: { name, checksRole } }: ClusterContext,
  connection: ConnectionConfig,
): Promise<Omit<PeopleLogin, 'osUser'>> {
  const { canLogIn, serializable, major } = await withMaintenance(connection, async (client) => {
    const { rows } = await client.query<{ canLogIn: boolean; serializable: boolean; version: number }>(
      `SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper) AS "canLogIn",
              EXISTS (SELECT FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS c
                       WHERE c = 'default_transaction_isolation=serializable') AS serializable,
              pg_catalog.current_setting('server_version_num')::int AS version`,
      [checksRole ?? ''],
    );
    const [found] = rows;
    const major = Math.floor((found?.version ?? 0) / 10_000);
    return { canLogIn: found?.canLogIn === true, serializable: found?.serializable === true, major };
  });
  // What is set for roles and databases goes before what the copy's configuration has.
  const isolation = serializable ? [`-c ${READ_COMMITTED}`] : [];
  if (canLogIn && checksRole !== undefined)
    return { user: checksRole, passfile: null, options: isolation[0] ?? null, note: null };
  const reads = major >= WITH_READ_ALL ? ['-c role=pg_read_all_data'] : [];
  const options = [...reads, ...isolation].join(' ');
  return {
    user: connection.user,
    passfile: null,
    options: options === '' ? null : options,
    note: `this is a superuser of the copy: a view or a function of somebody else may run code with its rights; name a login that only reads under clusters.${name}.checks_role`,
  };
}
