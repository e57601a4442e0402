import type pg from 'pg';
import type { TableCount } from '../../../domain/backup/backup.js';
import { RepriseError } from '../../../domain/errors.js';
import { databaseTextReader, inDatabaseBytes } from '../../../postgres/content/encoding.js';
import { summarize } from '../repository/verify.js';

interface Written {
  readonly schema: string;
  readonly table: string;
  readonly inserted: number;
  readonly changed: number;
}

/**
 * Rows and large objects come once, by COPY and by whole pages. What was inserted besides, updated or deleted since, code
 * in the dump has written: the server counts it, whoever wrote it and whatever is left of it.
 * @param contents rows that are there, of every table
 * @throws RepriseError `check-failed`
 */
export async function refuseRewrittenRows(client: pg.Client, contents: readonly TableCount[]): Promise<void> {
  const written = new Map((await writtenRows(client)).map((one) => [JSON.stringify([one.schema, one.table]), one]));
  const rewritten = contents
    .filter(({ schema, table, rows }) => {
      const found = written.get(JSON.stringify([schema, table]));
      return found === undefined ? rows > 0 : found.changed > 0 || found.inserted !== rows;
    })
    .map(({ schema, table }) => `${schema}.${table}`);
  if (await largeObjectsRewritten(client)) rewritten.push('large objects');
  if (rewritten.length === 0) return;
  throw new RepriseError(
    'check-failed',
    `rows were changed after they were restored, by code that is in the dump: ${summarize(rewritten)}`,
    'see which check, domain or default of these tables changes rows; where the server crashed meanwhile, its counters are lost: try again. The live database was not touched',
  );
}

async function writtenRows(client: pg.Client): Promise<readonly Written[]> {
  const read = await databaseTextReader(client);
  const { rows } = await client.query<Written>(
    `SELECT ${inDatabaseBytes('schemaname')} AS schema, ${inDatabaseBytes('relname')} AS "table", n_tup_ins::float8 AS inserted,
            (n_tup_upd + n_tup_del)::float8 AS changed
       FROM pg_catalog.pg_stat_user_tables`,
  );
  return rows.map((one) => ({ ...one, schema: read(one.schema), table: read(one.table) }));
}

/** pg_restore writes whole pages, those of one object in one transaction. */
async function largeObjectsRewritten(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ rewritten: boolean }>(
    `SELECT coalesce((SELECT n_tup_upd + n_tup_del > 0 FROM pg_catalog.pg_stat_sys_tables
                       WHERE relid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass), false)
         OR EXISTS (SELECT FROM pg_catalog.pg_largeobject GROUP BY loid HAVING count(DISTINCT xmin::text) > 1) AS rewritten`,
  );
  return rows[0]?.rewritten ?? true;
}
