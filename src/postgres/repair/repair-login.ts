import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { TableName } from '../../domain/table/table-name.js';
import { endSessionsOf, scramVerifier } from '../connection/login.js';
import type { ConnectOptions } from '../connection/with-client.js';
import { refersByText, statementTable, type TableFacts } from './table-facts.js';

/**
 * A role that changes one table. It has the rights of the table's owner and no others, so that code of the table (its checks, triggers,
 * indexes and types) gets nothing it would not have anyway; where the owner is a superuser, so is that code.
 */
export interface RepairLogin {
  readonly connection: ConnectionConfig;
  /** Absent where the connection's own role is used. */
  readonly password?: string;
  readonly options: ConnectOptions;
}

const PREFIX = 'reprise_repair_';
/** Two of them: the repair, and one that an attempt before it has left. */
const SESSIONS = 4;

/** Name of the role of an operation. */
export function repairRole(operationId: string): string {
  return PREFIX + createHash('sha256').update(operationId).digest('hex').slice(0, 16);
}

/**
 * Makes the role, or finds the one of an earlier attempt and ends its sessions: what that one had not committed is rolled back.
 * @param client of a superuser, in the database of the table
 * @throws RepriseError `privilege-missing` where code of others would run as a superuser
 */
export async function openRepairLogin(
  client: pg.Client,
  server: ConnectionConfig,
  { operationId, table }: { readonly operationId: string; readonly table: TableName },
  facts: TableFacts,
): Promise<RepairLogin> {
  const options: ConnectOptions = { applicationName: 'reprise repair' };
  if (facts.ownerIsSuperuser) {
    if (facts.foreignCode.length > 0) throw codeOfOthers(table, facts.foreignCode);
    return { connection: server, options };
  }
  const role = repairRole(operationId);
  const [name, database] = [pg.escapeIdentifier(role), pg.escapeIdentifier(client.database ?? '')];
  const password = randomBytes(24).toString('hex');
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_roles WHERE rolname = $1', [role]);
  // In one transaction: one without the comment would be found by no sweep.
  if (rows.length === 0)
    await client.query(
      `CREATE ROLE ${name} NOLOGIN; COMMENT ON ROLE ${name} IS ${pg.escapeLiteral(`[reprise:${operationId}] repairs a table`)}`,
    );
  await endSessionsOf(client, role);
  await client.query(
    `ALTER ROLE ${name} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT ${SESSIONS} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`,
  );
  const { rows: version } = await client.query<{ num: number }>(
    "SELECT pg_catalog.current_setting('server_version_num')::int AS num",
  );
  // What the database sets for every role; only a superuser may set it, and the role itself is none.
  const { rows: replication } = await client.query<{ set: boolean }>(
    `SELECT reset_val <> 'origin' OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting d, pg_catalog.unnest(d.setconfig) AS c
              WHERE d.setrole = 0 AND c LIKE 'session\\_replication\\_role=%') AS set
       FROM pg_catalog.pg_settings WHERE name = 'session_replication_role'`,
  );
  if (replication[0]?.set === true)
    await client.query(`ALTER ROLE ${name} IN DATABASE ${database} SET session_replication_role TO origin`);
  const membership = (version[0]?.num ?? 0) >= 160_000 ? ' WITH INHERIT TRUE, SET FALSE' : '';
  await client.query(`GRANT ${pg.escapeIdentifier(facts.owner)} TO ${name}${membership}`);
  // The owner's own rights on it may have been taken away, so that nobody writes.
  await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${statementTable(table)} TO ${name}`);
  await client.query(`GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(table.schema)} TO ${name}`);
  await client.query(`GRANT TEMPORARY ON DATABASE ${database} TO ${name}`);
  for (const { table: other } of facts.referencedBy) {
    await client.query(`GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(other.schema)} TO ${name}`);
    await client.query(`GRANT SELECT ON ${statementTable(other)} TO ${name}`);
  }
  // Whether a value is there can be learnt by the foreign key anyway.
  for (const { table: other, refersTo } of facts.foreignKeys.filter((key) => !refersByText(facts, key))) {
    const columns = refersTo.map((column) => pg.escapeIdentifier(column)).join(', ');
    await client.query(`GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(other.schema)} TO ${name}`);
    await client.query(`GRANT SELECT (${columns}) ON ${statementTable(other)} TO ${name}`);
  }
  return { connection: { ...server, user: role }, password, options: { ...options, password } };
}

/**
 * Ends the role's sessions and drops it with all it was granted in this database; none there is no error.
 * @param hasMore it has rights in other databases, and is dropped there
 */
export async function closeRepairLogin(client: pg.Client, operationId: string, hasMore = false): Promise<void> {
  const role = repairRole(operationId);
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_roles WHERE rolname = $1', [role]);
  if (rows.length === 0) return;
  const name = pg.escapeIdentifier(role);
  await client.query(`ALTER ROLE ${name} NOLOGIN`);
  await endSessionsOf(client, role);
  await client.query(`DROP OWNED BY ${name}`);
  if (!hasMore) await client.query(`DROP ROLE ${name}`);
}

/** A role that an operation has left, and the databases in which it was granted something. */
export interface LeftRole {
  readonly operationId: string;
  readonly databases: readonly string[];
}

/** Roles of repairs, as their comments name them. */
export async function repairRoles(client: pg.ClientBase): Promise<readonly LeftRole[]> {
  const { rows } = await client.query<{ role: string; comment: string; databases: string[] }>(
    `SELECT r.rolname::text AS role, pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment,
            ARRAY(SELECT DISTINCT d.datname::text FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d
                    ON d.oid = s.dbid OR s.dbid = 0 AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.oid = s.objid
                   WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid AND d.datallowconn
                   ORDER BY 1) AS databases
       FROM pg_catalog.pg_roles r WHERE r.rolname LIKE $1 ORDER BY 1`,
    [`${PREFIX.replaceAll('_', '\\_')}%`],
  );
  return rows.flatMap(({ role, comment, databases }) => {
    const operationId = /^\[reprise:([^\]]+)\]/.exec(comment)?.[1];
    // Only what was made here: the name follows from the operation.
    return operationId !== undefined && repairRole(operationId) === role ? [{ operationId, databases }] : [];
  });
}

function codeOfOthers(table: TableName, functions: readonly string[]): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `${statementTable(table)} belongs to a superuser, and its triggers, checks or indexes call ${functions.join(', ')}, which others own: their code would run as a superuser`,
    `give the table to a role that is no superuser: ALTER TABLE ${statementTable(table)} OWNER TO ROLE`,
  );
}
