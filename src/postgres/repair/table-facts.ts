// Longer than 400 lines: one subject, what a repair has to know of a table, as its catalogues say it.
import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import { knowsText } from '../content/encoding.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { withoutWaiting } from './lock-holders.js';
import { readUniqueRules, type UniqueRule } from './unique-rules.js';

/** A column that is stored and not generated. */
export interface StoredColumn {
  readonly name: string;
  /** For a statement: of a domain, the type below it. */
  readonly type: string;
  /** ` COLLATE ...` where it has a collation, else empty. */
  readonly collate: string;
  /** `=` of the default B-tree operator class of its type, for a statement; null where the type has none. */
  readonly equals: string | null;
  readonly notNull: boolean;
  /** The server makes its values, and takes no other ones in an UPDATE. */
  readonly alwaysIdentity: boolean;
  /** Values of its type are equal only where their text is: not of numbers with a scale, of a collation that knows no case, and many others. */
  readonly exact: boolean;
  /** Of a domain that refuses values, its name for a statement; null: its type refuses nothing by itself. */
  readonly domain: string | null;
}

/** A column that the server computes. */
export interface GeneratedColumn {
  readonly name: string;
  /** Of the bare names of the other columns. */
  readonly expression: string;
  readonly type: string;
}

export interface TableTrigger {
  /** The table or partition, for a statement. */
  readonly on: string;
  readonly name: string;
  /** How it is switched on: `ENABLE`, `ENABLE REPLICA` or `ENABLE ALWAYS`. */
  readonly enable: string;
}

/** A foreign key of another table to this one, to one of its partitions alone, or to the table that it is a partition of. */
export interface ReferencingKey {
  readonly table: TableName;
  readonly columns: readonly string[];
  /** Columns of this table. */
  readonly refersTo: readonly string[];
  /** As `pg_constraint.confdeltype` and `confupdtype` have it. */
  readonly onDelete: string;
  readonly onUpdate: string;
  /** Of a column of this table with one of the other, for a statement. */
  readonly equals: readonly string[];
}

/** A foreign key of the table itself, or of one of its partitions alone. */
export interface ForeignKey {
  readonly table: TableName;
  /** Which rows of the table it is for, of the bare names of their columns; null: for all. */
  readonly condition: string | null;
  readonly columns: readonly string[];
  /** Columns of the other table. */
  readonly refersTo: readonly string[];
  /** Of a column of the other table with one of this one, for a statement. */
  readonly equals: readonly string[];
  /** The last columns are periods: that of a row has to be covered by those that it refers to (PostgreSQL 18). */
  readonly period: boolean;
}

/** Whether rows refer to each other where the text of these columns is the same, and only there, whatever partition they are in. */
export function refersByText(facts: Pick<TableFacts, 'columns'>, { columns, condition, period }: ForeignKey): boolean {
  return !period && condition === null && isExactKey(facts, columns);
}

export interface TableFacts {
  readonly oid: number;
  readonly owner: string;
  readonly ownerIsSuperuser: boolean;
  /** For a statement that reads or changes it: a table without its children, a partitioned one with its partitions. */
  readonly statementName: string;
  readonly columns: readonly StoredColumn[];
  readonly generated: readonly string[];
  readonly generatedColumns: readonly GeneratedColumn[];
  /** Of its primary key, else of a unique index over columns that take no NULL; empty: it has none. */
  readonly key: readonly string[];
  /** What no two rows may have. */
  readonly unique: readonly UniqueRule[];
  /** Conditions that each row must meet, of the bare names of its columns. */
  readonly checks: readonly string[];
  /** All of its own triggers that are switched on, its partitions' too. */
  readonly triggers: readonly TableTrigger[];
  readonly referencedBy: readonly ReferencingKey[];
  readonly refersTo: readonly TableName[];
  /** The same, with their columns. */
  readonly foreignKeys: readonly ForeignKey[];
  /** Sequences that give values to its columns, for a statement. */
  readonly sequences: readonly { readonly column: string; readonly sequence: string }[];
  /** Functions that a change runs and that a role without superuser rights owns, `schema.name`. */
  readonly foreignCode: readonly string[];
}

/** Whether rows with equal values of these columns have the same text of them. */
export function isExactKey({ columns }: Pick<TableFacts, 'columns'>, key: readonly string[]): boolean {
  return columns.every(({ name, exact, equals }) => exact || equals === null || !key.includes(name));
}

/** For a statement. */
export function statementTable({ schema, table }: TableName): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
}

/**
 * What decides how the rows of a table may be changed.
 * @throws RepriseError `not-found`; `busy` where others hold it; `capability-missing` for what is no ordinary or partitioned table
 */
export function readTableFacts(client: pg.ClientBase, table: TableName): Promise<TableFacts> {
  return withoutWaiting(client, table, () => factsOf(client, table));
}

async function factsOf(client: pg.ClientBase, table: TableName): Promise<TableFacts> {
  const { rows } = await client.query<FoundTable>(
    `SELECT c.oid, c.relkind::text AS kind, r.rolname::text AS owner, r.rolsuper AS superuser,
            c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AS hidden,
            ARRAY(SELECT w.rulename::text FROM pg_catalog.pg_rewrite w
                   WHERE w.ev_class = c.oid AND w.ev_type IN ('2', '3', '4') AND w.ev_enabled <> 'D' ORDER BY 1) AS rules, pg_catalog.getdatabaseencoding()::text AS encoding
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
      WHERE n.nspname = $1 AND c.relname = $2`,
    [table.schema, table.table],
  );
  const [found] = rows;
  if (found === undefined)
    throw new RepriseError(
      'not-found',
      `there is no table ${formatTableName(table)}`,
      'see the tables of the database: \\dt *.* in psql',
    );
  refuseSystem(table);
  if (!['r', 'p'].includes(found.kind))
    throw new RepriseError(
      'capability-missing',
      `${formatTableName(table)} is no table whose rows can be put right one by one`,
      'name an ordinary or a partitioned table',
    );
  refuseHidden(found, table);
  const { oid } = found;
  const name = statementTable(table);
  return {
    ...{ oid, owner: found.owner, ownerIsSuperuser: found.superuser },
    statementName: found.kind === 'p' ? name : `ONLY ${name}`,
    ...(await readColumns(client, oid)),
    key: await readKey(client, oid),
    unique: await readUniqueRules(client, oid),
    checks: await readChecks(client, oid),
    triggers: await readTriggers(client, oid),
    ...(await readForeignKeys(client, oid)),
    sequences: await readSequences(client, oid),
    foreignCode: await readForeignCode(client, oid),
  };
}

/**
 * Whoever changes a row of a catalogue may break the whole server, and the rights of all are among its rows.
 * @throws RepriseError `capability-missing` for tables of the server itself, and those of one session
 */
export function refuseSystem(table: TableName): void {
  if (!/^(?:pg_|information_schema$)/.test(table.schema)) return;
  throw new RepriseError(
    'capability-missing',
    `${formatTableName(table)} is of the server itself: Reprise changes no rows there, and blocks no writes`,
    'name a table of the application; what was dropped comes back with the database: reprise recover CLUSTER --database D --to TIME',
  );
}

interface FoundTable {
  readonly oid: number;
  readonly kind: string;
  readonly owner: string;
  readonly superuser: boolean;
  /** Its owner does not see all rows. */
  readonly hidden: boolean;
  /** Rules by which the server makes another statement of a change. */
  readonly rules: readonly string[];
  readonly encoding: string;
}

/** Rows of which some are not seen, or whose text is not known, cannot be put right: others would be changed in their place. */
function refuseHidden({ hidden, encoding, rules }: FoundTable, table: TableName): void {
  if (hidden)
    throw new RepriseError(
      'capability-missing',
      `row security is forced on ${formatTableName(table)}: its own owner does not see every row, and with more rights it is not put right`,
      `lift it for the time of the repair: ALTER TABLE ${statementTable(table)} NO FORCE ROW LEVEL SECURITY`,
    );
  if (rules.length > 0)
    throw new RepriseError(
      'capability-missing',
      `${formatTableName(table)} has rules (${rules.join(', ')}), by which a change of a row becomes another statement`,
      `switch them off for the time of the repair: ALTER TABLE ${statementTable(table)} DISABLE RULE ${pg.escapeIdentifier(rules[0] ?? '')}`,
    );
  if (!knowsText(encoding))
    throw new RepriseError(
      'capability-missing',
      `the database is in encoding ${encoding}, in which PostgreSQL does not say what text a row has`,
      'recover the database instead: reprise recover CLUSTER --database D --to TIME',
    );
}

/** The table itself and, of a partitioned one, everything below it. */
const TREE = `SELECT $1::oid AS oid UNION SELECT relid::oid FROM pg_catalog.pg_partition_tree($1::oid::regclass)`;

/** Types whose values have one text each. */
export const EXACT_TYPES = [
  ...['bool', 'int2', 'int4', 'int8', 'oid', 'uuid', 'text', 'varchar', 'name', 'bytea', 'date'],
  ...['time', 'timestamp', 'timestamptz', 'inet', 'cidr', 'macaddr', 'macaddr8', 'pg_lsn', 'xid8', 'bit', 'varbit'],
].map((type) => `pg_catalog.${type}`);

async function readColumns(
  client: pg.ClientBase,
  oid: number,
): Promise<Pick<TableFacts, 'columns' | 'generated' | 'generatedColumns'>> {
  const { rows } = await client.query<StoredColumn & { generated: string | null }>(
    `WITH RECURSIVE base AS (
       SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
       UNION ALL
       SELECT b.attnum, t.typbasetype, t.typtypmod FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type
        WHERE t.typtype = 'd')
     SELECT a.attname::text AS name, a.attnotnull AS "notNull",
            CASE WHEN a.attgenerated <> '' THEN (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d
                                                  WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END AS generated,
            CASE WHEN a.atttypid <> b.type THEN pg_catalog.format_type(a.atttypid, a.atttypmod) END AS domain,
            a.attidentity = 'a' AS "alwaysIdentity",
            (b.type = ANY ('{${EXACT_TYPES.join(',')}}'::pg_catalog.regtype[])
              OR EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = b.type AND e.typtype = 'e'))
              AND coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation), true) AS exact,
            pg_catalog.format_type(b.type, b.modifier) AS type,
            coalesce((SELECT pg_catalog.format(' COLLATE %I.%I', n.nspname, l.collname)
                        FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
                       WHERE l.oid = a.attcollation), '') AS collate,
            (SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)
               FROM pg_catalog.pg_type own
               JOIN pg_catalog.pg_opclass k ON k.opcdefault
                AND k.opcintype = CASE WHEN own.typcategory = 'A' AND own.typelem <> 0 THEN 'pg_catalog.anyarray'::pg_catalog.regtype
                                       WHEN own.typtype = 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype
                                       WHEN own.typtype = 'r' THEN 'pg_catalog.anyrange'::pg_catalog.regtype
                                       WHEN own.typtype = 'c' THEN 'pg_catalog.record'::pg_catalog.regtype
                                       WHEN own.oid = 'pg_catalog.varchar'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype
                                       ELSE own.oid END
               JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'
               JOIN pg_catalog.pg_amop p ON p.amopfamily = k.opcfamily AND p.amopstrategy = 3
                AND p.amoplefttype = k.opcintype AND p.amoprighttype = k.opcintype
               JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr
               JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
              WHERE own.oid = b.type LIMIT 1) AS equals
       FROM pg_catalog.pg_attribute a
       JOIN base b ON b.attnum = a.attnum
       JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'
      WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY a.attnum`,
    [oid],
  );
  return {
    columns: rows.filter((one) => one.generated === null).map(({ generated: _, ...column }) => column),
    generated: rows.filter((one) => one.generated !== null).map(({ name }) => name),
    generatedColumns: rows.flatMap(({ name, generated, type }) =>
      generated === null ? [] : [{ name, expression: generated, type }],
    ),
  };
}

async function readKey(client: pg.ClientBase, oid: number): Promise<readonly string[]> {
  const { rows } = await client.query<{ columns: string[] }>(
    `SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                   WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
       FROM pg_catalog.pg_index i
      WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                         WHERE k.place <= i.indnkeyatts AND (NOT a.attnotnull OR a.attgenerated <> ''))
      ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1`,
    [oid],
  );
  return rows[0]?.columns ?? [];
}

/** Which rows a partition takes; null for the table itself, and for a partition that takes all. */
const bounds = (relation: string): string =>
  `CASE WHEN ${relation} <> $1::oid THEN nullif(pg_catalog.pg_get_partition_constraintdef(${relation}), '') END`;

/** Of the table and, for the rows that they take, of its partitions; and that one of them takes the row at all. */
async function readChecks(client: pg.ClientBase, oid: number): Promise<readonly string[]> {
  const enforced = (of: string): string => `pg_catalog.to_jsonb(${of}) ->> 'conenforced' IS DISTINCT FROM 'false'`;
  const { rows } = await client.query<{ check: string; bounds: string | null }>(
    `SELECT pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS check, ${bounds('k.conrelid')} AS bounds
       FROM pg_catalog.pg_constraint k
      WHERE k.conrelid IN (${TREE}) AND k.contype = 'c' AND ${enforced('k')}
        -- A partition has those of the table that it belongs to, where they may be off (PostgreSQL 18).
        AND (k.conrelid = $1 OR k.coninhcount = 0 OR EXISTS (
              SELECT FROM pg_catalog.pg_constraint p
               WHERE p.conrelid = $1 AND p.contype = 'c' AND p.conname = k.conname AND NOT ${enforced('p')}))
     UNION ALL
     SELECT pg_catalog.format('%I IS NOT NULL', a.attname), ${bounds('a.attrelid')}
       FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_inherits h ON h.inhrelid = a.attrelid
       JOIN pg_catalog.pg_attribute p ON p.attrelid = h.inhparent AND p.attname = a.attname
      WHERE a.attrelid IN (${TREE}) AND a.attrelid <> $1 AND a.attnum > 0 AND a.attnotnull AND NOT p.attnotnull`,
    [oid],
  );
  const checks = rows.map(({ check, bounds: of }) => (of === null ? check : `(${of}) IS NOT TRUE OR (${check})`));
  return [...checks, ...(await readRouting(client, oid))];
}

/** What says by its type which rows it takes; it compares the type of a value with that of the column. */
const BY_HASH = 'satisfies_hash_partition(';

/** That a row is within the bounds of the table, where it is a partition itself, and of one of its partitions. */
async function readRouting(client: pg.ClientBase, oid: number): Promise<readonly string[]> {
  const { rows } = await client.query<{ bounds: string | null; isRoot: boolean; divided: boolean }>(
    `SELECT nullif(pg_catalog.pg_get_partition_constraintdef(c.oid), '') AS bounds, c.oid = $1 AS "isRoot", c.relkind = 'p' AS divided
       FROM pg_catalog.pg_class c WHERE c.oid IN (${TREE}) AND (c.oid = $1 OR c.relkind <> 'p')`,
    [oid],
  );
  const own = rows.find(({ isRoot }) => isRoot);
  const parts = own?.divided === true ? rows.filter(({ isRoot }) => !isRoot) : rows;
  if (parts.some(({ bounds: of }) => of === null || of.includes(BY_HASH))) return [];
  return [parts.map(({ bounds: of }) => `(${of})`).join(' OR ') || 'false'];
}

/** Of the table and its partitions, the table's own first. PostgreSQL 14 takes those that partitions have from their table for its own. */
export async function readTriggers(client: pg.ClientBase, oid: number): Promise<readonly TableTrigger[]> {
  const { rows } = await client.query<TableTrigger>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS on, g.tgname::text AS name,
            CASE g.tgenabled WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END AS enable
       FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE g.tgrelid IN (${TREE}) AND g.tgenabled <> 'D'
        AND (NOT g.tgisinternal OR (g.tgparentid <> 0 AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_constraint k WHERE k.oid = g.tgconstraint AND k.contype = 'f')))
      ORDER BY c.oid = $1::oid DESC, 1, 2`,
    [oid],
  );
  return rows;
}

async function readForeignKeys(
  client: pg.ClientBase,
  oid: number,
): Promise<Pick<TableFacts, 'referencedBy' | 'refersTo' | 'foreignKeys'>> {
  const columns = (numbers: string, of: string): string =>
    `ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(${numbers}) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = ${of} AND a.attnum = k.attnum ORDER BY k.place)`;
  const operators = `ARRAY(SELECT pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname)
                    FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY AS k (operator, place)
                    JOIN pg_catalog.pg_operator o ON o.oid = k.operator JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
                   ORDER BY k.place)`;
  // Rows may refer to nothing where the server does not look (PostgreSQL 18).
  const enforced = "pg_catalog.to_jsonb(f) ->> 'conenforced' IS DISTINCT FROM 'false'";
  const referencing = await client.query<ReferencingKey>(
    `SELECT pg_catalog.json_build_object('schema', n.nspname, 'table', c.relname) AS table,
            ${columns('f.conkey', 'f.conrelid')} AS columns, ${columns('f.confkey', 'f.confrelid')} AS "refersTo",
            f.confdeltype::text AS "onDelete", f.confupdtype::text AS "onUpdate",
            ${operators} AS equals
       FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE f.contype = 'f' AND f.confrelid IN (${TREE}) AND ${enforced}
        -- Of a key to a partitioned table each partition has a copy, and so has each partition that refers to it: only the one above counts.
        AND (f.conparentid = 0 OR NOT EXISTS (
              SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = f.conparentid AND p.confrelid IN (${TREE}))
            AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_constraint p JOIN pg_catalog.pg_inherits h ON h.inhparent = p.conrelid
               WHERE h.inhrelid = f.conrelid AND p.contype = 'f' AND p.confrelid = f.confrelid))
      ORDER BY n.nspname, c.relname, f.conname`,
    [oid],
  );
  const referred = await client.query<ForeignKey>(
    `SELECT pg_catalog.json_build_object('schema', n.nspname, 'table', c.relname) AS table,
            ${columns('f.conkey', 'f.conrelid')} AS columns, ${columns('f.confkey', 'f.confrelid')} AS "refersTo",
            ${operators} AS equals, coalesce((pg_catalog.to_jsonb(f) ->> 'conperiod')::boolean, false) AS period,
            ${bounds('f.conrelid')} AS condition
       FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.confrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE f.contype = 'f' AND f.conrelid IN (${TREE}) AND ${enforced} AND (f.conparentid = 0 OR NOT EXISTS (
              SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = f.conparentid AND p.conrelid IN (${TREE})))
      ORDER BY n.nspname, c.relname, f.conname`,
    [oid],
  );
  const tables = new Map(referred.rows.map(({ table }) => [statementTable(table), table]));
  return { referencedBy: referencing.rows, refersTo: [...tables.values()], foreignKeys: referred.rows };
}

async function readSequences(client: pg.ClientBase, oid: number): Promise<TableFacts['sequences']> {
  const { rows } = await client.query<{ column: string; sequence: string }>(
    `SELECT a.attname::text AS column, pg_catalog.format('%I.%I', n.nspname, s.relname) AS sequence
       FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
       JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
       JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
       JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0 AND NOT q.seqcycle
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid = $1 AND d.deptype IN ('a', 'i') ORDER BY 1, 2`,
    [oid],
  );
  return rows;
}

/**
 * Functions in its triggers, checks, indexes, defaults of generated columns and domains. What a superuser owns is trusted, and so is all
 * that it calls.
 */
async function readForeignCode(client: pg.ClientBase, oid: number): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `WITH tree AS (${TREE}),
     user_of AS (
       SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass AS class, oid FROM pg_catalog.pg_trigger WHERE tgrelid IN (SELECT oid FROM tree) AND NOT tgisinternal
       UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint WHERE conrelid IN (SELECT oid FROM tree)
       UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, indexrelid FROM pg_catalog.pg_index WHERE indrelid IN (SELECT oid FROM tree)
       UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, oid FROM pg_catalog.pg_attrdef WHERE adrelid IN (SELECT oid FROM tree)
       UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid FROM pg_catalog.pg_constraint k
         WHERE k.contypid IN (SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid IN (SELECT oid FROM tree) AND attnum > 0))
     SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, p.proname) AS name
       FROM user_of u JOIN pg_catalog.pg_depend d ON d.classid = u.class AND d.objid = u.oid
        AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
       JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
       JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
      WHERE NOT r.rolsuper ORDER BY 1 LIMIT 20`,
    [oid],
  );
  return rows.map(({ name }) => name);
}
