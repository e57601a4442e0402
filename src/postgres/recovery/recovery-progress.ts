import type { ConnectionConfig } from '../../domain/config.js';
import { withMaintenance } from '../connection/with-client.js';

/** Where a server in recovery is. */
export interface ReplayProgress {
  readonly inRecovery: boolean;
  /** Stopped at its target, or by a person. */
  readonly paused: boolean;
  readonly receiveLsn: string | null;
  readonly replayLsn: string | null;
  /** UTC ISO-8601 with microseconds; of the last commit replayed since the server started. */
  readonly lastReplayedCommitAt: string | null;
  /** The startup process waits for WAL that is nowhere yet. */
  readonly waitingForWal: boolean;
}

const PROGRESS = `
  SELECT r.recovery, pg_last_wal_receive_lsn()::text AS receive, pg_last_wal_replay_lsn()::text AS replay,
         to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS commit_at,
         CASE WHEN r.recovery THEN pg_is_wal_replay_paused() ELSE false END AS paused,
         EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
                  AND wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream', 'RecoveryWalAll')) AS waiting
    FROM (SELECT pg_is_in_recovery() AS recovery) r`;

/** The state of a server that may be in recovery. */
export async function recoveryProgress(connection: ConnectionConfig): Promise<ReplayProgress> {
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query<ProgressRow>(PROGRESS);
    const row = rows[0] as ProgressRow;
    return {
      inRecovery: row.recovery,
      paused: row.paused,
      receiveLsn: row.receive,
      replayLsn: row.replay,
      lastReplayedCommitAt: row.commit_at,
      waitingForWal: row.waiting,
    };
  });
}

interface ProgressRow {
  readonly recovery: boolean;
  readonly paused: boolean;
  readonly receive: string | null;
  readonly replay: string | null;
  readonly commit_at: string | null;
  readonly waiting: boolean;
}
