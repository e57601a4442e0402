import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ComparedColumn, TableKey, TableShape } from '../../domain/table/compare.js';
import { formatTableName } from '../../domain/table/table-name.js';
import type { TableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { sqlState } from '../connection/database-errors.js';
import { textDecoder } from '../content/encoding.js';
import { SAME_TEXT } from '../content/row-hash.js';
import { HashedText, ServerHash } from './server-hash.js';

/** One side of a comparison, in a transaction of its own: everything is read in its one snapshot. */
export interface TableSide {
  readonly client: pg.ClientBase;
  readonly shape: TableShape;
  /** Quoted, with `ONLY` where children that inherit are left out. */
  readonly from: string;
  /** Tables in which the rows are, quoted: the partitions, or the table itself. */
  readonly leaves: readonly string[];
  readonly estimatedRows: number;
  readonly encoding: string;
  readonly decode: (bytes: Buffer) => string;
  /**
   * Whether queries are planned on the server. Planning runs functions of the table's owner, in expressions of indexes, statistics and partition keys, with the
   * rights of the session: not as a superuser, but where the table has no such expressions and nothing can add one, on a server whose replay is paused.
   */
  readonly plansQueries: boolean;
}

/** A table that is held exclusively for so long is not waited for. */
const LOCK_WAIT = '60s';
const [UNDEFINED_TABLE, UNDEFINED_SCHEMA, WRONG_TYPE, LOCK_NOT_AVAILABLE] = ['42P01', '3F000', '42809', '55P03'];
/** Backslashes in our statements are characters, and names of tables and types in values have quotes where they need them. */
const AS_WRITTEN = 'SET LOCAL standard_conforming_strings = on; SET LOCAL quote_all_identifiers = off';
/** The leaves of a big table fit into this; what the planner would have compiled runs once. */
const FOR_LEAVES = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL constraint_exclusion TO off";
/** So that a statement ends soon after its session: from PostgreSQL 14 on. */
const CHECKED = `SELECT CASE WHEN current_setting('client_connection_check_interval', true) IS NOT NULL
                             THEN set_config('client_connection_check_interval', '2s', true) END`;
/** What `hashtextextended` gives on other machines would not be what we compute. */
const HASHED = 'reprise';

/**
 * Runs a function with the table of one side, in a read-only transaction whose snapshot is taken after the table was locked against changes
 * of its definition. The client has no transaction open.
 * @param name of the side, for messages
 * @throws RepriseError `not-found`; `capability-missing` for what is no table or has rows elsewhere; `privilege-missing` where row security
 *   would hide rows; `busy` where the table is locked
 */
export async function withTableSide<T>(
  client: pg.ClientBase,
  table: TableName,
  name: string,
  fn: (side: TableSide) => Promise<T>,
): Promise<T> {
  await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await client.query(
      `SET LOCAL row_security = off; SET LOCAL search_path = ''; ${SAME_TEXT}; ${AS_WRITTEN}; SET LOCAL lock_timeout = '${LOCK_WAIT}'; ${FOR_LEAVES}`,
    );
    await lockTable(client, table, name);
    await client.query(CHECKED);
    return await fn(await readSide(client, table, name));
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}

const quoted = ({ schema, table }: TableName): string => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;

/** Before the snapshot is taken: a TRUNCATE between the two would show an empty table. */
async function lockTable(client: pg.ClientBase, table: TableName, name: string): Promise<void> {
  try {
    await client.query(`LOCK TABLE ${quoted(table)} IN ACCESS SHARE MODE`);
  } catch (error) {
    const shown = visible(formatTableName(table));
    switch (sqlState(error)) {
      case UNDEFINED_TABLE:
      case UNDEFINED_SCHEMA:
        throw new RepriseError(
          'not-found',
          `there is no table ${shown} ${name}`,
          'see its name in psql with \\dt *.*; names are read as PostgreSQL reads them, so quote those with capitals',
        );
      case WRONG_TYPE:
        throw noTable(shown);
      case LOCK_NOT_AVAILABLE:
        throw new RepriseError(
          'busy',
          `table ${shown} ${name} is locked by another session for more than ${LOCK_WAIT}`,
          'see pg_locks for who holds it, and compare again when it is free',
        );
      default:
        throw error;
    }
  }
}

const noTable = (shown: string): RepriseError =>
  new RepriseError(
    'capability-missing',
    `${shown} is no table with rows of its own`,
    'name an ordinary or a partitioned table',
  );

interface Relation {
  readonly oid: number;
  readonly kind: string;
  readonly partitioned: string | null;
  readonly hidden: boolean;
  readonly recovery: boolean;
  /** No expression of its owner's is planned with it, and no other session can change that. */
  readonly plain: boolean;
  readonly superuser: boolean;
  readonly encoding: string;
  readonly hash: string;
}

async function readSide(client: pg.ClientBase, table: TableName, name: string): Promise<TableSide> {
  const relation = await readRelation(client, table);
  const shown = visible(formatTableName(table));
  if (relation === undefined || !['r', 'p'].includes(relation.kind)) throw noTable(shown);
  if (relation.hidden)
    throw new RepriseError(
      'privilege-missing',
      `row security hides rows of table ${shown} ${name} from the role of the connection`,
      'connect as a role with BYPASSRLS, or as the owner of the table where row security is not forced',
    );
  const leaves = await readLeaves(client, relation.oid);
  refuseLeaves(leaves, relation, shown, name);
  return {
    client,
    shape: {
      columns: await readColumns(client, relation.oid),
      keys: await readKeys(client, relation.oid),
      partitioned: relation.partitioned,
    },
    from: `${relation.kind === 'p' ? '' : 'ONLY '}${quoted(table)}`,
    leaves: leaves.map((leaf) => leaf.name),
    estimatedRows: leaves.reduce((sum, { rows }) => sum + rows, 0),
    encoding: relation.encoding,
    decode: textDecoder(relation.encoding),
    plansQueries: (!relation.superuser || relation.plain) && relation.hash === hashHere(),
  };
}

function hashHere(): string {
  const [hash, text] = [new ServerHash(), new HashedText()];
  text.bytes.set(Buffer.from(HASHED));
  hash.hash(text, HASHED.length, 1);
  return String(hash.value);
}

/** Of a table, its partitions, and what it is a partition of. */
const PLAIN = `SELECT NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = ANY (t.oids) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
                  AND NOT EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = ANY (t.oids) AND to_jsonb(s) ->> 'stxexprs' IS NOT NULL)
                  AND NOT EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = ANY (t.oids) AND p.partexprs IS NOT NULL)
             FROM (SELECT ARRAY(SELECT c.oid UNION SELECT relid::oid FROM pg_partition_tree(c.oid::regclass)
                                UNION SELECT relid::oid FROM pg_partition_ancestors(c.oid::regclass)) AS oids) t`;

async function readRelation(client: pg.ClientBase, { schema, table }: TableName): Promise<Relation | undefined> {
  const { rows } = await client.query<Relation>(
    `SELECT c.oid, c.relkind::text AS kind, pg_get_partkeydef(c.oid) AS partitioned, row_security_active(c.oid) AS hidden,
            pg_is_in_recovery() AS recovery, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() AND (${PLAIN}) ELSE false END AS plain, getdatabaseencoding()::text AS encoding,
            hashtextextended('${HASHED}' COLLATE "C", 1)::text AS hash,
            EXISTS (SELECT FROM pg_roles WHERE rolname IN (current_user, session_user) AND rolsuper) AS superuser
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, table],
  );
  return rows[0];
}

interface Leaf {
  readonly name: string;
  readonly foreign: boolean;
  readonly unlogged: boolean;
  readonly rows: number;
}

/** Estimated as the planner does: what the last ANALYZE counted in a page, for as many pages as there are now. */
async function readLeaves(client: pg.ClientBase, oid: number): Promise<readonly Leaf[]> {
  const { rows } = await client.query<Leaf>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind = 'f' AS "foreign", c.relpersistence = 'u' AS unlogged,
            (CASE WHEN c.relpages > 0 AND c.reltuples >= 0 THEN c.reltuples / c.relpages ELSE 60 END
              * CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) / current_setting('block_size')::float8 ELSE 0 END)::float8 AS rows
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = $1 AND c.relkind = 'r' OR c.oid IN (SELECT relid FROM pg_partition_tree($1) WHERE isleaf) AND c.relkind <> 'p'
      ORDER BY 1`,
    [oid],
  );
  return rows;
}

function refuseLeaves(leaves: readonly Leaf[], { recovery }: Relation, shown: string, name: string): void {
  const away = leaves.find((leaf) => leaf.foreign);
  if (away !== undefined)
    throw new RepriseError(
      'capability-missing',
      `partition ${visible(away.name)} of ${shown} is on another server`,
      'compare, or repair, the other partitions one by one: each is a table',
    );
  const unlogged = leaves.find((leaf) => leaf.unlogged);
  if (recovery && unlogged !== undefined)
    throw new RepriseError(
      'capability-missing',
      `table ${visible(unlogged.name)} ${name} is unlogged: a physical backup has none of its rows`,
      'compare with a dump',
    );
}

async function readColumns(client: pg.ClientBase, oid: number): Promise<readonly ComparedColumn[]> {
  const { rows } = await client.query<ComparedColumn>(
    `SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
            (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid) AS labels,
            CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format('%I.%I', n.nspname, l.collname)
               FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END AS collation,
            a.attnotnull AS "notNull",
            CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity,
            CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated
       FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [oid],
  );
  return rows;
}

/** Unique indexes whose columns are never NULL; the primary key first. */
async function readKeys(client: pg.ClientBase, oid: number): Promise<readonly TableKey[]> {
  const { rows } = await client.query<TableKey>(
    `SELECT i.indisprimary AS "primary",
            ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
                   WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
       FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place)
                          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
                         WHERE k.place <= i.indnkeyatts AND NOT a.attnotnull)
      ORDER BY i.indisprimary DESC, i.indnkeyatts, c.relname`,
    [oid],
  );
  return rows;
}
