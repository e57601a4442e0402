import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { CanaryRow, WrittenCanary } from '../../domain/drill/canary.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { withClient } from '../connection/with-client.js';
import { copyTable } from './copy-rows.js';

/** So many rows stay in the table. */
const KEPT = 1000;
const STATEMENT_TIMEOUT_MS = 10_000;
const CREATE = [
  'CREATE SCHEMA IF NOT EXISTS reprise',
  'CREATE TABLE IF NOT EXISTS reprise.canary (n bigint PRIMARY KEY, written_at timestamptz NOT NULL, token text NOT NULL)',
];

/** The statements that give a role what it needs to write the canary, for a superuser to run in its database. */
export function canarySetUp(role: string): readonly string[] {
  const name = pg.escapeIdentifier(role);
  return [
    ...CREATE,
    `GRANT USAGE ON SCHEMA reprise TO ${name}`,
    `GRANT SELECT, INSERT, DELETE ON reprise.canary TO ${name}`,
  ];
}

/** What keeps the canary from being written, in words; null: nothing. Makes nothing. */
export async function canaryProblem(client: pg.ClientBase): Promise<string | null> {
  const { rows } = await client.query<{ there: boolean; creates: boolean; writes: boolean | null }>(
    `SELECT c.oid IS NOT NULL AS there,
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS creates,
            pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
              AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'DELETE') AS writes
       FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'reprise'
       LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'canary'`,
  );
  const [found] = rows;
  if (found?.there !== true) return found?.creates === true ? null : 'may not make the table reprise.canary';
  if (found.writes !== true) return 'may not write into the table reprise.canary';
  return (await isTrusted(client))
    ? null
    : 'does not write into reprise.canary: another role that is no superuser owns it, or it has triggers or rules';
}

/** Writes the next row; the table is made where it is missing. Null: the server takes no writes, as it replays WAL. */
export async function writeCanary(connection: ConnectionConfig, database: string): Promise<WrittenCanary | null> {
  const options = { statementTimeoutMs: STATEMENT_TIMEOUT_MS };
  try {
    return await withClient(connection, database, writeNext, options);
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'privilege-missing') throw error;
    throw new RepriseError(
      'privilege-missing',
      `the canary cannot be written: ${error.message}`,
      `as a superuser, in the database ${database}: ${canarySetUp(connection.user).join('; ')}`,
    );
  }
}

async function writeNext(client: pg.Client): Promise<WrittenCanary | null> {
  const { rows } = await client.query<{ recovery: boolean; there: boolean }>(
    `SELECT pg_catalog.pg_is_in_recovery() AS recovery, EXISTS (
       SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'reprise' AND c.relname = 'canary') AS there`,
  );
  if (rows[0]?.recovery === true) return null;
  if (rows[0]?.there !== true) await client.query(CREATE.join('; '));
  await client.query('BEGIN; LOCK TABLE ONLY reprise.canary IN ROW EXCLUSIVE MODE');
  // What others have put on the table would run with our rights.
  if (!(await isTrusted(client)))
    throw new RepriseError(
      'privilege-missing',
      'reprise.canary belongs to a role that is no superuser and is not that of the connection, or has triggers or rules',
    );
  const written = await client.query<CanaryRow>(
    `INSERT INTO reprise.canary (n, written_at, token)
     SELECT coalesce(max(n), 0) + 1, pg_catalog.clock_timestamp(), $1 FROM reprise.canary
     RETURNING n::float8 AS n, ${asText('written_at')} AS at, token`,
    [randomBytes(16).toString('hex')],
  );
  const [row] = written.rows;
  if (row === undefined) throw new RepriseError('internal', 'the canary was inserted, and no row came back');
  await client.query('DELETE FROM reprise.canary WHERE n <= $1', [row.n - KEPT]);
  await client.query('COMMIT');
  const after = await client.query<{ lsn: string; committedAt: string }>(
    `SELECT pg_catalog.pg_current_wal_insert_lsn()::text AS lsn, ${asText('pg_catalog.clock_timestamp()')} AS "committedAt"`,
  );
  const [committed] = after.rows;
  if (committed === undefined) throw new RepriseError('internal', 'the server did not say where its WAL is');
  return { ...row, ...committed };
}

function asText(instant: string): string {
  return `pg_catalog.to_char(${instant} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** A plain table of the connection's role or of a superuser, without triggers and rules. */
async function isTrusted(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ trusted: boolean }>(
    `SELECT c.relkind = 'r' AND NOT c.relhasrules AND (r.rolsuper OR r.rolname = current_user)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS trusted
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
      WHERE n.nspname = 'reprise' AND c.relname = 'canary'`,
  );
  return rows[0]?.trusted === true;
}

/** Rows of the canary in a restored database, by COPY: no code of others runs. Null: the table is not there. */
export async function readCanary(connection: ConnectionConfig, database: string): Promise<readonly CanaryRow[] | null> {
  return withClient(connection, database, async (client) => {
    const { rows } = await client.query(
      `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'reprise' AND c.relname = 'canary' AND c.relkind = 'r'`,
    );
    if (rows.length === 0) return null;
    await client.query(`SET "TimeZone" TO 'UTC'; SET "DateStyle" TO 'ISO, YMD'`);
    const chunks: Buffer[] = [];
    const name = Buffer.from('reprise.canary (n, written_at, token)').toString('hex');
    for await (const chunk of copyTable(client, name)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [n = '', at = '', token = ''] = line.split('\t');
        return { n: Number(n), at: isoOf(at), token };
      });
  });
}

/** `2026-11-29 13:00:00.5+00` as it was recorded: with six digits of a second. */
function isoOf(text: string): string {
  const [, day = '', time = '', fraction = ''] = /^(\S+) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text) ?? [];
  return `${day}T${time}.${fraction.padEnd(6, '0')}Z`;
}
