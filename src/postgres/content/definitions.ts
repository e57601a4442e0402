/**
 * One line per object that a dump brings: its kind, its name, and in one text what it is, whose, and who has which rights on it. Only names
 * that `search_path` finds stay without their schema: it has to be pg_catalog alone. Nothing of it is planned or run: the server writes
 * down what it has stored.
 */

/**
 * Text of an expression, or of what has some in it, as far as a dump and its restore keep it: they may move parentheses and casts of
 * constants (`varchar` beside `text`).
 */
const kept = (text: string): string =>
  `coalesce(regexp_replace(${text}, '\\s|[()]|::[a-z0-9_". ]+(?:\\(\\d+(?:,\\d+)?\\))?(?:\\[\\])*', '', 'g'), '')`;

/** Who has which rights, as a dump sees them: rights that nobody has changed are those that the owner's object has by default. */
const rights = (acl: string, type: string, owner: string): string =>
  explodedRights(`coalesce(${acl}, acldefault('${type}', ${owner}))`);

const explodedRights = (acl: string): string => `(
  SELECT coalesce(string_agg(DISTINCT (concat_ws('=', CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END,
                                                a.privilege_type, CASE WHEN a.is_grantable THEN '*' END)) COLLATE "C", ','), '')
    FROM aclexplode(${acl}) a)`;

const owner = (column: string): string => `pg_get_userbyid(${column})`;

const ofExtension = (catalogue: string, oid: string): string =>
  `EXISTS (SELECT FROM pg_depend x WHERE x.classid = '${catalogue}'::regclass AND x.objid = ${oid} AND x.deptype = 'e')`;

const USER_SCHEMA = `n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`;

/** Ordinary and partitioned tables, views and the like `c` in `n`, not of extensions, and of no session. */
const RELATION = `${USER_SCHEMA} AND c.relpersistence <> 't' AND NOT ${ofExtension('pg_class', 'c.oid')}`;

const IN_SCHEMA = `JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${RELATION}`;

/** By name: a restored table has no columns that were dropped, and may have the others in another order. */
const COLUMNS = `(
  SELECT string_agg(concat_ws(' ', at.attname, format_type(at.atttypid, at.atttypmod), at.attnotnull, at.attidentity, at.attgenerated,
                              ${kept('pg_get_expr(ad.adbin, ad.adrelid)')},
                              ${explodedRights('at.attacl')}), E'\\n' ORDER BY at.attname COLLATE "C")
    FROM pg_attribute at LEFT JOIN pg_attrdef ad ON ad.adrelid = at.attrelid AND ad.adnum = at.attnum
   WHERE at.attrelid = c.oid AND at.attnum > 0 AND NOT at.attisdropped)`;

const RELATIONS = `
  SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END, format('%I.%I', n.nspname, c.relname),
         concat_ws(E'\\n', c.relkind, c.relpersistence, ${owner('c.relowner')}, ${rights('c.relacl', 'r', 'c.relowner')},
                   ARRAY(SELECT o FROM unnest(c.reloptions) o ORDER BY o COLLATE "C"), c.relrowsecurity, c.relforcerowsecurity,
                   CASE WHEN c.relkind IN ('v', 'm') THEN ${kept('pg_get_viewdef(c.oid)')} END,
                   CASE WHEN c.relkind = 'p' THEN ${kept('pg_get_partkeydef(c.oid)')} END, ${kept('pg_get_expr(c.relpartbound, c.oid)')},
                   ARRAY(SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno), ${COLUMNS})
    FROM pg_class c ${IN_SCHEMA} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

const SEQUENCES = `
  SELECT 'sequence', format('%I.%I', n.nspname, c.relname),
         concat_ws(' ', ${owner('c.relowner')}, ${rights('c.relacl', 's', 'c.relowner')},
                   format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid ${IN_SCHEMA}`;

/** No dump holds an invalid one; that of a partitioned table is what its partitions have. */
const INDEXES = `
  SELECT 'index', format('%I.%I', n.nspname, ic.relname), ${kept('pg_get_indexdef(i.indexrelid)')}
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
    ${IN_SCHEMA} AND ic.relkind = 'i' AND i.indisvalid AND i.indisready`;

/** Those that a partition has from its table come with it. */
const CONSTRAINTS = `
  SELECT 'constraint', concat_ws('.', coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text), quote_ident(k.conname)),
         concat_ws(' ', k.convalidated, ${kept('pg_get_constraintdef(k.oid)')})
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
   WHERE ${USER_SCHEMA} AND k.contype NOT IN ('n', 't') AND k.conparentid = 0 AND (k.conislocal OR k.conrelid = 0)
     AND NOT ${ofExtension('pg_constraint', 'k.oid')} AND NOT ${ofExtension('pg_class', 'k.conrelid')} AND NOT ${ofExtension('pg_type', 'k.contypid')}
     AND NOT EXISTS (SELECT FROM pg_class t WHERE t.oid = k.conrelid AND t.relpersistence = 't')`;

const TRIGGERS = `
  SELECT 'trigger', format('%s.%I', c.oid::regclass, g.tgname), concat_ws(' ', g.tgenabled, ${kept('pg_get_triggerdef(g.oid)')})
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid ${IN_SCHEMA} AND NOT g.tgisinternal AND g.tgparentid = 0
     AND NOT ${ofExtension('pg_trigger', 'g.oid')}`;

const POLICIES = `
  SELECT 'policy', format('%s.%I', c.oid::regclass, y.polname),
         concat_ws(' ', y.polcmd, y.polpermissive,
                   (SELECT string_agg(CASE r WHEN 0 THEN '' ELSE pg_get_userbyid(r)::text END, ',' ORDER BY CASE r WHEN 0 THEN '' ELSE pg_get_userbyid(r)::text END COLLATE "C")
                      FROM unnest(y.polroles) r),
                   ${kept('pg_get_expr(y.polqual, y.polrelid)')}, ${kept('pg_get_expr(y.polwithcheck, y.polrelid)')})
    FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid ${IN_SCHEMA}`;

const RULES = `
  SELECT 'rule', format('%s.%I', c.oid::regclass, w.rulename), concat_ws(' ', w.ev_enabled, ${kept('pg_get_ruledef(w.oid)')})
    FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class ${IN_SCHEMA} AND w.rulename <> '_RETURN'`;

/** Its source is compared as it is; those that a range type has made belong to it. */
const FUNCTIONS = `
  SELECT 'function', p.oid::regprocedure::text,
         concat_ws(E'\\n', p.prokind, p.prosrc, p.proconfig, ${owner('p.proowner')}, ${rights('p.proacl', 'f', 'p.proowner')},
                   CASE WHEN p.prokind <> 'a' THEN ${kept('pg_get_functiondef(p.oid)')} END,
                   (SELECT concat_ws(' ', g.aggkind, g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn,
                                     g.aggsortop::regoper, format_type(g.aggtranstype, NULL), g.agginitval, g.aggminitval)
                      FROM pg_aggregate g WHERE g.aggfnoid = p.oid))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE ${USER_SCHEMA} AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid AND x.deptype IN ('e', 'i'))`;

/** Without those of arrays, multiranges and the rows of tables, which come with others. */
const TYPES = `
  SELECT 'type', t.oid::regtype::text,
         concat_ws(E'\\n', t.typtype, ${owner('t.typowner')}, ${rights('t.typacl', 'T', 't.typowner')},
                   ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
                   CASE WHEN t.typtype = 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull, ${kept('t.typdefault')}) END,
                   (SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), r.rngcanonical, r.rngsubdiff) FROM pg_range r WHERE r.rngtypid = t.oid),
                   (SELECT ${COLUMNS} FROM pg_class c WHERE c.oid = t.typrelid))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE ${USER_SCHEMA} AND t.typisdefined AND t.typtype <> 'm' AND NOT ${ofExtension('pg_type', 't.oid')}
     AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
     AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))`;

const SCHEMAS = `
  SELECT 'schema', quote_ident(n.nspname), concat_ws(' ', ${owner('n.nspowner')}, ${rights('n.nspacl', 'n', 'n.nspowner')})
    FROM pg_namespace n WHERE ${USER_SCHEMA} AND NOT ${ofExtension('pg_namespace', 'n.oid')}`;

const EVENT_TRIGGERS = `
  SELECT 'event trigger', quote_ident(v.evtname),
         concat_ws(' ', v.evtevent, v.evtenabled, ${owner('v.evtowner')}, v.evtfoid::regproc, ARRAY(SELECT g FROM unnest(v.evttags) g ORDER BY g COLLATE "C"))
    FROM pg_event_trigger v WHERE NOT ${ofExtension('pg_event_trigger', 'v.oid')}`;

const DEFAULT_PRIVILEGES = `
  SELECT 'default privileges', concat_ws(' ', quote_ident(pg_get_userbyid(f.defaclrole)), f.defaclobjtype, f.defaclnamespace::regnamespace),
         ${explodedRights('f.defaclacl')}
    FROM pg_default_acl f`;

const ALL = [
  ...[SCHEMAS, EVENT_TRIGGERS, DEFAULT_PRIVILEGES, POLICIES, RULES, TRIGGERS, RELATIONS, FUNCTIONS, TYPES, SEQUENCES],
  ...[INDEXES, CONSTRAINTS],
];

/** Of more objects of one kind none is named: nobody would read them, and the answer stays small. */
const MOST_NAMED = 600;

/** By kind: how many objects, one hash over all, and that of each where they are few. */
export const DEFINITIONS = `
  WITH object (kind, name, definition) AS (${ALL.join(' UNION ALL ')}),
       hashed AS (SELECT kind, name, md5(concat_ws(E'\\n', name, definition)) AS md5 FROM object)
  SELECT kind, count(*)::int AS count, mod(sum(('x' || substr(md5, 1, 16))::bit(64)::bigint::numeric), 18446744073709551616)::text AS hash,
         CASE WHEN count(*) <= ${MOST_NAMED} THEN jsonb_object_agg(name, substr(md5, 1, 8)) END AS each
    FROM hashed GROUP BY kind`;
