import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import type { Part } from './freeze-parts.js';

/** A right to write that was taken away, as the server had it. */
export interface TakenRight {
  readonly oid: number;
  /** Null: the right holds for the whole table. */
  readonly column: string | null;
  readonly privilege: string;
  readonly grantor: string;
  /** Null: PUBLIC. */
  readonly grantee: string | null;
  readonly grantable: boolean;
}

/** Those of these tables to which one of these roles may write. */
export async function openToRoles(
  client: pg.ClientBase,
  oids: readonly number[],
  roles: readonly string[],
): Promise<Set<number>> {
  const rights = await rightsToWrite(client, oids);
  return new Set(rights.filter(({ grantee }) => roles.includes(grantee ?? 'PUBLIC')).map(({ oid }) => oid));
}

const WRITES = "('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')";

/** Everybody's rights to write, the owner's and PUBLIC's too. */
async function rightsToWrite(client: pg.ClientBase, oids: readonly number[]): Promise<readonly TakenRight[]> {
  const { rows } = await client.query<TakenRight>(
    `SELECT one.oid, one.column, a.privilege_type AS privilege, a.is_grantable AS grantable,
            by.rolname::text AS grantor, to_whom.rolname::text AS grantee
       FROM (SELECT c.oid, NULL::text AS column, coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)) AS acl
               FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[])
             UNION ALL
             SELECT t.attrelid, t.attname::text, t.attacl FROM pg_catalog.pg_attribute t
              WHERE t.attrelid = ANY($1::oid[]) AND t.attacl IS NOT NULL AND NOT t.attisdropped) AS one
      CROSS JOIN LATERAL pg_catalog.aclexplode(one.acl) AS a
       JOIN pg_catalog.pg_roles by ON by.oid = a.grantor
       LEFT JOIN pg_catalog.pg_roles to_whom ON to_whom.oid = a.grantee
      WHERE a.privilege_type IN ${WRITES}
      ORDER BY 1, 2 NULLS FIRST, 3, 5, 6`,
    [oids],
  );
  return rows;
}

const nameOfRole = (role: string | null): string => (role === null ? 'PUBLIC' : pg.escapeIdentifier(role));
const ofColumn = (column: string | null): string => (column === null ? '' : ` (${pg.escapeIdentifier(column)})`);
const isPublic = (role: string): boolean => role === 'PUBLIC';

/** Of roles that write whatever is revoked. */
export async function refuseRoles(client: pg.ClientBase, table: TableName, roles: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ role: string; owns: boolean; super: boolean }>(
    `SELECT r.rolname::text AS role, r.rolsuper AS super, r.oid = c.relowner AS owns
       FROM pg_catalog.pg_roles r, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND r.rolname = ANY($3::text[])`,
    [table.schema, table.table, roles],
  );
  const missing = roles.find((role) => !isPublic(role) && !rows.some((one) => one.role === role));
  if (missing !== undefined)
    throw new RepriseError(
      'config-invalid',
      `there is no role ${JSON.stringify(missing)}, from which the right to write to ${formatTableName(table)} is to be revoked`,
      'correct tables.NAME.freeze.roles',
    );
  const free = rows.find((one) => one.owns || one.super);
  if (free !== undefined)
    throw writesAnyway(table, `${free.role} ${free.super ? 'is a superuser' : 'owns it'}, and cannot be kept out so`);
}

/** Takes these roles the rights to write to some parts; returns those that are gone. */
export async function takeRights(
  client: pg.ClientBase,
  parts: readonly Part[],
  roles: readonly string[],
): Promise<readonly TakenRight[]> {
  const oids = parts.map(({ oid }) => oid);
  const before = await rightsToWrite(client, oids);
  await revoke(client, parts, roles);
  const after = new Set((await rightsToWrite(client, oids)).map((one) => JSON.stringify(one)));
  return before.filter((one) => !after.has(JSON.stringify(one)));
}

async function revoke(client: pg.ClientBase, tree: readonly Part[], roles: readonly string[]): Promise<void> {
  const of = roles.map((role) => (isPublic(role) ? null : role));
  for (const { oid, name, owner } of tree)
    for (;;) {
      // Read anew each time: what was given on by somebody goes with what they had. The owner's grants first, as they end most.
      const rights = (await rightsToWrite(client, [oid])).filter(({ grantee }) => of.includes(grantee));
      const next = rights.find(({ grantor }) => grantor === owner) ?? rights[0];
      if (next === undefined) break;
      const { privilege, column, grantor, grantee } = next;
      // By its own grantor: another one's REVOKE does nothing.
      await asRole(client, grantor, async () => {
        await client.query(
          `REVOKE ${privilege}${ofColumn(column)} ON TABLE ${name} FROM ${nameOfRole(grantee)} CASCADE`,
        );
      });
    }
}

async function asRole(client: pg.ClientBase, role: string, work: () => Promise<void>): Promise<void> {
  await client.query(`SET LOCAL ROLE ${pg.escapeIdentifier(role)}`);
  await work();
  await client.query('SET LOCAL ROLE NONE');
}

/** What a role has by PUBLIC, or by a role it belongs to, is left to it. */
export async function requireNoRights(
  client: pg.ClientBase,
  table: TableName,
  oids: readonly number[],
  roles: readonly string[],
): Promise<void> {
  const { rows } = await client.query<{ role: string }>(
    `SELECT r.rolname::text AS role FROM pg_catalog.pg_roles r, pg_catalog.unnest($1::oid[]) AS t (oid)
      WHERE r.rolname = ANY($2::text[]) AND (pg_catalog.has_table_privilege(r.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
         OR pg_catalog.has_any_column_privilege(r.oid, t.oid, 'INSERT, UPDATE')) LIMIT 1`,
    [oids, roles],
  );
  const [still] = rows;
  if (still === undefined) return;
  throw writesAnyway(table, `${still.role} has the right by PUBLIC or by a role that it belongs to`);
}

function writesAnyway(table: TableName, why: string): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `to revoke rights does not block the writes to ${formatTableName(table)}: ${why}`,
    'nothing was changed; name that role (or PUBLIC) under tables.NAME.freeze.roles, or block writes by a trigger',
  );
}

/** Grantors first: who had a right from somebody gets it from them again. */
export async function giveBack(client: pg.Client, taken: readonly TakenRight[]): Promise<void> {
  const same = (one: TakenRight): string =>
    JSON.stringify([one.oid, one.column, one.privilege, one.grantor, one.grantee, one.grantable]);
  const oids = taken.map(({ oid }) => oid);
  for (let before = Number.POSITIVE_INFINITY; ;) {
    const there = new Set((await rightsToWrite(client, oids)).map(same));
    const missing = taken.filter((one) => !there.has(same(one)));
    // What is still missing cannot be given back: its grantor has lost the right meanwhile, or somebody is gone.
    if (missing.length === 0 || missing.length >= before) return;
    before = missing.length;
    for (const right of missing) await giveOne(client, right);
  }
}

async function giveOne(client: pg.Client, right: TakenRight): Promise<void> {
  const { oid, column, privilege, grantor, grantee, grantable } = right;
  const { rows } = await client.query<{ name: string }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = $1 AND ($2::text IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attname = $2))
        AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $3)
        AND ($4::text IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $4))
        AND ($2::text IS NULL AND pg_catalog.has_table_privilege($3, c.oid, $5 || ' WITH GRANT OPTION')
          OR $2::text IS NOT NULL AND pg_catalog.has_column_privilege($3, c.oid, $2, $5 || ' WITH GRANT OPTION'))`,
    [oid, column, grantor, grantee, privilege],
  );
  const [found] = rows;
  if (found === undefined) return;
  const option = grantable && grantee !== null ? ' WITH GRANT OPTION' : '';
  await asRole(client, grantor, async () => {
    await client.query(
      `GRANT ${privilege}${ofColumn(column)} ON TABLE ${found.name} TO ${nameOfRole(grantee)}${option}`,
    );
  });
}
