import type { ConnectionConfig } from '../../domain/config.js';
import { withClient } from '../connection/with-client.js';

/** So many keys are fetched at once. */
const PAGE = 5000;

/** Longest time of one statement, in ms: sorting the keys of a big table takes minutes, a lock takes for ever. */
const LONGEST_MS = 600_000;

export interface NamedKey {
  readonly key: string;
  /** How many rows name it. */
  readonly rows: number;
}

/**
 * Gives `use` the keys that a query names in its first column, in the order of their UTF-8 bytes as S3 lists them, a
 * page in memory at a time. Reads only; the database's own search_path counts, as it does for applications.
 * @throws RepriseError as {@link withClient}
 */
export function withNamedKeys<T>(
  connection: ConnectionConfig,
  database: string,
  query: string,
  use: (keys: AsyncIterable<NamedKey>) => Promise<T>,
): Promise<T> {
  // On lines of its own: a comment at the query's end must not take the bracket with it.
  const keys = `DECLARE named NO SCROLL CURSOR FOR SELECT key::text AS key, count(*)::float8 AS rows FROM (\n${query.replace(/;\s*$/, '')}\n) AS named (key) WHERE key IS NOT NULL GROUP BY 1 ORDER BY convert_to(key::text, 'UTF8')`;
  return withClient(
    connection,
    database,
    async (client) => {
      await client.query('BEGIN READ ONLY');
      // The extended protocol takes one statement only: no second one can hide behind a semicolon.
      const declare: { text: string; queryMode: 'extended' } = { text: keys, queryMode: 'extended' };
      await client.query(declare);
      return use(pages(async () => (await client.query<NamedKey>(`FETCH ${PAGE} FROM named`)).rows));
    },
    { statementTimeoutMs: LONGEST_MS, searchPath: 'database' },
  );
}

async function* pages(next: () => Promise<readonly NamedKey[]>): AsyncGenerator<NamedKey> {
  for (let rows = await next(); rows.length > 0; rows = await next()) yield* rows;
}
