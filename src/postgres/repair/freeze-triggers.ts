import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { Part } from './freeze-parts.js';

/** Name of the trigger by which Reprise keeps others from writing to a table. */
const FREEZE_TRIGGER = 'reprise_freeze';
/** The same for single rows. */
const FREEZE_ROWS_TRIGGER = 'reprise_freeze_rows';

/** The same for rows of a partitioned table and all of its partitions. */
const freezeNewTrigger = (oid: number): string => `${FREEZE_TRIGGER}_${oid}`;

/** Whether a trigger of this name is one of these. */
export const isFreezeTrigger = (name: string): boolean =>
  name === FREEZE_TRIGGER || name === FREEZE_ROWS_TRIGGER || /^reprise_freeze_\d+$/.test(name);

/** A schema of our own: nobody but superusers makes anything in it. */
const SCHEMA = 'reprise_freeze';

const FUNCTION = `CREATE OR REPLACE FUNCTION ${SCHEMA}.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
    MESSAGE = pg_catalog.format('table %I.%I takes no writes while it is repaired', TG_TABLE_SCHEMA, TG_TABLE_NAME),
    HINT = pg_catalog.format('Try again when the repair has ended: reprise status %s', TG_ARGV[0]);
END $body$`;

/** Those of these tables whose writes no trigger of ours blocks. */
export async function withoutTrigger(client: pg.ClientBase, oids: readonly number[]): Promise<Set<number>> {
  const { rows } = await client.query<{ oid: number }>(
    `SELECT g.tgrelid AS oid FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
       JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $1 AND g.tgname = $2 AND g.tgenabled = 'A' AND g.tgrelid = ANY($3::oid[])`,
    [SCHEMA, FREEZE_TRIGGER, oids],
  );
  const blocked = new Set(rows.map(({ oid }) => oid));
  return new Set(oids.filter((oid) => !blocked.has(oid)));
}

/** @throws RepriseError `privilege-missing` where others may make things in our schema */
export async function makeFunction(client: pg.ClientBase): Promise<void> {
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

/**
 * One trigger for each statement, which fails before it waits for anything, and one for each row: rows also come by way of a table above
 * this one, and by logical replication, and neither fires statement triggers here. A partitioned table has one for rows that the server gives to
 * each partition, also to those that come later; its name has the table's number, because a table above may be frozen too. Always on:
 * `session_replication_role` changes nothing.
 */
export async function addTriggers(
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

/** Takes the triggers off these tables, and the function where no table needs it any more. */
export async function dropTriggers(client: pg.ClientBase, oids: readonly number[]): Promise<void> {
  const { rows } = await client.query<{ name: string; trigger: string }>(
    `SELECT g.tgrelid::pg_catalog.regclass::text AS name, g.tgname::text AS trigger
       FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
       JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = $1 AND g.tgrelid = ANY($2::oid[]) AND NOT g.tgisinternal AND g.tgparentid = 0`,
    [SCHEMA, oids],
  );
  for (const { name, trigger } of rows)
    await client.query(`DROP TRIGGER IF EXISTS ${pg.escapeIdentifier(trigger)} ON ${name}`);
  await dropFunction(client);
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
