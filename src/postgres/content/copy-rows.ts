import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';

const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;

/** The column of `pg_class c` that is read to count rows: the smallest that is stored; null where it has none. */
export const SMALLEST_COLUMN = `(SELECT a.attname::text FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  ORDER BY a.attlen < 0, a.attlen, a.attnum LIMIT 1)`;

/**
 * Counts a table's rows by COPY. A query would be planned, and planning runs code of the table's owner with our rights:
 * functions in the expressions of its indexes and statistics. COPY plans nothing, and reads no view that took the
 * table's place meanwhile. A row of its text format never holds a newline.
 * @param column the one that is read; null where the table has none
 */
export async function countRows(
  client: pg.ClientBase,
  schema: string,
  table: string,
  column: string | null,
): Promise<number> {
  let rows = 0;
  // Bytes as the server has them: SQL_ASCII cannot be converted, and a newline is a newline in all of its encodings.
  for await (const chunk of copied(client, schema, table, column, " WITH (ENCODING 'SQL_ASCII')"))
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) rows++;
  return rows;
}

interface CountedRelation {
  readonly schema: string;
  readonly table: string;
  readonly column: string | null;
}

/**
 * What `SELECT count(*) FROM [ONLY] table` gives, without planning it. Null where it is no table, or has children that
 * inherit.
 */
export async function countTable(
  client: pg.ClientBase,
  schema: string,
  table: string,
  only: boolean,
): Promise<number | null> {
  const { rows } = await client.query<{ kind: string; parent: boolean; oid: number }>(
    `SELECT c.relkind::text AS kind, c.oid AS oid,
            EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS parent
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, table],
  );
  const [found] = rows;
  if (found === undefined || !['r', 'p'].includes(found.kind)) return null;
  if (found.kind === 'r' && found.parent && !only) return null;
  if (found.kind === 'p' && only) return 0;
  const leaves = await client.query<CountedRelation & { kind: string }>(
    `SELECT n.nspname::text AS schema, c.relname::text AS "table", c.relkind::text AS kind, ${SMALLEST_COLUMN} AS "column"
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1) WHERE isleaf)`,
    [found.oid],
  );
  const tables = leaves.rows.filter(({ kind }) => kind !== 'p');
  if (tables.some(({ kind }) => kind !== 'r')) return null;
  let total = 0;
  for (const one of tables) total += await countRows(client, one.schema, one.table, one.column);
  return total;
}

/** The values of a table's column by COPY, each with its rows; null for NULL. What holds for {@link countRows} holds here. */
export async function* copiedValues(
  client: pg.ClientBase,
  schema: string,
  table: string,
  column: string,
): AsyncGenerator<string | null> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of copied(client, schema, table, column)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      yield valueOf(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
}

function copied(
  client: pg.ClientBase,
  schema: string,
  table: string,
  column: string | null,
  options = '',
): AsyncIterable<Buffer> {
  const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  const columns = column === null ? '' : ` (${pg.escapeIdentifier(column)})`;
  return client.query(copyTo(`COPY ${name}${columns} TO STDOUT${options}`));
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** One value of COPY's text format (manual: COPY, Text Format). */
function valueOf(bytes: Buffer): string | null {
  if (!bytes.includes(BACKSLASH)) return bytes.toString('utf8');
  const text = bytes.toString('utf8');
  return text === String.raw`\N`
    ? null
    : text.replaceAll(/\\(.)/g, (_, escaped: string) => ESCAPES[escaped] ?? escaped);
}
