import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { didYouMean } from '../config/suggest.js';
import type { ClusterConfig } from '../domain/config.js';
import { isRepriseError } from '../domain/errors.js';
import { ok, problem, warning, type Finding } from '../domain/findings.js';
import { durationInWords } from '../domain/text/text.js';
import {
  archiveBacklog,
  archiveTimeoutSeconds,
  archivingState,
  type ArchiveBacklog,
  type ArchivingState,
} from '../postgres/wal/archiving.js';
import { isLocalServer } from '../postgres/connection/tls.js';
import { probe } from '../postgres/connection/probe.js';
import { withMaintenance } from '../postgres/connection/with-client.js';
import { physicalSlots, slotLimitBytes } from '../postgres/server/replication-slots.js';
import type { SlotState } from '../postgres/server/replication-slots.js';
import {
  decisionStatements,
  dropStatement,
  invalidDatabases,
  invalidDatabaseText,
  preparedTransactions,
  type PreparedTransaction,
  walkDatabases,
} from '../postgres/server/databases.js';
import { engineKinds } from '../engines/registry.js';
import { knownVulnerability } from './known-vulnerabilities.js';
import { missingRights, roleStatements } from './rights.js';

/** More than this between two clocks makes times in plans and reports wrong. */
const CLOCK_SECONDS = 5;

/** A running server as one connection finds it. */
export interface Server {
  readonly versionNum: number;
  /** Of its own, also where this host reaches it by another one. */
  readonly port: number;
  /** Whether this connection is encrypted. */
  readonly encrypted: boolean;
  /** How far its clock is ahead of this host's. */
  readonly clockSeconds: number;
  readonly archiving: ArchivingState;
  readonly backlog: ArchiveBacklog | null;
  readonly archiveTimeoutSeconds: number;
  readonly slots: readonly SlotState[];
  /** Bytes of WAL that a slot may hold back; null where nothing bounds it. */
  readonly slotLimitBytes: number | null;
  readonly invalidDatabases: readonly string[];
  /** Databases that applications may use; absent: nobody looked. */
  readonly databases?: Databases;
  readonly prepared: readonly PreparedTransaction[];
  /** Statements that give what a recovery of the server needs; absent: nobody looked. */
  readonly missingRights?: readonly string[];
  readonly isSuperuser?: boolean;
}

/** The server, or the finding that no connection was possible. */
export async function inspectServer(cluster: ClusterConfig): Promise<Server | Finding> {
  const { connection, name } = cluster;
  try {
    return await withMaintenance(connection, async (client) => {
      const { rows } = await client.query<{
        version: number;
        port: number;
        now: number;
        encrypted: boolean | null;
        superuser: boolean;
      }>(
        `SELECT current_setting('server_version_num')::int AS version, current_setting('port')::int AS port,
                extract(epoch FROM clock_timestamp())::float8 AS now,
                (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
                (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser`,
      );
      const row = rows[0] ?? { version: 0, port: 0, now: 0, encrypted: null, superuser: false };
      const clockSeconds = row.now - Date.now() / 1000;
      return {
        versionNum: row.version,
        port: row.port,
        encrypted: row.encrypted === true,
        clockSeconds,
        archiving: await archivingState(client),
        backlog: await archiveBacklog(client),
        archiveTimeoutSeconds: await archiveTimeoutSeconds(client),
        slots: await physicalSlots(client),
        slotLimitBytes: await slotLimitBytes(client),
        invalidDatabases: await invalidDatabases(client),
        databases: await databasesOf(client),
        prepared: await preparedTransactions(client),
        missingRights: await missingRights(client),
        isSuperuser: row.superuser,
      };
    });
  } catch (error) {
    const message = isRepriseError(error) ? error.message : String(error);
    const usual = `start the server, or correct the connection of ${name}, pg_hba.conf or the password file`;
    if (isRepriseError(error) && error.code === 'pooler-refused')
      return problem(`cluster/${name}/connection`, `cluster ${name}: ${message}`, error.hint ?? usual);
    return problem(`cluster/${name}/connection`, `cluster ${name}: ${message}`, (await loginFix(cluster)) ?? usual);
  }
}

/** A server that refuses the login does not say whether the role is there; null where it is not the login that fails. */
async function loginFix(cluster: ClusterConfig): Promise<string | null> {
  const seen = await probe(cluster.connection);
  if (seen.ok || seen.layer !== 'login' || seen.fix === undefined) return null;
  const statements = roleStatements(cluster, await versionOnDisk(cluster));
  return `${seen.fix.replace('; `reprise doctor` tries it', '')}; if there is no such role, as a superuser in the database ${cluster.connection.maintenanceDatabase}: ${statements}`;
}

/** A connection that others on the network may read, or that may be with somebody else. */
function tlsFindings({ name, connection }: ClusterConfig, encrypted: boolean): readonly Finding[] {
  if (isLocalServer(connection)) return [];
  const check = `cluster/${name}/tls`;
  const fix = `set clusters.${name}.connection.sslmode: verify-full, with sslrootcert: the authority of the server's certificate`;
  if (!encrypted)
    return [
      warning(check, `what goes to the server of ${name} at ${connection.host} can be read on the way: no TLS`, fix),
    ];
  if (connection.tls?.mode.startsWith('verify-') === true)
    return [ok(check, `the connection to the server of ${name} is encrypted, and its certificate checked`)];
  return [
    warning(
      check,
      `the connection to the server of ${name} at ${connection.host} is encrypted, but its certificate is not checked`,
      fix,
    ),
  ];
}

interface Databases {
  readonly all: readonly string[];
  /** Without the one that was connected to, where that holds nothing of anybody. */
  readonly used: readonly string[];
}

async function databasesOf(client: pg.ClientBase): Promise<Databases> {
  // 16384 is PostgreSQL's FirstNormalObjectId.
  const { rows } = await client.query<{ name: string; empty: boolean }>(
    `SELECT current_database()::text AS name,
            NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm', 'v', 'S')) AS empty`,
  );
  const { usable } = await walkDatabases(client);
  return {
    all: usable,
    used: usable.filter((database) => !rows.some(({ name, empty }) => empty && name === database)),
  };
}

/** Its connection, its patch level and its clock. */
export function serverFindings(
  cluster: ClusterConfig,
  { versionNum, encrypted, clockSeconds }: Server,
): readonly Finding[] {
  const {
    name,
    connection: { host, port },
  } = cluster;
  const check = `cluster/${name}`;
  const [major, minor] = [Math.floor(versionNum / 10_000), versionNum % 10_000];
  const findings = [
    ok(`${check}/connection`, `cluster ${name}: PostgreSQL ${major}.${minor} accepts connections at ${host}:${port}`),
    ...tlsFindings(cluster, encrypted),
  ];
  const known = knownVulnerability('postgres', major, minor);
  if (known !== null) {
    findings.push(
      warning(
        `${check}/version`,
        `the server of ${name} is PostgreSQL ${major}.${minor}: ${known.harm} (${known.cve})`,
        `apt-get update && apt-get install --only-upgrade postgresql-${major}   # ${major}.${known.floor} or newer, then restart the server`,
      ),
    );
  }
  if (Math.abs(clockSeconds) > CLOCK_SECONDS) {
    findings.push(
      warning(
        `${check}/clock`,
        `the clock of the server of ${name} differs by ${clockSeconds.toFixed(0)} s from the clock of this host`,
        'let both use the same time servers: apt-get install chrony',
      ),
    );
  } else {
    findings.push(ok(`${check}/clock`, `the clock of the server of ${name} agrees with the clock of this host`));
  }
  return findings;
}

/** A prepared transaction is decided by its coordinator within moments; one that is older was forgotten. */
const PREPARED_SECONDS = 600;

/** What hinders backups and recoveries of some of its databases. */
export function databaseFindings(cluster: ClusterConfig, server: Server): readonly Finding[] {
  const { name } = cluster;
  const { invalidDatabases: invalid, prepared } = server;
  const forgotten = prepared.filter(({ ageSeconds }) => ageSeconds > PREPARED_SECONDS);
  return [
    ...missingDatabases(cluster, server),
    ...uncoveredDatabases(cluster, server),
    ...invalid.map((database) =>
      warning(
        `cluster/${name}/databases`,
        `cluster ${name}: ${invalidDatabaseText(database)}; backups, recoveries and their checks skip it`,
        `drop it: ${dropStatement(database)}`,
      ),
    ),
    ...forgotten.map(({ gid, database, owner, ageSeconds }) =>
      warning(
        `cluster/${name}/prepared`,
        `cluster ${name}: transaction ${JSON.stringify(gid)} of ${owner} in database ${JSON.stringify(database)} has been prepared for ${durationInWords(ageSeconds)}: it keeps its locks, a dump holds nothing of it, and the database cannot be swapped by a recovery`,
        `in that database: ${decisionStatements({ gid })}`,
      ),
    ),
  ];
}

/** Databases that the configuration names and the server does not have: each backup of them fails. */
function missingDatabases(
  { name, databases }: ClusterConfig,
  { databases: known, invalidDatabases: invalid }: Server,
): readonly Finding[] {
  if (known === undefined) return [];
  return databases
    .filter((database) => !known.all.includes(database) && !invalid.includes(database))
    .map((database) =>
      warning(
        `cluster/${name}/databases`,
        `cluster ${name} has no database ${JSON.stringify(database)}, which databases: names: every backup of it fails`,
        `correct databases: of ${name} (${didYouMean(database, known.used, 'databases')}), or create it`,
      ),
    );
}

/** Databases of which no policy takes anything. */
function uncoveredDatabases(
  { name, databases, policies }: ClusterConfig,
  { databases: known }: Server,
): readonly Finding[] {
  const enabled = Object.values(policies).filter((policy) => policy.enabled);
  // A copy of the data directory holds them all.
  if (enabled.some(({ engine }) => engineKinds[engine]?.capabilities.method === 'data-directory')) return [];
  const named = enabled.length > 0 ? databases : [];
  const uncovered = (known?.used ?? []).filter((database) => !named.includes(database));
  if (uncovered.length === 0) return [];
  const list = uncovered.map((database) => JSON.stringify(database)).join(', ');
  return [
    warning(
      `cluster/${name}/uncovered`,
      `no policy backs up ${uncovered.length === 1 ? 'the database' : 'the databases'} ${list} of cluster ${name}`,
      `add ${uncovered.length === 1 ? 'it' : 'them'} to databases: of ${name}, or back up the whole cluster with pgbackrest, walg or basebackup`,
    ),
  ];
}

/** Version from the data directory, where no connection is possible. */
export async function versionOnDisk({ dataDir }: ClusterConfig): Promise<number | null> {
  if (dataDir === undefined) return null;
  const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8').catch(() => ''), 10);
  return Number.isInteger(major) ? major * 10_000 : null;
}
