import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { inClientBytes, sendBytes } from './encoding.js';

const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;

/** Name of the table `pg_class c` in `pg_namespace n` for a statement, in hex. */
export const TABLE_NAME = inClientBytes(`pg_catalog.format('%I.%I', n.nspname, c.relname)`);

/**
 * What `COPY` reads to count the rows of `pg_class c` in `pg_namespace n`, in hex: the table, and the smallest of its columns that
 * are stored, if it has one.
 */
export const COUNTED_BY = inClientBytes(`pg_catalog.format('%I.%I', n.nspname, c.relname) || coalesce((
  SELECT pg_catalog.format(' (%I)', a.attname) FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   ORDER BY a.attlen < 0, a.attlen, a.attnum LIMIT 1), '')`);

/**
 * Counts a table's rows by COPY. A query would be planned, and planning runs code of the table's owner with our rights:
 * functions in the expressions of its indexes and statistics. COPY plans nothing, and reads no view that took the
 * table's place meanwhile. A row of its text format never holds a newline.
 * @param countedBy as {@link COUNTED_BY} gives it
 */
export async function countRows(client: pg.ClientBase, countedBy: string): Promise<number> {
  let rows = 0;
  for await (const chunk of copyTable(client, countedBy))
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) rows++;
  return rows;
}

/**
 * What a table holds, in COPY's text format and in bytes as the server has them: SQL_ASCII cannot be converted, and a newline is a
 * newline in all of its encodings.
 * @param name as {@link TABLE_NAME} or {@link COUNTED_BY} gives it
 */
export function copyTable(client: pg.ClientBase, name: string): ReturnType<typeof copyTo> {
  const statement = ['COPY ', Buffer.from(name, 'hex'), " TO STDOUT WITH (ENCODING 'SQL_ASCII')"];
  return client.query(copyBytes(Buffer.concat(statement.map((part) => Buffer.from(part)))));
}

/** A `COPY ... TO STDOUT` whose names are bytes. */
function copyBytes(statement: Buffer): ReturnType<typeof copyTo> {
  const stream = copyTo('');
  const { submit } = stream;
  stream.submit = (connection) => {
    const sending = {
      query: { value: () => sendBytes(connection as unknown as Parameters<typeof sendBytes>[0], statement) },
    };
    submit.call(stream, Object.create(connection, sending) as typeof connection);
  };
  return stream;
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
  const leaves = await client.query<{ kind: string; by: string }>(
    `SELECT c.relkind::text AS kind, ${COUNTED_BY} AS by
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1) WHERE isleaf)`,
    [found.oid],
  );
  const tables = leaves.rows.filter(({ kind }) => kind !== 'p');
  if (tables.some(({ kind }) => kind !== 'r')) return null;
  let total = 0;
  for (const one of tables) total += await countRows(client, one.by);
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
  const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  for await (const chunk of client.query(copyTo(`COPY ${name} (${pg.escapeIdentifier(column)}) TO STDOUT`))) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      yield valueOf(bytes.subarray(start, end));
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
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
