import type pg from 'pg';
import { restoreRole } from '../../../postgres/connection/restore-login.js';

/**
 * Code of a dump runs as a login that owns the whole new database, and so could change what is another one's: replace a
 * table, add a trigger for as long as rows come in. A trigger of a superuser's refuses every definition that is not a
 * statement of pg_restore's own: those have no context but this function itself.
 *
 * @param client a superuser in the new database, before any code of the dump is there
 */
export async function addGuard(client: pg.Client, database: string): Promise<void> {
  const name = client.escapeIdentifier(restoreRole(database));
  await client.query(`
    CREATE SCHEMA ${name};
    CREATE FUNCTION ${name}.guard() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $guard$
    DECLARE context text;
    BEGIN
      GET DIAGNOSTICS context = PG_CONTEXT;
      IF strpos(context, E'\\n') > 0 THEN
        RAISE EXCEPTION 'code in the dump may not define anything while it is restored: %', tg_tag
          USING ERRCODE = 'insufficient_privilege';
      END IF;
    END $guard$;
    CREATE EVENT TRIGGER ${name} ON ddl_command_start EXECUTE FUNCTION ${name}.guard()`);
}

/**
 * Gives each function that the login makes the `search_path` it has been written for, where it sets none: `pg_restore` sets an empty
 * one, and a check or a generated column whose function finds nothing then takes the rows of its table along.
 *
 * By a superuser's update of the catalogue, as the login may define nothing besides; {@link dropGuard} takes it back.
 */
export async function addSearchPath(client: pg.Client, database: string, searchPath: string): Promise<void> {
  const name = client.escapeIdentifier(restoreRole(database));
  await client.query(`
    CREATE TABLE ${name}.functions (oid pg_catalog.oid PRIMARY KEY, config pg_catalog.text[]);
    CREATE FUNCTION ${name}.search_path() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $path$
    DECLARE made record;
    BEGIN
      FOR made IN SELECT p.oid, p.proconfig FROM pg_event_trigger_ddl_commands() c JOIN pg_proc p ON c.classid = 'pg_proc'::regclass AND p.oid = c.objid
                   WHERE p.prokind IN ('f', 'w') AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
      LOOP
        INSERT INTO ${name}.functions VALUES (made.oid, made.proconfig);
        UPDATE pg_proc SET proconfig = coalesce(made.proconfig, '{}') || ${client.escapeLiteral(`search_path=${searchPath}`)}::text WHERE oid = made.oid;
      END LOOP;
    END $path$;
    CREATE EVENT TRIGGER ${pathTrigger(client, database)} ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION ${name}.search_path()`);
}

/** The same without a guard, where the role of the connection restores what it likes. */
export async function addSearchPathOnly(client: pg.Client, database: string, searchPath: string): Promise<void> {
  await client.query(`CREATE SCHEMA ${client.escapeIdentifier(restoreRole(database))}`);
  await addSearchPath(client, database, searchPath);
}

/** Takes it all away, once no code of the dump runs any more. */
export async function dropGuard(client: pg.Client, database: string): Promise<void> {
  const name = client.escapeIdentifier(restoreRole(database));
  const { rows } = await client.query<{ there: boolean }>('SELECT pg_catalog.to_regclass($1) IS NOT NULL AS there', [
    `${name}.functions`,
  ]);
  await client.query('BEGIN');
  if (rows[0]?.there === true)
    await client.query(
      `UPDATE pg_catalog.pg_proc p SET proconfig = f.config FROM ${name}.functions f WHERE f.oid = p.oid`,
    );
  for (const trigger of [name, pathTrigger(client, database)])
    await client.query(`DROP EVENT TRIGGER IF EXISTS ${trigger}`);
  await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`);
  await client.query('COMMIT');
}

function pathTrigger(client: pg.Client, database: string): string {
  return client.escapeIdentifier(`${restoreRole(database)}_path`);
}
