import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { withClient } from './with-client.js';

/** A server that answers: who it is, and since when it runs. */
export interface AnsweringServer {
  readonly systemIdentifier: string;
  readonly inRecovery: boolean;
  /** UTC ISO-8601. */
  readonly startedAt: string;
}

/** As long as one check of the watch takes at most. */
const OPTIONS = { connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 };

/** The server at an address; null where none answers there. */
export async function answeringServer(connection: ConnectionConfig): Promise<AnsweringServer | null> {
  try {
    return await withClient(
      connection,
      connection.maintenanceDatabase,
      async (client) => {
        const { rows } = await client.query<{ id: string; recovery: boolean; started: Date }>(
          `SELECT system_identifier::text AS id, pg_is_in_recovery() AS recovery, pg_postmaster_start_time() AS started
             FROM pg_control_system()`,
        );
        const [row] = rows;
        return row
          ? { systemIdentifier: row.id, inRecovery: row.recovery, startedAt: row.started.toISOString() }
          : null;
      },
      OPTIONS,
    );
  } catch (error) {
    if (isRepriseError(error) && (error.code === 'database-unreachable' || error.code === 'query-timeout')) return null;
    throw error;
  }
}
