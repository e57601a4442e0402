import type pg from 'pg';
import type { ConnectionConfig } from '../../../domain/config.js';
import type { ServerFacts } from '../../../domain/backup/backup.js';
import { isRepriseError, RepriseError } from '../../../domain/errors.js';
import { requireRestoreLogin } from '../../../postgres/connection/restore-login.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { freeBytes } from '../../../postgres/server/disk.js';
import { serverFacts } from '../../../postgres/server/server-facts.js';
import type { ReadContext } from '../../engine.js';
import { cronDatabase, hasCron, withoutCronText } from '../archive/pg-cron.js';
import { manifestFiles } from '../repository/manifest.js';
import type { DumpManifest } from '../repository/manifest.js';
import { majorOf } from '../tools.js';
import { pathExists } from '../../../files/paths.js';

/** What was found of the server that is to take the databases. */
export interface TargetServer {
  readonly server: ServerFacts;
  readonly warnings: readonly string[];
}

/**
 * Whether the running server can take these dumps: version, extensions, locale, room. Changes nothing.
 *
 * @throws RepriseError `database-unreachable`, `privilege-missing`, `version-mismatch`, `extension-missing`, `locale-missing`, `lock-table-full`, `disk-full`
 */
export async function checkServer(context: ReadContext, manifests: readonly DumpManifest[]): Promise<TargetServer> {
  const { connection } = context.cluster;
  try {
    return await withMaintenance(connection, async (client) => {
      const server = await serverFacts(client);
      if (context.cluster.restoreAs !== 'superuser') await requireRestoreLogin(client, connection);
      const warnings: string[] = [];
      for (const manifest of manifests) warnings.push(...(await checkDump(context, client, server, manifest)));
      warnings.push(...(await checkMaintenance(connection, manifests)));
      warnings.push(...(await checkRoom(context.cluster.dataDir, manifests)));
      return { server, warnings: [...new Set(warnings)] };
    });
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'database-unreachable') throw error;
    const hint =
      'a dump is restored into a running server: start this one, or install a new one, then plan again; a physical policy recovers without it';
    throw new RepriseError(error.code, error.message, hint, error.details);
  }
}

/**
 * Nobody renames the database that he is connected to.
 * @throws RepriseError `conflict`, `database-unreachable` where there is no other one to do it from
 */
async function checkMaintenance(
  connection: ConnectionConfig,
  manifests: readonly DumpManifest[],
): Promise<readonly string[]> {
  const own = manifests.find(({ database }) => database === connection.maintenanceDatabase)?.database;
  if (own === undefined) return [];
  const other = await withMaintenance(
    connection,
    async (client) => {
      const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database()::text AS name');
      return rows[0]?.name ?? '';
    },
    { notIn: [own] },
  );
  return [
    `${JSON.stringify(own)} is the database that Reprise connects to: it is swapped from ${JSON.stringify(other)}, and the watch sees it closed for that moment`,
  ];
}

/** Its path on this host, or its key in a repository that has no paths. */
function placeOfDump(context: ReadContext, manifest: DumpManifest): string {
  const { dump } = manifestFiles(context, manifest);
  return context.storage.capabilities.localPath ? context.storage.localPath(dump) : dump;
}

async function checkDump(
  context: ReadContext,
  client: pg.Client,
  server: ServerFacts,
  manifest: DumpManifest,
): Promise<readonly string[]> {
  const [here, there] = [majorOf(server.versionNum), majorOf(manifest.server.versionNum)];
  if (here < there) {
    throw new RepriseError(
      'version-mismatch',
      `the server is PostgreSQL ${here} and ${manifest.label} a dump of PostgreSQL ${there}`,
      `restore into PostgreSQL ${there} or newer`,
    );
  }
  await checkExtensions(client, manifest);
  await requireLocks(client, manifest);
  const warnings = await checkLocale(client, manifest);
  if (hasCron(manifest.extensions))
    warnings.push(withoutCronText(manifest, placeOfDump(context, manifest), await cronDatabase(client)));
  const missing = await missingNames(
    client,
    manifest.tablespaces,
    'SELECT spcname::text AS name FROM pg_catalog.pg_tablespace',
  );
  if (missing.length > 0)
    warnings.push(
      `tablespaces ${missing.join(', ')} are not on this server: unless they can be made at their recorded place, what was in them goes to the default tablespace`,
    );
  if (server.systemIdentifier !== manifest.server.systemIdentifier) {
    warnings.push(
      `the server (system identifier ${server.systemIdentifier}) is not the one that was dumped (${manifest.server.systemIdentifier}): correct for a new instance, wrong for another cluster`,
    );
  }
  if (here > there) warnings.push(`the server is PostgreSQL ${here}, newer than the dump's ${there}`);
  if (manifest.properties.encoding === 'SQL_ASCII')
    warnings.push(`${manifest.label} is of encoding SQL_ASCII: it is restored as such, its text unchecked`);
  return warnings;
}

/**
 * A dump, and the comparison of its schema, lock all tables at once.
 * @throws RepriseError `lock-table-full`
 */
async function requireLocks(client: pg.Client, { label, contents }: DumpManifest): Promise<void> {
  const { rows } = await client.query<{ perSession: number; sessions: number }>(
    `SELECT current_setting('max_locks_per_transaction')::int AS "perSession",
            current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int AS sessions`,
  );
  const { perSession = 0, sessions = 1 } = rows[0] ?? {};
  if (contents.length <= perSession * sessions) return;
  throw new RepriseError(
    'lock-table-full',
    `${label} has ${contents.length} tables, and the server has room for ${perSession * sessions} locks (max_locks_per_transaction ${perSession})`,
    `set max_locks_per_transaction = ${Math.ceil((contents.length * 2) / sessions)} and restart the server, then plan again`,
  );
}

async function checkExtensions(client: pg.Client, manifest: DumpManifest): Promise<void> {
  const missing = await missingNames(
    client,
    manifest.extensions,
    'SELECT name::text AS name FROM pg_catalog.pg_available_extensions',
  );
  if (missing.length === 0) return;
  throw new RepriseError(
    'extension-missing',
    `${manifest.label} needs extensions that the server does not have: ${missing.join(', ')}`,
    'install their packages on the server, then plan again',
  );
}

/** Asks the server itself, by a collation made and rolled back: its list of collations is not the system's of locales. */
async function checkLocale(client: pg.Client, manifest: DumpManifest): Promise<string[]> {
  const { collate, ctype } = manifest.properties;
  try {
    await client.query('BEGIN');
    const literal = (text: string): string => client.escapeLiteral(text);
    await client.query(
      `CREATE COLLATION pg_temp.reprise_probe (LC_COLLATE = ${literal(collate)}, LC_CTYPE = ${literal(ctype)})`,
    );
    return [];
  } catch (error) {
    if (!(error instanceof Error) || !('severity' in error)) throw error;
    if (/could not create locale/.test(error.message)) {
      throw new RepriseError(
        'locale-missing',
        `the server's host does not know the locale ${collate} / ${ctype} of ${manifest.label}`,
        'generate it there (dpkg-reconfigure locales), restart the server, then plan again',
      );
    }
    return [`whether the server knows the locale ${collate} / ${ctype} could not be found out: ${error.message}`];
  } finally {
    await client.query('ROLLBACK');
  }
}

/** The old databases stay until they are dropped, so that all of the new ones must fit beside them. */
async function checkRoom(dataDir: string | undefined, manifests: readonly DumpManifest[]): Promise<readonly string[]> {
  const needed = manifests.reduce((sum, manifest) => sum + manifest.databaseSizeBytes, 0);
  const isLocal = dataDir !== undefined && (await pathExists(dataDir));
  if (!isLocal)
    return [`the server needs about ${needed} bytes free; its disk is not on this host and was not looked at`];
  const free = await freeBytes(dataDir);
  if (free >= needed) return [];
  throw new RepriseError(
    'disk-full',
    `the databases need about ${needed} bytes beside the old ones, and the data directory's file system has ${free} free`,
    'free space there, or drop old data of an earlier recovery (reprise kept list)',
  );
}

async function missingNames(client: pg.Client, wanted: readonly string[], sql: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(sql);
  const there = new Set(rows.map(({ name }) => name));
  return wanted.filter((name) => !there.has(name));
}
