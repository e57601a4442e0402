import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { TableState } from '../../domain/table/locate.js';
import { scopeTest } from '../../domain/table/scope.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { visible } from '../../domain/text/text.js';
import { holdsFor, readCountQuery } from '../../domain/table/count-query.js';
import { scopeAsWritten } from '../compare/scope-values.js';
import { withClient } from '../connection/with-client.js';
import { type QuerySource, withConfiguredQuery } from './configured-query.js';
import { copiedValues, countTable } from './copy-rows.js';
import { SAME_TEXT } from './row-hash.js';

/** Whether a table has so many rows; counted by COPY, so that nothing of its owner's runs. A table that is not there has none. */
export async function hasRows(
  connection: ConnectionConfig,
  database: string,
  table: TableName,
  least: number,
): Promise<TableState> {
  return inDatabase(connection, database, async (client) => {
    const rows = await countTable(client, table.schema, table.table, false);
    if (rows !== null) return { holds: rows >= least, rows, figure: `${rows} rows` };
    if (await isThere(client, table)) throw noTable(table);
    return GONE;
  });
}

/**
 * Whether a row has this value in a column, in whatever form people write it (an UUID in capitals, 007, another time zone): values are compared in the
 * form in which PostgreSQL writes them, so that no operator of somebody's runs. The whole column is read.
 * @throws RepriseError `usage` for what is no value of the column
 */
export async function hasValue(
  connection: ConnectionConfig,
  database: string,
  table: TableName,
  { column, value }: { readonly column: string; readonly value: string },
): Promise<TableState> {
  return inDatabase(connection, database, async (client) => {
    const leaves = await leavesOf(client, table, column);
    if (leaves === null) return GONE;
    const isWanted = await testFor(client, { column, value }, leaves);
    for (const leaf of leaves) {
      const values = copiedValues(client, leaf.schema, leaf.table, column);
      for await (const one of values) if (isWanted(one)) return { holds: true, figure: 'the row is there' };
    }
    return { holds: false, figure: 'the row is not there' };
  });
}

/**
 * Whether what COPY writes of a column is the value that is searched for, in whatever form people write it.
 * @param client in a transaction with the settings of {@link SAME_TEXT}
 * @throws RepriseError `usage` for what is no value of the column, and for a column that the table does not store
 */
export async function valueTest(
  client: pg.ClientBase,
  table: TableName,
  searched: { readonly column: string; readonly value: string },
): Promise<(text: string | null) => boolean> {
  return testFor(client, searched, (await leavesOf(client, table, searched.column)) ?? []);
}

async function testFor(
  client: pg.ClientBase,
  { column, value }: { readonly column: string; readonly value: string },
  leaves: readonly RowsAt[],
): Promise<(text: string | null) => boolean> {
  const type = leaves[0]?.type ?? 'text';
  const wanted = await scopeAsWritten(client, [{ column, in: [value] }], () => type);
  const holds = scopeTest(wanted, [{ name: column, type }]);
  return (text) => holds([text]);
}

/**
 * Whether a query of the configuration gives true. A query that only counts a table is answered without planning it, where no role is
 * there to run it.
 * @throws RepriseError what {@link withConfiguredQuery} throws; `config-invalid` where it gives no boolean
 */
export async function queryHolds(
  source: QuerySource,
  asked: { readonly database: string; readonly query: string; readonly timeoutSeconds: number; readonly name: string },
): Promise<TableState> {
  const { database, query, timeoutSeconds } = asked;
  return withConfiguredQuery(source, {
    ...{ database, query, statementTimeoutMs: timeoutSeconds * 1000 },
    run: async (client) => {
      // The extended protocol takes one statement only: no second one can hide behind a semicolon.
      const extended = { text: query, rowMode: 'array' as const, queryMode: 'extended' as const };
      const { rows, fields } = await client.query<unknown[]>(extended);
      const value = rows[0]?.[0];
      if (rows.length !== 1 || fields.length !== 1 || typeof value !== 'boolean') throw noBoolean(asked.name);
      return { holds: value, figure: value ? 'the query gives true' : 'the query gives false' };
    },
    runUnplanned: async (client) => {
      const count = readCountQuery(query);
      const rows = count === null ? null : await countTable(client, count.schema, count.table, count.only);
      const holds = count === null || rows === null ? null : holdsFor(count, rows);
      return holds === null || rows === null ? null : { holds, rows, figure: `${rows} rows` };
    },
  });
}

function noBoolean(name: string): RepriseError {
  return new RepriseError(
    'config-invalid',
    `the query of the invariant ${name} does not give one row with true or false`,
    'write it so: SELECT count(*) > 1000 FROM schema.table',
  );
}

const GONE: TableState = { holds: false, absent: true, figure: 'the table is not there' };

/** A database that is not there holds no table. */
async function inDatabase(
  connection: ConnectionConfig,
  database: string,
  look: (client: pg.Client) => Promise<TableState>,
): Promise<TableState> {
  return withClient(connection, database, async (client) => {
    await client.query(`BEGIN READ ONLY; ${SAME_TEXT}; SET LOCAL search_path TO pg_catalog`);
    // It ends with the session, which may still be in the middle of a COPY.
    return look(client);
  });
}

async function isThere(client: pg.ClientBase, { schema, table }: TableName): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, table],
  );
  return rows.length > 0;
}

/** Where rows of a table are, and the type of the column there: of a domain, the one below it. */
interface RowsAt extends TableName {
  readonly type: string | null;
}

/** What holds the rows of a table; null where there is none. COPY of a partitioned table itself is refused. */
async function leavesOf(client: pg.ClientBase, table: TableName, column: string): Promise<readonly RowsAt[] | null> {
  const { rows } = await client.query<RowsAt & { kind: string; stored: boolean }>(
    `WITH RECURSIVE root AS (
       SELECT c.oid, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2),
     base AS (
       SELECT a.attrelid, a.atttypid AS type, a.atttypmod AS modifier FROM root, pg_catalog.pg_attribute a
        WHERE a.attrelid = root.oid AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped
       UNION ALL
       SELECT b.attrelid, t.typbasetype, t.typtypmod FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
     SELECT n.nspname::text AS schema, c.relname::text AS "table", c.relkind::text AS kind,
            (SELECT pg_catalog.format_type(b.type, b.modifier) FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype <> 'd') AS type,
            EXISTS (SELECT FROM pg_catalog.pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated IN ('', 's')) AS stored
       FROM root JOIN pg_catalog.pg_class c
         ON (root.relkind <> 'p' AND c.oid = root.oid)
         OR (root.relkind = 'p' AND c.relkind <> 'p' AND c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(root.oid)))
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`,
    [table.schema, table.table, column],
  );
  if (rows.length === 0) return (await isThere(client, table)) ? [] : null;
  if (rows.some(({ kind }) => kind !== 'r')) throw noTable(table);
  if (rows.some(({ stored }) => !stored))
    throw new RepriseError(
      'usage',
      `table ${visible(formatTableName(table))} stores no column ${visible(column)}`,
      'name a column of the table, as \\d in psql shows it: --key COLUMN=VALUE',
    );
  return rows;
}

function noTable(table: TableName): RepriseError {
  return new RepriseError(
    'usage',
    `${visible(formatTableName(table))} is no table whose own rows can be read`,
    'name an ordinary or a partitioned table: views, foreign tables and tables with children that inherit are not searched',
  );
}
