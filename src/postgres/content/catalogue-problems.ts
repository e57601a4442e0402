import type pg from 'pg';

/** What is wrong within the catalogues of one database, whatever was recorded. */
export interface CatalogueProblem {
  /** Of the object, as a configuration names it to leave it out. */
  readonly name: string;
  readonly text: string;
  readonly kind: 'role' | 'tablespace' | 'extension' | 'index';
}

/** Each finds what it is about by the number under which others name it. */
const ROLES = `
  SELECT 'role' AS kind, role::text AS name,
         format('the role with OID %s owns objects or has rights on some, and is missing', role) AS text
    FROM (SELECT relowner AS role FROM pg_class UNION ALL SELECT nspowner FROM pg_namespace UNION ALL SELECT proowner FROM pg_proc
           UNION ALL SELECT typowner FROM pg_type WHERE typrelid = 0 AND typcategory <> 'A'
           UNION ALL SELECT a.grantee FROM pg_class c, aclexplode(c.relacl) a
           UNION ALL SELECT a.grantee FROM pg_namespace n, aclexplode(n.nspacl) a
           UNION ALL SELECT a.grantee FROM pg_proc p, aclexplode(p.proacl) a
           UNION ALL SELECT datdba FROM pg_database WHERE datname = current_database()) used
   WHERE role <> 0 AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role)
   GROUP BY role`;

const TABLESPACES = `
  SELECT 'tablespace', place::text, format('the tablespace with OID %s has %s relations, and is missing', place, count(*))
    FROM (SELECT reltablespace AS place FROM pg_class UNION ALL SELECT dattablespace FROM pg_database WHERE datname = current_database()) used
   WHERE place <> 0 AND NOT EXISTS (SELECT FROM pg_tablespace s WHERE s.oid = place)
   GROUP BY place`;

const EXTENSIONS = `
  SELECT 'extension', refobjid::text, format('the extension with OID %s has %s objects, and is missing', refobjid, count(*))
    FROM pg_depend
   WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.oid = refobjid)
   GROUP BY refobjid`;

/** That of a partitioned table has no rows: it is invalid until each partition has one. */
const INDEXES = `
  SELECT 'index', format('%I.%I', n.nspname, c.relname),
         format('index %I.%I of table %s is %s', n.nspname, c.relname, i.indrelid::regclass,
                CASE WHEN NOT i.indisvalid THEN 'invalid' WHEN NOT i.indisready THEN 'not kept up to date' ELSE 'being dropped' END)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND NOT (i.indisvalid AND i.indisready AND i.indislive)`;

/** Owners, grantees, tablespaces and extensions that are named and not there, and indexes that no query may use. */
export async function catalogueProblems(client: pg.ClientBase): Promise<readonly CatalogueProblem[]> {
  const { rows } = await client.query<CatalogueProblem>(
    `SELECT kind, name, text FROM (${[ROLES, TABLESPACES, EXTENSIONS, INDEXES].join(' UNION ALL ')}) found ORDER BY 1, 2`,
  );
  return rows;
}
