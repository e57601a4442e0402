import type pg from 'pg';

/** WAL that waits for the archiver. */
export interface ArchiveBacklog {
  /** Segments that are full and not archived. */
  readonly segments: number;
  /** Age of the oldest of them; null where none waits. */
  readonly oldestSeconds: number | null;
  /** Bytes of all WAL in `pg_wal`. */
  readonly walBytes: number;
}

const INSUFFICIENT_PRIVILEGE = '42501';

/** What waits in `pg_wal`; null where the role may not look (it needs `pg_monitor`). */
export async function archiveBacklog(client: pg.ClientBase): Promise<ArchiveBacklog | null> {
  try {
    const { rows } = await client.query<{ segments: number; oldest: number | null; bytes: string }>(`
      SELECT count(*)::int AS segments, extract(epoch FROM clock_timestamp() - min(modification))::float8 AS oldest,
             (SELECT coalesce(sum(size), 0)::text FROM pg_ls_waldir()) AS bytes
        FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'`);
    const row = rows[0];
    return row === undefined
      ? null
      : { segments: row.segments, oldestSeconds: row.oldest, walBytes: Number(row.bytes) };
  } catch (error) {
    if ((error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE) return null;
    throw error;
  }
}

/** Seconds after which a segment is closed although it is not full; 0: never. */
export async function archiveTimeoutSeconds(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ seconds: number }>(
    "SELECT setting::int AS seconds FROM pg_settings WHERE name = 'archive_timeout'",
  );
  return rows[0]?.seconds ?? 0;
}
