import type pg from 'pg';
import type { ServerFacts } from '../../domain/backup/backup.js';

/** Who a running server is and how it archives. */
export interface LiveServerFacts extends ServerFacts {
  readonly encoding: string;
  readonly dataChecksums: boolean;
  readonly walSegmentBytes: number;
  readonly archiveMode: 'off' | 'on' | 'always';
  readonly archiveCommand: string;
  readonly inRecovery: boolean;
  /** What it writes on; of a standby that of its last restart point. pg_control may still name the one before a promotion. */
  readonly timeline: number;
  readonly dataDirectory: string | null;
  /** Of its own, also where we reach it by another one. */
  readonly port: number;
}

/** Facts of the server a client is connected to; `encoding` is that of the connected database. */
export async function serverFacts(client: pg.ClientBase): Promise<LiveServerFacts> {
  const { rows } = await client.query<FactsRow>(`
    SELECT current_setting('server_version_num')::int AS version, system_identifier::text AS identifier,
           (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()) AS encoding,
           current_setting('data_checksums') = 'on' AS checksums,
           (SELECT setting::bigint::text FROM pg_settings WHERE name = 'wal_segment_size') AS segment,
           current_setting('archive_mode') AS mode, current_setting('archive_command') AS command,
           pg_is_in_recovery() AS recovery,
           CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
                ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline,
           CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END AS directory,
           current_setting('port')::int AS port
      FROM pg_control_system()`);
  const row = rows[0] as FactsRow;
  return {
    versionNum: row.version,
    systemIdentifier: row.identifier,
    encoding: row.encoding,
    dataChecksums: row.checksums,
    walSegmentBytes: Number(row.segment),
    archiveMode: row.mode,
    // Without archiving the server shows "(disabled)" in place of the command.
    archiveCommand: row.command === '(disabled)' ? '' : row.command,
    inRecovery: row.recovery,
    timeline: row.timeline,
    dataDirectory: row.directory,
    port: row.port,
  };
}

interface FactsRow {
  readonly version: number;
  readonly identifier: string;
  readonly encoding: string;
  readonly checksums: boolean;
  readonly segment: string;
  readonly mode: 'off' | 'on' | 'always';
  readonly command: string;
  readonly recovery: boolean;
  readonly timeline: number;
  readonly directory: string | null;
  readonly port: number;
}
