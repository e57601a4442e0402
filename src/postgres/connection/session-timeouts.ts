import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { TIMEOUTS } from './session-options.js';
import { withClient } from './with-client.js';

/** A time-out that the server gives to every session of the role, such as one of a tool that brings no settings. */
export interface SessionTimeout {
  readonly name: string;
  /** As PostgreSQL shows it, `30s`. */
  readonly value: string;
}

/** Those of a session of the connection's role in the maintenance database; none that is off. */
export async function sessionTimeouts(connection: ConnectionConfig): Promise<readonly SessionTimeout[]> {
  const { maintenanceDatabase } = connection;
  try {
    return await withClient(
      connection,
      maintenanceDatabase,
      async (client) => {
        const { rows } = await client.query<SessionTimeout>(
          `SELECT name, pg_catalog.current_setting(name) AS value FROM pg_catalog.pg_settings
            WHERE name = ANY ($1) AND setting <> '0' ORDER BY name`,
          [TIMEOUTS],
        );
        return rows;
      },
      { asServerSets: true },
    );
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'query-timeout') throw error;
    // So short that no session can ask for it.
    const set = await withClient(connection, maintenanceDatabase, recordedTimeouts);
    const isNamed = set.some(({ name }) => name === 'statement_timeout');
    return isNamed ? set : [...set, { name: 'statement_timeout', value: 'very short' }];
  }
}

/** As they are set for the role, the database or both: the nearest one counts. */
async function recordedTimeouts(client: pg.Client): Promise<readonly SessionTimeout[]> {
  const { rows } = await client.query<SessionTimeout>(
    `SELECT name, value FROM (
       SELECT DISTINCT ON (1) pg_catalog.split_part(c, '=', 1) AS name, pg_catalog.split_part(c, '=', 2) AS value
         FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS c
        WHERE setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))
          AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
        ORDER BY 1, setrole <> 0 DESC, setdatabase <> 0 DESC) AS nearest
      WHERE name = ANY ($1) AND value <> '0'`,
    [TIMEOUTS],
  );
  return rows;
}

/** Statements that switch time-outs off for this role, in the database that tools connect to. */
export function timeoutsOff(
  { user, maintenanceDatabase }: ConnectionConfig,
  timeouts: readonly SessionTimeout[],
): string {
  const role = `ALTER ROLE ${pg.escapeIdentifier(user)} IN DATABASE ${pg.escapeIdentifier(maintenanceDatabase)}`;
  return timeouts.map(({ name }) => `${role} SET ${name} = 0`).join('; ');
}

/** What a person should know of a tool whose sessions have the time-outs of the server; null where none is on. */
export function timeoutsInWords(timeouts: readonly SessionTimeout[]): string | null {
  return timeouts.length === 0
    ? null
    : `its sessions have the time-outs that role, database or server set (${timeouts.map(({ name, value }) => `${name} ${value}`).join(', ')}), and a long backup fails by them`;
}
