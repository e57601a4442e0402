import type pg from 'pg';
import {
  type DatabaseObjects,
  DEFINITION_KINDS,
  type Definitions,
  type RecordedObjects,
  type SequenceValue,
  withinRecord,
} from '../../domain/backup/recorded-objects.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import { inSnapshot, released } from '../connection/snapshot.js';
import { withClient, withMaintenance } from '../connection/with-client.js';
import { absentDatabases, invalidDatabases } from '../server/databases.js';
import { largeObjectsHash } from './content-hash.js';
import { DEFINITIONS } from './definitions.js';

/** Views are locked, for a moment, when the server writes them down: whoever waits for such a lock keeps others waiting. */
const LOCK_TIMEOUT = '5s';

interface ReadOptions {
  /** Large objects are read whole, and hashed. */
  readonly hashes: boolean;
  /** Read before; absent: read now. */
  readonly sequences?: readonly SequenceValue[];
}

/** Roles that own something or have rights, in the connected database alone or in all. */
async function rolesInUse(client: pg.ClientBase, where: 'here' | 'everywhere'): Promise<readonly string[]> {
  const { rows } = await client.query<{ role: string }>(
    `SELECT DISTINCT r.rolname::text AS role
       FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
      WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype IN ('o', 'a', 'r')
        AND ($1 OR d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
      ORDER BY 1`,
    [where === 'everywhere'],
  );
  return rows.map(({ role }) => role);
}

/** Every role of the server. */
export async function roleNames(client: pg.ClientBase): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    'SELECT rolname::text AS name FROM pg_catalog.pg_roles ORDER BY 1',
  );
  return rows.map(({ name }) => name);
}

/** Those that were made beside PostgreSQL's own. */
export async function tablespaceNames(client: pg.ClientBase): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT spcname::text AS name FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

/**
 * What the connected database holds besides rows, in the snapshot of the client's transaction or one of its own. No code of its owners runs.
 * @param database name that it bears in the result
 */
export async function readDatabaseObjects(
  client: pg.Client,
  database: string,
  { hashes, sequences }: ReadOptions,
): Promise<DatabaseObjects> {
  return inSnapshot(client, async () => {
    const free = sequences ?? (await readSequences(client));
    return released(client, async () => {
      await client.query(`SET LOCAL lock_timeout TO '${LOCK_TIMEOUT}'`);
      const { rows } = await client.query<{ extensions: string[]; largeObjects: string }>(
        `SELECT ARRAY(SELECT extname::text FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' ORDER BY 1) AS extensions,
                (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)::text AS "largeObjects"`,
      );
      const [row] = rows;
      const count = Number(row?.largeObjects ?? 0);
      const definitions = await readDefinitions(client);
      const hash = hashes && count > 0 ? { hash: (await largeObjectsHash(client)).hash } : {};
      return {
        database,
        extensions: row?.extensions ?? [],
        largeObjects: { count, ...hash },
        sequences: free,
        definitions,
      };
    });
  });
}

async function readDefinitions(client: pg.Client): Promise<readonly Definitions[]> {
  const { rows } = await client.query<Omit<Definitions, 'each'> & { each: Definitions['each'] | null }>(DEFINITIONS);
  const order = (kind: string): number => DEFINITION_KINDS.findIndex((one) => one === kind);
  return rows
    .map(({ each, ...whole }): Definitions => (each == null ? whole : { ...whole, each }))
    .sort((one, other) => order(one.kind) - order(other.kind));
}

/** Ascending sequences that belong to no column, and what each has given last: nothing else tells it. */
export async function readSequences(client: pg.Client): Promise<readonly SequenceValue[]> {
  return released(client, async () => (await client.query<SequenceValue>(FREE_SEQUENCES)).rows);
}

/** So many sequences are recorded: a record must stay small. */
const MOST_SEQUENCES = 500;

const FREE_SEQUENCES = `
  SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, pg_catalog.pg_sequence_last_value(q.seqrelid)::text AS last
    FROM pg_catalog.pg_sequence q JOIN pg_catalog.pg_class c ON c.oid = q.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relpersistence = 'p' AND q.seqincrement > 0 AND NOT q.seqcycle
     AND pg_catalog.has_sequence_privilege(q.seqrelid, 'SELECT, USAGE')
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                        AND d.deptype IN ('a', 'i', 'e'))
   ORDER BY 1 LIMIT ${MOST_SEQUENCES}`;

/** The same of the connected database, as a dump of it is recorded. */
export async function recordDatabaseObjects(
  client: pg.Client,
  database: string,
  options: ReadOptions,
): Promise<RecordedObjects> {
  const [roles, objects] = [await rolesInUse(client, 'here'), await readDatabaseObjects(client, database, options)];
  return withinRecord({ roles, tablespaces: [], databases: [objects] });
}

/**
 * The same of a whole cluster, as a physical backup of it is recorded: close to the backup, which has no snapshot. Large objects are counted
 * alone. Undefined where it cannot be read: a backup is worth more than its record.
 */
export async function recordClusterObjects(
  connection: ConnectionConfig,
  databases: readonly string[],
  signal: AbortSignal,
): Promise<RecordedObjects | undefined> {
  try {
    return withinRecord(await readObjects(connection, databases, signal));
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return undefined;
  }
}

/** Of a running server; databases that are absent or invalid are left out. */
async function readObjects(
  connection: ConnectionConfig,
  databases: readonly string[],
  signal: AbortSignal,
): Promise<RecordedObjects> {
  const { roles, tablespaces, skipped } = await withMaintenance(connection, async (client) => ({
    roles: await rolesInUse(client, 'everywhere'),
    tablespaces: await tablespaceNames(client),
    skipped: [...(await invalidDatabases(client, databases)), ...(await absentDatabases(client, databases))],
  }));
  const found: DatabaseObjects[] = [];
  for (const database of databases.filter((name) => !skipped.includes(name))) {
    signal.throwIfAborted();
    found.push(
      await withClient(connection, database, (client) => readDatabaseObjects(client, database, { hashes: false })),
    );
  }
  return { roles, tablespaces, databases: found };
}
