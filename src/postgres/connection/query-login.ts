import { randomBytes } from 'node:crypto';
import { readlink } from 'node:fs/promises';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { currentBootId, identify, isAlive } from '../../process/exec/process-identity.js';
import { endSessionsOf, scramVerifier } from './login.js';
import { withMaintenance } from './with-client.js';

/** A role that was left can be used by nobody any more after this time, even where nobody comes to drop it. */
const VALID_FOR = '2 hours';
/** A role has a session all the time but for moments; one of another machine without any after so long was left. */
const UNUSED_FOR = '10 minutes';

/** A role that reads for the time of one query, and how one connects as it. */
export interface QueryLogin {
  readonly connection: ConnectionConfig;
  readonly password: string;
}

/**
 * Has a query run by a role that may read all rows and do nothing else: made for it, dropped after it. Only a server that
 * takes writes can make one.
 */
export async function withQueryLogin<T>(
  connection: ConnectionConfig,
  fn: (login: QueryLogin) => Promise<T>,
): Promise<T> {
  const [role, password] = [`reprise_query_${randomBytes(8).toString('hex')}`, randomBytes(24).toString('hex')];
  const name = pg.escapeIdentifier(role);
  const maintenance = <R>(work: (client: pg.Client) => Promise<R>): Promise<R> => withMaintenance(connection, work);
  const whose = await processComment();
  await maintenance(async (client) => {
    await dropLeftQueryLogins(client);
    const { rows } = await client.query<{ until: string }>(
      `SELECT (pg_catalog.now() + interval '${VALID_FOR}')::text AS until`,
    );
    await client.query(
      `CREATE ROLE ${name} LOGIN INHERIT BYPASSRLS IN ROLE pg_read_all_data VALID UNTIL ${pg.escapeLiteral(rows[0]?.until ?? '')} PASSWORD ${pg.escapeLiteral(scramVerifier(password))};
       COMMENT ON ROLE ${name} IS ${pg.escapeLiteral(whose)}`,
    );
  });
  try {
    return await fn({ connection: { ...connection, user: role }, password });
  } finally {
    await maintenance(async (client) => {
      await client.query(`ALTER ROLE ${name} NOLOGIN`);
      await endSessionsOf(client, role);
      await client.query(`DROP ROLE ${name}`);
    });
  }
}

/** Whether a server has this role, it may log in, and it is no superuser. */
export async function logsInReading(connection: ConnectionConfig, role: string): Promise<boolean> {
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query(
      'SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper',
      [role],
    );
    return rows.length > 0;
  });
}

/** Which process a role belongs to: its machine, also of a container, then its number and when it began. */
async function processComment(): Promise<string> {
  const own = await identify(process.pid);
  return `[reprise:query ${await machine()} ${process.pid} ${own?.startTime ?? 0}]`;
}

/** Processes have numbers of their own in each container. */
async function machine(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${await currentBootId()}/${namespace.replaceAll(/\D/g, '')}`;
}

const COMMENT = /^\[reprise:query (\S+)\/(\d*) (\d+) (\d+)\]$/;

/** Whether the process that made a role has ended; false also where that cannot be seen from here. */
async function hasMakerEnded(comment: string): Promise<boolean> {
  const [, bootId = '', namespace = '', pid, startTime] = COMMENT.exec(comment) ?? [];
  if (pid === undefined || `${bootId}/${namespace}` !== (await machine())) return false;
  return !(await isAlive({ pid: Number(pid), startTime: Number(startTime), bootId }));
}

/**
 * Drops the roles of queries that their worker has left: it was killed. Those whose process runs, or may run elsewhere, are left alone.
 * @param client of a superuser
 */
export async function dropLeftQueryLogins(client: pg.ClientBase): Promise<readonly string[]> {
  const { rows } = await client.query<{ role: string; comment: string | null; over: boolean }>(
    `SELECT r.rolname::text AS role, pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment,
            r.rolvaliduntil < pg_catalog.now() OR (
              r.rolvaliduntil < pg_catalog.now() + interval '${VALID_FOR}' - interval '${UNUSED_FOR}'
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid)) AS over
       FROM pg_catalog.pg_roles r WHERE r.rolname ~ '^reprise_query_[0-9a-f]{16}$'`,
  );
  const dropped: string[] = [];
  for (const { role, comment, over } of rows) {
    if (!over && !(await hasMakerEnded(comment ?? ''))) continue;
    const name = pg.escapeIdentifier(role);
    // Another worker may drop it at the same time.
    const { rows: there } = await client.query('SELECT FROM pg_catalog.pg_roles WHERE rolname = $1', [role]);
    if (there.length === 0) continue;
    await client.query(`ALTER ROLE ${name} NOLOGIN`);
    await endSessionsOf(client, role);
    await client.query(`DROP ROLE IF EXISTS ${name}`);
    dropped.push(role);
  }
  return dropped;
}
