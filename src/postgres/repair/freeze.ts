import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { FreezeMeans } from '../../domain/table/repair.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { sqlState } from '../connection/database-errors.js';
import { FREEZE_ROWS_TRIGGER, FREEZE_TRIGGER, freezeNewTrigger } from './apply-changes.js';
import { refuseSystem, statementTable } from './table-facts.js';

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

/** What unfreezing needs to know. */
export interface FrozenParts {
  /** The table and its partitions. */
  readonly oids: readonly number[];
  readonly taken: readonly TakenRight[];
}

export interface TableFreeze {
  readonly table: TableName;
  readonly means: FreezeMeans;
}

/** What of it is undone. */
export interface OwnParts extends FrozenParts {
  /** Parts that other operations keep frozen as well, such as a partition that is frozen by itself; absent: none. */
  readonly kept?: readonly number[];
}

/** A schema of our own: nobody but superusers makes anything in it. */
const SCHEMA = 'reprise_freeze';
/** Who holds the table is waited for no longer: all who come after would wait behind this. */
const LOCK_TIMEOUT = '10s';
/** Whoever freezes or unfreezes in a database does it alone. */
const ALONE = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('reprise freeze'))";

const FUNCTION = `CREATE OR REPLACE FUNCTION ${SCHEMA}.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
    MESSAGE = pg_catalog.format('table %I.%I takes no writes while it is repaired', TG_TABLE_SCHEMA, TG_TABLE_NAME),
    HINT = pg_catalog.format('Try again when the repair has ended: reprise status %s', TG_ARGV[0]);
END $body$`;

/**
 * Blocks the writes of others to a table and its partitions. Waits until those that have begun have ended. Repeated, it changes nothing.
 * @param client of a superuser, in the database of the table
 * @param note called with what unfreezing needs, before anything holds
 * @throws RepriseError `busy`; `privilege-missing` where the means would not keep the roles from writing; `not-found`
 */
export function freezeTable(
  client: pg.Client,
  { table, means }: TableFreeze,
  workflowId: string,
  note: (parts: FrozenParts) => Promise<void>,
): Promise<void> {
  return alone(client, table, async () => {
    const tree = await treeOf(client, table);
    const oids = tree.map(({ oid }) => oid);
    refuseSystem(table);
    if (tree.length === 0) throw noTable(table);
    if (means.by === 'revoke') await refuseRoles(client, table, means.roles);
    await client.query(`LOCK TABLE ${statementTable(table)} IN SHARE ROW EXCLUSIVE MODE`);
    if (means.by === 'revoke') {
      const taken = await takeRights(client, tree, means.roles);
      await requireNoRights(client, table, oids, means.roles);
      await note({ oids, taken });
      return;
    }
    await makeFunction(client);
    for (const part of tree) await addTriggers(client, part, workflowId);
    await note({ oids, taken: [] });
  });
}

/**
 * Blocks the writes to partitions that came while their table was frozen: where that is done by a trigger, all but TRUNCATE is blocked already.
 * Does nothing where the table itself is another one by now, as after a recovery: nobody has approved that.
 * @param mine asked while nobody else freezes or unfreezes: what is frozen; null: it is being opened
 * @param note called before anything holds, with all that is frozen and with the rights that were taken from the new parts
 * @returns the new parts, for people
 * @throws RepriseError `busy`
 */
export async function freezeNewParts(
  client: pg.Client,
  { table, means }: TableFreeze,
  workflowId: string,
  mine: () => Promise<Pick<FrozenParts, 'oids'> | null>,
  note: (parts: FrozenParts) => Promise<void>,
): Promise<readonly string[]> {
  const added: string[] = [];
  await alone(client, table, async () => {
    const known = await mine();
    if (known === null) return;
    const tree = await treeOf(client, table);
    const fresh = tree.filter(({ oid }) => !known.oids.includes(oid));
    const isSame = tree.some(({ oid, isRoot }) => isRoot && known.oids.includes(oid));
    if (!isSame || fresh.length === 0) return;
    const oids = fresh.map(({ oid }) => oid);
    for (const { name } of fresh) await client.query(`LOCK TABLE ${name} IN SHARE ROW EXCLUSIVE MODE`);
    const taken = means.by === 'revoke' ? await takeRights(client, fresh, means.roles) : [];
    if (means.by === 'trigger') {
      await makeFunction(client);
      for (const part of fresh) await addTriggers(client, part, workflowId);
    }
    await note({ oids: [...known.oids, ...oids], taken });
    added.push(...fresh.map(({ name }) => name));
  });
  return added;
}

/**
 * What can be known before: the table is there, and the means would keep the roles from writing. Reads only.
 * @param means null: only whether the table is there
 * @throws RepriseError as {@link freezeTable}
 */
export async function requireFreezable(
  client: pg.Client,
  { table, means }: { readonly table: TableName; readonly means: FreezeMeans | null },
): Promise<void> {
  refuseSystem(table);
  const tree = await treeOf(client, table);
  if (tree.length === 0) throw noTable(table);
  if (means?.by === 'revoke') await refuseRoles(client, table, means.roles);
}

/**
 * Takes the blocks away again, and gives back the very rights that were taken. Repeated, or where the table is gone, it changes nothing.
 * @param mine asked while nobody else freezes or unfreezes: what this operation took; null: another one still needs the block
 */
export function unfreezeTable(
  client: pg.Client,
  { table, means }: TableFreeze,
  mine: () => Promise<OwnParts | null>,
): Promise<void> {
  return alone(client, table, async () => {
    const parts = await mine();
    if (parts === null) return;
    const { oids, taken, kept = [] } = parts;
    if (means.by === 'revoke') return giveBack(client, taken);
    const known = new Set([...oids, ...(await treeOf(client, table)).map(({ oid }) => oid)]);
    for (const oid of kept) known.delete(oid);
    const { rows } = await client.query<{ name: string; trigger: string }>(
      `SELECT g.tgrelid::pg_catalog.regclass::text AS name, g.tgname::text AS trigger
         FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = $1 AND g.tgrelid = ANY($2::oid[]) AND NOT g.tgisinternal AND g.tgparentid = 0`,
      [SCHEMA, [...known]],
    );
    for (const { name, trigger } of rows)
      await client.query(`DROP TRIGGER IF EXISTS ${pg.escapeIdentifier(trigger)} ON ${name}`);
    await dropFunction(client);
  });
}

const noTable = (table: TableName): RepriseError =>
  new RepriseError('not-found', `there is no table ${formatTableName(table)}`, 'see \\dt *.* in psql');

/**
 * Parts of a frozen table that take writes nevertheless: it was replaced by a recovery, somebody has taken the block away, or the
 * partition is newer. Reads only.
 */
export async function openParts(client: pg.Client, { table, means }: TableFreeze): Promise<readonly string[]> {
  const tree = await treeOf(client, table);
  const oids = tree.map(({ oid }) => oid);
  const isOpen =
    means.by === 'revoke' ? await openToRoles(client, oids, means.roles) : await withoutTrigger(client, oids);
  return tree.filter(({ oid }) => isOpen.has(oid)).map(({ name }) => name);
}

async function openToRoles(client: pg.Client, oids: readonly number[], roles: readonly string[]): Promise<Set<number>> {
  const rights = await rightsToWrite(client, oids);
  return new Set(rights.filter(({ grantee }) => roles.includes(grantee ?? 'PUBLIC')).map(({ oid }) => oid));
}

async function withoutTrigger(client: pg.Client, oids: readonly number[]): Promise<Set<number>> {
  const { rows } = await client.query<{ oid: number }>(
    `SELECT g.tgrelid AS oid FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
       JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $1 AND g.tgname = $2 AND g.tgenabled = 'A' AND g.tgrelid = ANY($3::oid[])`,
    [SCHEMA, FREEZE_TRIGGER, oids],
  );
  const blocked = new Set(rows.map(({ oid }) => oid));
  return new Set(oids.filter((oid) => !blocked.has(oid)));
}

async function alone(client: pg.Client, table: TableName, work: () => Promise<void>): Promise<void> {
  // Names are printed with their schemas.
  await client.query(`BEGIN; SET LOCAL search_path TO ''; SET LOCAL lock_timeout TO '${LOCK_TIMEOUT}'`);
  try {
    await client.query(ALONE);
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (sqlState(error) !== '55P03') throw error;
    throw new RepriseError(
      'busy',
      `others hold ${formatTableName(table)}: its writes were neither blocked nor opened`,
      'see pg_locks; end them, or wait: it is tried again',
    );
  }
}

interface Part {
  readonly oid: number;
  /** For a statement. */
  readonly name: string;
  readonly kind: string;
  readonly owner: string;
  /** It is the table itself. */
  readonly isRoot: boolean;
}

/** The table and, of a partitioned one, everything below it that has rows here. */
async function treeOf(client: pg.ClientBase, table: TableName): Promise<readonly Part[]> {
  const { rows } = await client.query<Part>(
    `WITH root AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = $1 AND c.relname = $2)
     SELECT c.oid, c.oid IN (SELECT oid FROM root) AS "isRoot", c.relkind::text AS kind, o.rolname::text AS owner, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
      WHERE c.relkind IN ('r', 'p') AND (c.oid IN (SELECT oid FROM root)
         OR c.oid IN (SELECT t.relid FROM root, pg_catalog.pg_partition_tree(root.oid::pg_catalog.regclass) AS t))
      ORDER BY c.oid`,
    [table.schema, table.table],
  );
  return rows;
}

async function makeFunction(client: pg.ClientBase): Promise<void> {
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`);
  const { rows } = await client.query(
    `SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner
      WHERE n.nspname = $1 AND o.rolsuper AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
         WHERE a.privilege_type = 'CREATE' AND r.rolsuper IS NOT TRUE)`,
    [SCHEMA],
  );
  // What others put there would run with the rights of whoever writes to the table.
  if (rows.length === 0)
    throw new RepriseError(
      'privilege-missing',
      `roles that are no superusers may make things in the schema ${SCHEMA}, in which the trigger's function belongs`,
      `drop it where it is not needed, or take it back: ALTER SCHEMA ${SCHEMA} OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA ${SCHEMA} FROM ...`,
    );
  await client.query(FUNCTION);
  // Whoever makes a partition meanwhile gets the trigger with it, and needs this right.
  await client.query(`GRANT EXECUTE ON FUNCTION ${SCHEMA}.refuse() TO PUBLIC`);
}

async function dropFunction(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ used: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgfoid = p.oid) AS used
       FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $1 AND p.proname = 'refuse'`,
    [SCHEMA],
  );
  if (rows[0]?.used !== false) return;
  await client.query(`DROP FUNCTION ${SCHEMA}.refuse()`);
  const others = await client.query(
    `SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_namespace n ON n.oid = d.refobjid
      WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND n.nspname = $1 LIMIT 1`,
    [SCHEMA],
  );
  if (others.rows.length === 0) await client.query(`DROP SCHEMA ${SCHEMA}`);
}

/**
 * One trigger for each statement, which fails before it waits for anything, and one for each row: rows also come by way of a table above
 * this one, and by logical replication, and neither fires statement triggers here. A partitioned table has one for rows that the server gives to
 * each partition, also to those that come later; its name has the table's number, because a table above may be frozen too. Always on:
 * `session_replication_role` changes nothing.
 */
async function addTriggers(
  client: pg.ClientBase,
  { oid, name, kind, isRoot }: Part,
  workflowId: string,
): Promise<void> {
  const call = `EXECUTE FUNCTION ${SCHEMA}.refuse(${pg.escapeLiteral(workflowId)})`;
  const ofRows = `BEFORE INSERT OR UPDATE OR DELETE ON ${name} FOR EACH ROW ${call}`;
  const wanted = {
    [FREEZE_TRIGGER]: `BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${name} FOR EACH STATEMENT ${call}`,
    ...(kind === 'r' && { [FREEZE_ROWS_TRIGGER]: ofRows }),
    ...(kind === 'p' && isRoot && { [freezeNewTrigger(oid)]: ofRows }),
  };
  for (const [trigger, definition] of Object.entries(wanted)) {
    const { rows } = await client.query<{ ours: boolean }>(
      `SELECT p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $3) AS ours
         FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
        WHERE g.tgrelid = $1 AND g.tgname = $2`,
      [oid, trigger, SCHEMA],
    );
    if (rows[0]?.ours === false)
      throw new RepriseError(
        'conflict',
        `${name} has a trigger ${trigger} that is not of Reprise`,
        `rename it: ALTER TRIGGER ${trigger} ON ${name} RENAME TO ...`,
      );
    if (rows.length === 0) await client.query(`CREATE TRIGGER ${trigger} ${definition}`);
    await client.query(`ALTER TABLE ONLY ${name} ENABLE ALWAYS TRIGGER ${trigger}`);
  }
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
async function refuseRoles(client: pg.ClientBase, table: TableName, roles: readonly string[]): Promise<void> {
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
async function takeRights(
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
async function requireNoRights(
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
async function giveBack(client: pg.Client, taken: readonly TakenRight[]): Promise<void> {
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
