import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import { isMissingRole, settingStatement } from './database-settings.js';
import type { DatabaseSetting } from './database-settings.js';

/** What `pg_restore` without `--create` leaves out of a database: it belongs to the database itself, not to what is in it. */
export interface DatabaseProperties {
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly localeProvider: 'libc' | 'icu' | 'builtin';
  readonly icuLocale: string | null;
  /** As recorded when the database was made; null before PostgreSQL 15 or where the provider has none. */
  readonly collationVersion: string | null;
  readonly connectionLimit: number;
  readonly tablespace: string;
  /** `ALTER DATABASE SET`, and with a role `ALTER ROLE ... IN DATABASE ... SET`. */
  readonly settings: readonly DatabaseSetting[];
  /** Null: nothing was ever granted or revoked, the server's own default counts. */
  readonly grants: readonly DatabaseGrant[] | null;
  /** Whether databases may be made from it by anybody (`datistemplate`); absent in older records. */
  readonly template?: boolean;
  /** Security labels on the database itself. */
  readonly labels?: readonly { readonly provider: string; readonly label: string }[];
}

export interface DatabaseGrant {
  /** Null: PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: 'CREATE' | 'CONNECT' | 'TEMPORARY';
  readonly grantable: boolean;
}

/** Reads the properties of a database of the connected server, whichever one the client is in. */
export async function databaseProperties(client: pg.ClientBase, database: string): Promise<DatabaseProperties> {
  // Columns that came with PostgreSQL 15 and 17 are read through JSON, which does not mind their absence.
  const { rows } = await client.query<PropertiesRow>(
    `SELECT pg_catalog.pg_get_userbyid(datdba) AS owner, pg_catalog.pg_encoding_to_char(encoding) AS encoding,
            datistemplate AS template, datcollate::text AS collate, datctype::text AS ctype, datconnlimit AS "connectionLimit",
            (SELECT spcname::text FROM pg_catalog.pg_tablespace t WHERE t.oid = dattablespace) AS tablespace,
            pg_catalog.to_jsonb(d) ->> 'datlocprovider' AS provider,
            coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale') AS "icuLocale",
            pg_catalog.to_jsonb(d) ->> 'datcollversion' AS "collationVersion",
            CASE WHEN datacl IS NOT NULL THEN (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
              'grantee', CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END,
              'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]') FROM pg_catalog.aclexplode(datacl) a) END AS grants,
            (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'role', CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole) END,
               'name', pg_catalog.split_part(c, '=', 1), 'value', pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1))), '[]')
               FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c WHERE s.setdatabase = d.oid) AS settings,
            (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('provider', provider, 'label', label) ORDER BY provider), '[]')
               FROM pg_catalog.pg_shseclabel l
              WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND l.objoid = d.oid) AS labels
       FROM pg_catalog.pg_database d WHERE datname = $1`,
    [database],
  );
  const row = rows[0];
  if (row === undefined)
    throw new RepriseError(
      'not-found',
      `there is no database ${JSON.stringify(database)}`,
      'List the names with psql -l.',
    );
  const { provider, ...rest } = row;
  return { ...rest, localeProvider: provider === 'i' ? 'icu' : provider === 'b' ? 'builtin' : 'libc' };
}

/**
 * Gives a database the owner, limit, settings and rights of another. Encoding, locale and tablespace are decided when it
 * is made. It can be repeated.
 * @returns what could not be given, with the reason, in words.
 */
export async function applyProperties(
  client: pg.ClientBase,
  database: string,
  properties: DatabaseProperties,
): Promise<readonly string[]> {
  const name = pg.escapeIdentifier(database);
  const left: string[] = [];
  const attempt = async (statement: string, what: string): Promise<void> => {
    await client.query(statement).catch((error: unknown) => {
      if (!isMissingRole(error)) throw error;
      left.push(`${what} was left out: the role is not on this server`);
    });
  };
  await attempt(
    `ALTER DATABASE ${name} OWNER TO ${pg.escapeIdentifier(properties.owner)}`,
    `owner ${properties.owner}`,
  );
  const hasOwner = left.length === 0;
  await client.query(`ALTER DATABASE ${name} CONNECTION LIMIT ${properties.connectionLimit}`);
  for (const setting of properties.settings) {
    await attempt(settingStatement(database, setting), `${setting.name} for role ${setting.role ?? ''}`);
  }
  if (properties.template === true) await client.query(`ALTER DATABASE ${name} IS_TEMPLATE true`);
  for (const { provider, label } of properties.labels ?? []) {
    const statement = `SECURITY LABEL FOR ${pg.escapeLiteral(provider)} ON DATABASE ${name} IS ${pg.escapeLiteral(label)}`;
    await client.query(statement).catch((error: unknown) => {
      if (!(error instanceof Error) || !/security label provider/.test(error.message)) throw error;
      left.push(`the security label of ${provider} was left out: the server does not load that provider`);
    });
  }
  if (properties.grants === null) return left;
  await client.query(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`);
  // What the owner has revoked from himself.
  if (hasOwner) await client.query(`REVOKE ALL ON DATABASE ${name} FROM ${pg.escapeIdentifier(properties.owner)}`);
  for (const { grantee, privilege, grantable } of properties.grants) {
    const to = grantee === null ? 'PUBLIC' : pg.escapeIdentifier(grantee);
    await attempt(
      `GRANT ${privilege} ON DATABASE ${name} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`,
      `${privilege} for role ${grantee ?? ''}`,
    );
  }
  return left;
}

interface PropertiesRow extends Omit<DatabaseProperties, 'localeProvider'> {
  readonly provider: string | null;
}
