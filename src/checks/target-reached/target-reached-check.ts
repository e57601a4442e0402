import { formatTarget } from '../../domain/target/target.js';
import { compareLsn, segmentStart } from '../../domain/target/wal.js';
import { visible } from '../../domain/text/text.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import type { CheckContext, CheckOutcome, RestoredService } from '../check.js';
import { failed, namedOf, ofRestored, passed } from '../outcomes.js';

/** Where the restored server is, as it says itself. */
interface Position {
  readonly lsn: string | null;
  readonly systemIdentifier: string;
  /** UTC ISO-8601 with microseconds; null where no transaction was replayed. */
  readonly lastCommitAt: string | null;
  readonly segmentBytes: number;
}

/**
 * Whether the restored server is the cluster that was backed up, and where the restore was to end: beyond the end of its backup, at a
 * position not before the target's, with no transaction after its time. Of dumps: whether each database is there, in its encoding.
 */
export function runTargetReachedCheck(context: CheckContext): Promise<CheckOutcome> {
  return ofRestored(context, (restored) =>
    restored.method === 'databases' ? checkDatabases(context, restored) : checkPosition(context, restored),
  );
}

async function checkPosition(context: CheckContext, restored: RestoredService): Promise<CheckOutcome> {
  const at = await positionOf(context);
  const problems = [...ofBackups(restored, at), ...ofTarget(restored, at)];
  const seen = `replayed up to ${at.lsn ?? 'no position'}${at.lastCommitAt === null ? '' : `, last commit ${at.lastCommitAt}`}; the target was ${visible(formatTarget(restored.target))}`;
  return problems.length === 0
    ? passed(seen)
    : failed(
        `${seen}: ${namedOf(problems)}`,
        'look for missing WAL (reprise check), and whether the backup is the one that the records name (reprise backup verify)',
      );
}

async function positionOf({ connection }: CheckContext): Promise<Position> {
  return withMaintenance(connection, async (client) => {
    const { rows } = await client.query<Position>(
      `SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                    ELSE pg_catalog.pg_current_wal_lsn() END)::text AS lsn,
              (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS "systemIdentifier",
              pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "lastCommitAt",
              (SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS "segmentBytes"`,
    );
    return rows[0] ?? { lsn: null, systemIdentifier: '', lastCommitAt: null, segmentBytes: 0 };
  });
}

function ofBackups({ backups }: RestoredService, { lsn, systemIdentifier, segmentBytes }: Position): readonly string[] {
  return backups.flatMap(({ label, server, wal }) => [
    ...(server !== undefined && server.systemIdentifier !== systemIdentifier
      ? [`it is cluster ${systemIdentifier}, and ${label} is of ${server.systemIdentifier}`]
      : []),
    ...(wal !== undefined && lsn !== null && compareLsn(lsn, segmentStart(wal.stop, segmentBytes)) < 0
      ? [`that is before the end of ${label} (${wal.stop})`]
      : []),
  ]);
}

function ofTarget({ target, reached }: RestoredService, { lsn, lastCommitAt }: Position): readonly string[] {
  const problems: string[] = [];
  const isBefore = (expected: string): boolean => lsn === null || compareLsn(lsn, expected) < 0;
  if (reached?.lastLsn != null && isBefore(reached.lastLsn))
    problems.push(`the restore had reached ${reached.lastLsn}`);
  if (target.kind === 'lsn' && isBefore(target.lsn)) problems.push('that is before the target');
  if (target.kind === 'time' && lastCommitAt !== null && microseconds(lastCommitAt) > microseconds(target.time))
    problems.push('that is after the target');
  return problems;
}

/** Of a UTC ISO-8601 instant with up to six digits of a second. */
function microseconds(time: string): bigint {
  const [whole = '', fraction = ''] = time.replace(/Z$/, '').split('.');
  return BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}

async function checkDatabases({ connection }: CheckContext, { backups }: RestoredService): Promise<CheckOutcome> {
  const { rows } = await withMaintenance(connection, (client) =>
    client.query<{ name: string; encoding: string }>(
      `SELECT datname::text AS name, pg_catalog.pg_encoding_to_char(encoding)::text AS encoding
         FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2`,
    ),
  );
  const problems = backups.flatMap(({ label, database, server }) => {
    const found = rows.find(({ name }) => name === database);
    const named = visible(database ?? label);
    if (found === undefined) return [`database ${named} is not there, or takes no connections`];
    return server?.encoding === undefined || server.encoding === found.encoding
      ? []
      : [`database ${named} has the encoding ${found.encoding}, and was dumped from ${server.encoding}`];
  });
  return problems.length === 0
    ? passed(`${backups.length} databases are there, each in the encoding that it was dumped from`)
    : failed(namedOf(problems), 'restore by hand and read the messages of pg_restore, or take a new dump');
}
