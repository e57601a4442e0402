import type pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import { withConfiguredQuery } from './configured-query.js';
import type { QuerySource } from './configured-query.js';
import { copiedValues } from './copy-rows.js';

/** So many keys are fetched at once. */
const PAGE = 5000;

/** Longest time of one statement, in ms: sorting the keys of a big table takes minutes, a lock takes for ever. */
const LONGEST_MS = 600_000;

export interface NamedKey {
  readonly key: string;
  /** How many rows name it. */
  readonly rows: number;
}

/** Keys that are sorted in memory; more take a role that may have them sorted by the server. */
const MOST_SORTED = 2_000_000;

/**
 * Gives `use` the keys that a query names in its first column, in the order of their UTF-8 bytes as S3 lists them, a
 * page in memory at a time. Reads only, and runs as no superuser.
 * @throws RepriseError as {@link withConfiguredQuery}
 */
export function withNamedKeys<T>(
  source: QuerySource,
  database: string,
  query: string,
  use: (keys: AsyncIterable<NamedKey>) => Promise<T>,
): Promise<T> {
  return withConfiguredQuery(source, {
    database,
    query,
    run: (client) => keysOf(client, query, use),
    runUnplanned: (client) => columnKeys(client, query, use),
    statementTimeoutMs: LONGEST_MS,
  });
}

async function keysOf<T>(
  client: pg.Client,
  query: string,
  use: (keys: AsyncIterable<NamedKey>) => Promise<T>,
): Promise<T> {
  // On lines of its own: a comment at the query's end must not take the bracket with it.
  const keys = `DECLARE named NO SCROLL CURSOR FOR SELECT key::text AS key, count(*)::float8 AS rows FROM (\n${query.replace(/;\s*$/, '')}\n) AS named (key) WHERE key IS NOT NULL GROUP BY 1 ORDER BY convert_to(key::text, 'UTF8')`;
  await client.query('BEGIN READ ONLY');
  // The extended protocol takes one statement only: no second one can hide behind a semicolon.
  const declare: { text: string; queryMode: 'extended' } = { text: keys, queryMode: 'extended' };
  await client.query(declare);
  return use(pages(async () => (await client.query<NamedKey>(`FETCH ${PAGE} FROM named`)).rows));
}

const name = String.raw`(?:"((?:[^"]|"")+)"|([A-Za-z_][\w$]*))`;
const oneColumn = new RegExp(
  String.raw`^\s*SELECT\s+${name}\s+FROM\s+${name}\s*\.\s*${name}\s*(?:WHERE\s+${name}\s+IS\s+NOT\s+NULL\s*)?;?\s*$`,
  'i',
);

/** `SELECT column FROM schema.table`, read by COPY and sorted here; null for any other query. */
async function columnKeys<T>(
  client: pg.Client,
  query: string,
  use: (keys: AsyncIterable<NamedKey>) => Promise<T>,
): Promise<T | null> {
  const parts = oneColumn.exec(query);
  const [column, schema, table, tested = column] = [1, 3, 5, 7].map(
    (index) => parts?.[index]?.replaceAll('""', '"') ?? parts?.[index + 1]?.toLowerCase(),
  );
  if (column === undefined || schema === undefined || table === undefined || tested !== column) return null;
  const plain = await client.query(
    `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)`,
    [schema, table],
  );
  if (plain.rows.length === 0) return null;
  const rows = new Map<string, number>();
  for await (const key of copiedValues(client, schema, table, column)) {
    if (key !== null) rows.set(key, (rows.get(key) ?? 0) + 1);
    if (rows.size > MOST_SORTED) throw tooMany();
  }
  const sorted = [...rows.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return use(
    (async function* () {
      for (const key of sorted) yield { key, rows: rows.get(key) ?? 0 };
    })(),
  );
}

function tooMany(): RepriseError {
  return new RepriseError(
    'privilege-missing',
    `there are more than ${MOST_SORTED} keys, and the role of the connection is a superuser, which has the server sort nothing of others`,
    'add checks_role: to the cluster, a login that may read them',
  );
}

async function* pages(next: () => Promise<readonly NamedKey[]>): AsyncGenerator<NamedKey> {
  for (let rows = await next(); rows.length > 0; rows = await next()) yield* rows;
}
