import type { ConnectionConfig } from '../../domain/config.js';
import { tlsEnv } from './tls.js';
import { sessionOptions } from './session-options.js';

/** What PostgreSQL shows as `application_name`, so that a DBA sees who is connected. */
export const APPLICATION_NAME = 'reprise';
const CONNECT_TIMEOUT_SECONDS = 10;

/**
 * Environment for PostgreSQL's programs. The database goes by `PGDATABASE`, which libpq never expands, while a `-d` that
 * holds `=` is read as a connection string and may lead to another server. The password stays in its file.
 * @param versionNum of the server, so that time-outs that only newer ones have are off too
 */
export function libpqEnv(connection: ConnectionConfig, database: string, versionNum?: number): Record<string, string> {
  return {
    PGHOST: connection.host,
    PGPORT: String(connection.port),
    PGUSER: connection.user,
    PGDATABASE: database,
    ...(connection.passfile === undefined ? {} : { PGPASSFILE: connection.passfile }),
    ...tlsEnv(connection),
    PGCONNECT_TIMEOUT: String(CONNECT_TIMEOUT_SECONDS),
    PGAPPNAME: APPLICATION_NAME,
    PGOPTIONS: sessionOptions({ versionNum }),
  };
}
