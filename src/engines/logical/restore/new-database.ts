import pg from 'pg';
import type { ConnectionConfig } from '../../../domain/config.js';
import { RepriseError } from '../../../domain/errors.js';
import { databaseMark } from '../../../domain/plan/recovery-place.js';
import { restoreRole } from '../../../postgres/connection/restore-login.js';
import { withClient, withMaintenance } from '../../../postgres/connection/with-client.js';
import { INVALID_LIMIT } from '../../../postgres/server/databases.js';
import type { DumpManifest } from '../repository/manifest.js';
import { operationMark } from '../../shared/policy-folder.js';

/** A database that one operation makes beside the live one. */
export interface NewDatabase {
  readonly connection: ConnectionConfig;
  readonly name: string;
  readonly operationId: string;
}

type Standing = 'absent' | 'ours' | 'invalid' | 'foreign';

/**
 * Creates the database from template0 with the encoding and locale of the dumped one, or finds the one this
 * operation made before. A database of that name that is not this operation's is never touched.
 *
 * @returns which of the two
 * @throws RepriseError `conflict` where the name is taken, `privilege-missing`
 */
export async function createOnce(
  database: NewDatabase,
  manifest: DumpManifest,
  owner: string,
): Promise<'made' | 'found'> {
  return inMaintenance(database, async (client) => {
    let standing = await standingOf(client, database);
    if (standing === 'invalid') {
      // Ours, and the DROP DATABASE of an earlier attempt was cut off: nothing else can be done with it.
      await client.query(`DROP DATABASE ${pg.escapeIdentifier(database.name)}`);
      standing = 'absent';
    }
    if (standing === 'foreign') {
      throw new RepriseError(
        'conflict',
        `there is a database ${JSON.stringify(database.name)} that this operation did not make`,
        'drop or rename it, then try again',
      );
    }
    if (standing === 'absent')
      await client.query(creation(database, manifest, owner, await isNamed(client, manifest.properties.tablespace)));
    await mark(client, database, manifest);
    return standing === 'absent' ? 'made' : 'found';
  });
}

/** Whether this operation has made the database before. */
export async function isOurs(database: NewDatabase): Promise<boolean> {
  return inMaintenance(database, async (client) => (await standingOf(client, database)) === 'ours');
}

/** Marks a database again that this operation made: its owner may have changed that. */
export async function markAgain(database: NewDatabase, manifest: DumpManifest): Promise<void> {
  await inMaintenance(database, (client) => mark(client, database, manifest));
}

async function mark(client: pg.Client, database: NewDatabase, manifest: DumpManifest): Promise<void> {
  await client.query(
    `COMMENT ON DATABASE ${pg.escapeIdentifier(database.name)} IS ${pg.escapeLiteral(commentFor(database, manifest.comment))}`,
  );
}

/** Drops the database where this operation made it, ending whoever is connected; anything else is left alone. */
export async function dropOurs(database: NewDatabase): Promise<void> {
  await inMaintenance(database, async (client) => {
    const standing = await standingOf(client, database);
    if (!['ours', 'invalid'].includes(standing)) return;
    if (standing === 'ours') await dropSubscriptions(client, database);
    // Its owner may have made a template of it, which cannot be dropped.
    if (standing === 'ours')
      await client.query(`ALTER DATABASE ${pg.escapeIdentifier(database.name)} IS_TEMPLATE false`);
    // A killed pg_restore's backends work on until they notice; FORCE ends them (PostgreSQL 13).
    await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(database.name)} WITH (FORCE)`);
  });
}

/** They keep a database from being dropped. Their slots are the publisher's, and belong to the live database. */
async function dropSubscriptions(maintenance: pg.Client, { connection, name }: NewDatabase): Promise<void> {
  const { rows } = await maintenance.query<{ name: string }>(
    `SELECT subname::text AS name FROM pg_catalog.pg_subscription
      WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = $1)`,
    [name],
  );
  if (rows.length === 0) return;
  await withClient(connection, name, async (client) => {
    for (const subscription of rows.map((row) => pg.escapeIdentifier(row.name))) {
      await client.query(`ALTER SUBSCRIPTION ${subscription} DISABLE`);
      await client.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`);
      await client.query(`DROP SUBSCRIPTION ${subscription}`);
    }
  });
}

/** The comment without the marks of recoveries it went through. */
export function withoutMarks(comment: string | null): string | null {
  const rest = comment?.replaceAll(/ ?\[reprise:[^\][]*\]/g, '') ?? '';
  return rest === '' ? null : rest;
}

async function standingOf(client: pg.Client, database: NewDatabase): Promise<Standing> {
  const { rows } = await client.query<{ comment: string | null; limit: number; owner: string }>(
    `SELECT pg_catalog.shobj_description(oid, 'pg_database') AS comment, datconnlimit AS limit,
            pg_catalog.pg_get_userbyid(datdba)::text AS owner
       FROM pg_catalog.pg_database WHERE datname = $1`,
    [database.name],
  );
  const [row] = rows;
  if (row === undefined) return 'absent';
  const isOurs =
    row.limit === limitMark(database.operationId) ||
    (row.comment ?? '').includes(databaseMark(database.operationId)) ||
    // The login that restores it may take away the other two.
    row.owner === restoreRole(database.name);
  if (!isOurs) return 'foreign';
  return row.limit === INVALID_LIMIT ? 'invalid' : 'ours';
}

/** Whether a tablespace is there and has to be named: that of the template needs no right, unless somebody spells it out. */
async function isNamed(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT FROM pg_catalog.pg_tablespace
      WHERE spcname = $1 AND oid <> (SELECT dattablespace FROM pg_catalog.pg_database WHERE datname = 'template0')`,
    [name],
  );
  return rows.length > 0;
}

function creation(
  { name, operationId }: NewDatabase,
  { properties }: DumpManifest,
  owner: string,
  inItsTablespace: boolean,
): string {
  const { localeProvider, icuLocale } = properties;
  return [
    `CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0`,
    `OWNER ${pg.escapeIdentifier(owner)}`,
    `ENCODING ${pg.escapeLiteral(properties.encoding)}`,
    `LC_COLLATE ${pg.escapeLiteral(properties.collate)} LC_CTYPE ${pg.escapeLiteral(properties.ctype)}`,
    ...(localeProvider === 'libc'
      ? []
      : [
          `LOCALE_PROVIDER ${localeProvider} ${localeProvider.toUpperCase()}_LOCALE ${pg.escapeLiteral(icuLocale ?? '')}`,
        ]),
    ...(inItsTablespace ? [`TABLESPACE ${pg.escapeIdentifier(properties.tablespace)}`] : []),
    // The mark that comes with the creation itself: a comment takes a statement of its own, and we may die before it.
    `CONNECTION LIMIT ${limitMark(operationId)}`,
  ].join(' ');
}

/** The dumped database's own comment stays, and says in addition which operation restored it. */
function commentFor({ operationId }: NewDatabase, comment: string | null): string {
  const own = withoutMarks(comment);
  return `${own === null ? '' : `${own} `}${databaseMark(operationId)}`;
}

/** A limit nobody sets by hand and no server reaches. */
function limitMark(operationId: string): number {
  return 1_000_000_000 + Number.parseInt(operationMark(operationId).slice(0, 7), 16);
}

function inMaintenance<T>({ connection }: NewDatabase, fn: (client: pg.Client) => Promise<T>): Promise<T> {
  return withMaintenance(connection, fn);
}
