import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../connection/with-client.js';

export interface Promoted {
  /** The timeline the server writes on now. */
  readonly timeline: number;
  /** False where an earlier attempt had done it. */
  readonly promotedNow: boolean;
}

/**
 * Ends the recovery: the server takes writes, on a new timeline. Already promoted is no error.
 * @param timeoutSeconds default 300.
 * @throws RepriseError `service-failed` where it did not happen in that time.
 */
export async function promote(connection: ConnectionConfig, timeoutSeconds = 300): Promise<Promoted> {
  return withClient(connection, connection.maintenanceDatabase, async (client) => {
    const { rows } = await client.query<{ recovery: boolean }>('SELECT pg_is_in_recovery() AS recovery');
    const promotedNow = rows[0]?.recovery === true;
    if (promotedNow) {
      const answer = await client.query<{ done: boolean }>('SELECT pg_promote(true, $1) AS done', [timeoutSeconds]);
      if (answer.rows[0]?.done !== true) {
        throw new RepriseError(
          'service-failed',
          `the server was not promoted within ${timeoutSeconds} s`,
          'See its log; trying again is harmless.',
        );
      }
    }
    // Not from pg_control: its checkpoint may still be the old timeline's.
    const wal = await client.query<{ file: string }>('SELECT pg_walfile_name(pg_current_wal_lsn()) AS file');
    return { timeline: Number.parseInt(wal.rows[0]?.file.slice(0, 8) ?? '', 16), promotedNow };
  });
}
