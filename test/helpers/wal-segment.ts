import { runQuery } from './postgres.js';
import type { ServerAddress } from './postgres.js';
import { until } from './until.js';

/**
 * Closes the segment being written, and returns its name. A record is written before: where nothing was since a segment was closed,
 * `pg_switch_wal` closes none, and whoever waits for something new in the archive waits in vain.
 */
export async function closeSegment(server: ServerAddress): Promise<string> {
  const { rows } = await runQuery(
    server,
    'postgres',
    "SELECT pg_walfile_name(pg_create_restore_point('to close a segment') - 1) AS segment",
  );
  await runQuery(server, 'postgres', 'SELECT pg_switch_wal()');
  return (rows[0] as { segment: string }).segment;
}

/** The same, and waits until the server has archived it, and all before it. */
export async function archiveSegment(server: ServerAddress): Promise<string> {
  const segment = await closeSegment(server);
  // Also a history file is archived, and a `.backup` file that bears the name of a segment.
  const isArchived = `SELECT FROM pg_stat_archiver WHERE last_archived_wal ~ '^[0-9A-F]{24}' AND left(last_archived_wal, 24) >= '${segment}'`;
  await until(
    async () => (await runQuery(server, 'postgres', isArchived)).rowCount === 1,
    `segment ${segment} is archived`,
  );
  return segment;
}
