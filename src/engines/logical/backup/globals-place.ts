import type { ConnectionConfig } from '../../../domain/config.js';
import { withMaintenance } from '../../../postgres/connection/with-client.js';
import { sharedNames, textOrBytes } from '../../../postgres/content/encoding.js';

/** Where roles and tablespaces are dumped. */
export interface GlobalsPlace {
  /** The database that pg_dumpall connects to; null where none takes their names. */
  readonly database: string | null;
  /** Why it is not the maintenance database, or none; null where it is. */
  readonly reason: string | null;
}

/** Of PostgreSQL's numbers: in these every byte is a character, or none is looked at (SQL_ASCII). */
const TAKES_ALL_BYTES = 'encoding = 0 OR encoding BETWEEN 8 AND 34';

/**
 * Names of roles and tablespaces are bytes that all databases share. Where one is no text in the encoding of the maintenance
 * database, that database refuses the queries in which pg_dumpall says it: then it is another one that takes every byte.
 */
export function globalsPlace(connection: ConnectionConfig): Promise<GlobalsPlace> {
  return withMaintenance(connection, async (client) => {
    const { rows: here } = await client.query<{ database: string; encoding: string }>(
      'SELECT pg_catalog.current_database()::text AS database, pg_catalog.getdatabaseencoding()::text AS encoding',
    );
    const { database, encoding } = here[0] ?? { database: connection.maintenanceDatabase, encoding: 'UTF8' };
    if (encoding !== 'UTF8') return { database, reason: null };
    const names = [
      ...(await sharedNames(client, 'rolname', 'FROM pg_catalog.pg_roles')),
      ...(await sharedNames(client, 'spcname', 'FROM pg_catalog.pg_tablespace')),
    ];
    const strange = names.map((name) => textOrBytes(Buffer.from(name, 'hex'))).filter(({ isText }) => !isText);
    if (strange.length === 0) return { database, reason: null };
    const { rows: others } = await client.query<{ name: string }>(
      `SELECT datname::text AS name FROM pg_catalog.pg_database
        WHERE datallowconn AND datconnlimit <> -2 AND (${TAKES_ALL_BYTES})
          AND pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY oid DESC LIMIT 1`,
    );
    const found = strange.map(({ text }) => text).join(', ');
    const other = others[0]?.name ?? null;
    return {
      database: other,
      reason: `names of roles or tablespaces are no text in the encoding ${encoding} of database ${database} (${found}): ${
        other === null ? 'pg_dumpall cannot dump roles and tablespaces' : `they are dumped through database ${other}`
      }; to mend it, rename them (ALTER ROLE ... RENAME TO) from a database of their encoding`,
    };
  });
}
