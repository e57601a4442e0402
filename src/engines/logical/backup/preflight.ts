import type pg from 'pg';
import { isRepriseError, isRetryable, RepriseError } from '../../../domain/errors.js';
import { withClient, withMaintenance } from '../../../postgres/connection/with-client.js';
import { tryEncryption } from '../../../process/age/age-keys.js';
import type { EngineContext, ReadContext } from '../../engine.js';
import { readDatabaseFacts } from './database-facts.js';
import { globalsPlace } from './globals-place.js';
import { leftovers, newestDumpSize } from '../repository/list.js';
import { operationMark } from '../../shared/policy-folder.js';
import { majorOf, toolMajor } from '../tools.js';
import { invalidDatabases, invalidDatabaseText } from '../../../postgres/server/databases.js';

/**
 * Refuses what cannot lead to a whole dump: a pg_dump older than the server, rights that are missing, no
 * room. Returns what is worth saying and hinders nothing.
 *
 * @throws RepriseError `database-unreachable`, `version-mismatch`, `privilege-missing`, `disk-full`, `key-missing`
 */
export async function preflightBackup(context: EngineContext): Promise<readonly string[]> {
  const notes: string[] = [...(await encryptionNotes(context))];
  const major = await toolMajor(context, 'pg_dump');
  const databases = await dumpableDatabases(context);
  const failures: RepriseError[] = [];
  let expectedBytes = 0;
  for (const database of databases) {
    try {
      expectedBytes += await preflightDatabase(context, database, major, notes);
    } catch (error) {
      // Each for itself: one that cannot be dumped, or not now, keeps no other from its backup.
      if (!isRepriseError(error)) throw error;
      failures.push(error);
      notes.push(`database ${JSON.stringify(database)} cannot be dumped: ${error.message}`);
    }
  }
  const told = failures.find(isRetryable) ?? failures[0];
  if (told !== undefined && failures.length === databases.length) throw told;
  const { reason } = await globalsPlace(context.cluster.connection);
  if (reason !== null) notes.push(reason);
  const free = await context.storage.freeBytes();
  if (free !== null && free < expectedBytes) {
    throw new RepriseError(
      'disk-full',
      `the repository has ${free} bytes free, and the last dumps took ${expectedBytes}`,
      'free space there (reprise rotate --dry-run shows what can be removed), or enlarge it',
    );
  }
  const left = await leftovers(context, operationMark(context.operationId));
  if (left.length > 0)
    notes.push(
      `${left.length} files of other operations that did not finish are in the repository, such as ${left[0]}; they are no backups`,
    );
  return [...new Set(notes)];
}

/** What speaks against dumping one database. Returns how many bytes its dump will take. */
async function preflightDatabase(
  context: EngineContext,
  database: string,
  major: number,
  notes: string[],
): Promise<number> {
  const { facts, missing } = await withClient(context.cluster.connection, database, async (client) => ({
    facts: await readDatabaseFacts(client),
    missing: await missingRights(client),
  }));
  if (majorOf(facts.server.versionNum) > major) throw olderThanServer(major, majorOf(facts.server.versionNum));
  if (missing !== null)
    throw new RepriseError('privilege-missing', `database ${JSON.stringify(database)}: ${missing.what}`, missing.hint);
  if (facts.server.encoding === 'SQL_ASCII') {
    notes.push(
      `database ${JSON.stringify(database)} is SQL_ASCII: its text is bytes of no known encoding, and restores only into SQL_ASCII`,
    );
  }
  if (!facts.superuser) notes.push('the backup role is no superuser: the passwords of roles are not in the backup');
  return (await newestDumpSize(context, database)) ?? 0;
}

/**
 * Databases of the cluster that can be dumped: an invalid one keeps no other from its backup.
 * @throws RepriseError `not-found` where none is left
 */
export async function dumpableDatabases({ cluster }: EngineContext): Promise<readonly string[]> {
  const { connection, databases } = cluster;
  const invalid: readonly string[] = await withMaintenance(connection, (client) =>
    invalidDatabases(client, databases),
  ).catch((error: unknown) => {
    // A dump that has ended needs its server no more; one that has not says by itself that it cannot be reached.
    if (isRepriseError(error) && error.code === 'database-unreachable') return [];
    throw error;
  });
  const left = databases.filter((database) => !invalid.includes(database));
  if (left.length > 0 || invalid.length === 0) return left;
  throw new RepriseError(
    'not-found',
    `there is nothing to dump: ${invalid.map((name) => invalidDatabaseText(name)).join('; ')}`,
    'drop it with DROP DATABASE, then create it or recover it from an earlier backup',
  );
}

async function encryptionNotes(context: EngineContext): Promise<readonly string[]> {
  const { encryption } = context.policy;
  if (encryption === undefined) return [];
  await tryEncryption(encryption, context);
  return encryption.identity === undefined
    ? ['this host has no key: what it writes can be read, verified and restored only on another host']
    : [];
}

/** About how many bytes a dump will have: those of the last one, else those of the database, for a progress bar. */
export async function expectedSize(context: ReadContext, database: string): Promise<number | null> {
  const previous = await newestDumpSize(context, database);
  if (previous !== null) return previous;
  try {
    const facts = await withClient(context.cluster.connection, database, readDatabaseFacts);
    return facts.databaseSizeBytes;
  } catch (error) {
    if (isRepriseError(error)) return null;
    throw error;
  }
}

interface MissingRight {
  readonly what: string;
  readonly hint: string;
}

/** What the role lacks to dump all of the database it is connected to, with the grant that gives it. */
async function missingRights(client: pg.Client): Promise<MissingRight | null> {
  const { rows } = await client.query<{ role: string; tables: string; secured: string; large: string }>(`
    SELECT pg_catalog.quote_ident(current_user) AS role,
      (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
          AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'))) AS tables,
      (SELECT count(*) FROM pg_catalog.pg_class c
        WHERE c.relrowsecurity AND pg_catalog.row_security_active(c.oid)) AS secured,
      (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata l
        WHERE NOT pg_catalog.pg_has_role(l.lomowner, 'USAGE')
          AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
          AND NOT pg_catalog.current_setting('lo_compat_privileges')::bool
          AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) a
                           WHERE a.privilege_type = 'SELECT'
                             AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))) AS large`);
  const [row] = rows;
  if (row === undefined) return null;
  if (row.tables !== '0') {
    return {
      what: `role ${row.role} may not read ${row.tables} tables or sequences`,
      hint: `GRANT pg_read_all_data TO ${row.role}`,
    };
  }
  if (row.secured !== '0') {
    return {
      what: `row security hides rows of ${row.secured} tables from role ${row.role}`,
      hint: `ALTER ROLE ${row.role} BYPASSRLS`,
    };
  }
  if (row.large !== '0') {
    const hint = `GRANT SELECT ON LARGE OBJECT ... TO ${row.role} for each, or make the role a member of their owner: pg_read_all_data does not cover large objects`;
    return { what: `role ${row.role} may not read ${row.large} large objects`, hint };
  }
  return null;
}

function olderThanServer(tool: number, server: number): RepriseError {
  return new RepriseError(
    'version-mismatch',
    `pg_dump is of version ${tool} and the server of version ${server}: it refuses to dump a newer server`,
    `install the client programs of PostgreSQL ${server} on this host`,
  );
}
