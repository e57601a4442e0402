import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isSegmentName } from '../../domain/target/wal.js';
import { withMaintenance } from '../connection/with-client.js';

export interface ArchivingState {
  readonly mode: 'off' | 'on' | 'always';
  readonly command: string;
  readonly lastArchived: string | null;
  /** UTC ISO-8601. */
  readonly lastArchivedAt: string | null;
  readonly lastFailed: string | null;
  /** UTC ISO-8601. */
  readonly lastFailedAt: string | null;
  readonly failedCount: number;
}

export interface RearmOptions {
  /** Default 120. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

const POLL_MS = 200;
/** A server that has not reloaded by then is checked by what it archives all the same. */
const RELOAD_MS = 10_000;
const RESTORE_POINT = 'reprise_rearm';

/** What archives the WAL of a server: a command or, since PostgreSQL 15, a library. */
export interface ArchiveSettings {
  readonly command: string;
  readonly library: string;
}

/** Null where the server archives nothing (`archive_mode = off`): then it does not say what it would do it with. */
export async function readArchiveSettings(client: pg.ClientBase): Promise<ArchiveSettings | null> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name IN ('archive_mode', 'archive_command', 'archive_library')",
  );
  const found = new Map(rows.map(({ name, setting }) => [name, setting]));
  if (found.get('archive_mode') === 'off') return null;
  return { command: found.get('archive_command') ?? '', library: found.get('archive_library') ?? '' };
}

/**
 * Gives a recovered server the archiving back that it had before; where that is not known, what its configuration says.
 * @param own the command that is set where there is none at all; null where none is needed
 */
export async function restoreArchiving(
  connection: ConnectionConfig,
  before: ArchiveSettings | null,
  own: string | null,
): Promise<void> {
  await withMaintenance(connection, async (client) => {
    await reloadConfiguration(client);
    const now = await readArchiveSettings(client);
    if (now === null) return;
    const known = before ?? now;
    const isNone = known.command === '' && known.library === '';
    const wanted = isNone && own !== null ? { command: own, library: '' } : known;
    for (const kind of ['command', 'library'] as const) {
      if (wanted[kind] === now[kind]) continue;
      // ALTER SYSTEM takes no parameters.
      await client.query(`ALTER SYSTEM SET archive_${kind} = ${pg.escapeLiteral(wanted[kind])}`);
    }
    await reloadConfiguration(client);
  });
}

/**
 * Verifies that a recovered server archives: closes a segment and waits until it is archived.
 * @param archiveCommand set before; null: it stays as it is.
 * @returns the segment that was seen archived.
 * @throws RepriseError `wal-not-archived`, naming the segment that failed.
 */
export async function rearmArchiving(
  connection: ConnectionConfig,
  archiveCommand: string | null,
  options: RearmOptions = {},
): Promise<string> {
  return withMaintenance(connection, async (client) => {
    const { mode } = await archivingState(client);
    if (mode === 'off') {
      throw new RepriseError(
        'wal-not-archived',
        'the server runs with archive_mode=off',
        'Set archive_mode=on and restart it, then try again.',
      );
    }
    if (archiveCommand !== null) {
      await client.query(`ALTER SYSTEM SET archive_command = ${pg.escapeLiteral(archiveCommand)}`);
      await reloadConfiguration(client);
    }
    return archiveOneSegment(client, options);
  });
}

/**
 * Asks for a reload and waits until this session has seen it: the postmaster signals the archiver in the same turn, so
 * that the segment closed next is archived by the new command and not by the one before.
 */
async function reloadConfiguration(client: pg.ClientBase): Promise<void> {
  const loadedAt = async (): Promise<string | undefined> =>
    (await client.query<{ at: string }>('SELECT pg_conf_load_time()::text AS at')).rows[0]?.at;
  const before = await loadedAt();
  await client.query('SELECT pg_reload_conf()');
  const deadline = Date.now() + RELOAD_MS;
  while ((await loadedAt()) === before && Date.now() < deadline) await sleep(POLL_MS / 10);
}

/** Closes the current segment and waits until it is archived; returns its name. */
export async function archiveOneSegment(client: pg.ClientBase, options: RearmOptions = {}): Promise<string> {
  const segment = await closeSegment(client);
  const deadline = Date.now() + (options.timeoutSeconds ?? 120) * 1000;
  for (;;) {
    options.signal?.throwIfAborted();
    const state = await archivingState(client);
    // Segments are archived in order, and a segment before the `.backup` file that bears its name.
    if (isSegmentName(segmentOf(state)) && segmentOf(state) >= segment) return segment;
    if (Date.now() >= deadline) {
      const failing =
        state.lastFailed === null
          ? 'no attempt was reported'
          : `last failure: ${state.lastFailed} at ${state.lastFailedAt ?? '?'}`;
      throw new RepriseError(
        'wal-not-archived',
        `segment ${segment} was not archived (${failing})`,
        'See the server log for what archive_command said; trying again is harmless.',
      );
    }
    await sleep(POLL_MS);
  }
}

/** Closes the current segment and returns its name. */
export async function closeSegment(client: pg.ClientBase): Promise<string> {
  // A segment with nothing new in it is not closed. It is named after this record: another session may close it before us.
  const { rows } = await client.query<{ segment: string }>(
    'SELECT pg_walfile_name(pg_create_restore_point($1) - 1) AS segment',
    [RESTORE_POINT],
  );
  await client.query('SELECT pg_switch_wal()');
  return rows[0]?.segment ?? '';
}

function segmentOf({ lastArchived }: ArchivingState): string {
  return (lastArchived ?? '').slice(0, 24);
}

/** What the server says of its archiver. */
export async function archivingState(client: pg.ClientBase): Promise<ArchivingState> {
  const { rows } = await client.query<ArchivingState>(`
    SELECT current_setting('archive_mode') AS mode, current_setting('archive_command') AS command,
           last_archived_wal AS "lastArchived",
           to_char(last_archived_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "lastArchivedAt", last_failed_wal AS "lastFailed",
           to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "lastFailedAt",
           failed_count::int AS "failedCount"
      FROM pg_stat_archiver`);
  return rows[0] as ArchivingState;
}

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

/** What waits in `pg_wal`; null where the role may not read it (it needs `pg_monitor`). */
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

/** A word of `archive_command` or `restore_command`: for the shell, and with `%` doubled, since PostgreSQL replaces `%f` and `%p` anywhere. */
export function quotedForCommand(text: string): string {
  const escaped = text.replaceAll('%', '%%');
  return /^[\w./-]+$/.test(escaped) ? escaped : `'${escaped.replaceAll("'", String.raw`'\''`)}'`;
}
