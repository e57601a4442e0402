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

/** Takes it away, once no code of the dump runs any more. */
export async function dropGuard(client: pg.Client, database: string): Promise<void> {
  const name = client.escapeIdentifier(restoreRole(database));
  await client.query(`DROP EVENT TRIGGER IF EXISTS ${name}`);
  await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`);
}
