import pg from 'pg';
import { inSnapshot, released } from '../connection/snapshot.js';

/** What a table holds, in a form that does not depend on the order of its rows. */
export interface ContentHash {
  readonly rows: number;
  /** Sum over all rows of the first eight bytes of the MD5 of the row's text, each as a signed number; in decimal. */
  readonly hash: string;
}

/** The same values are the same text everywhere with these. */
const CANONICAL = `SET LOCAL "DateStyle" TO 'ISO, YMD'; SET LOCAL "IntervalStyle" TO 'postgres'; SET LOCAL "TimeZone" TO 'UTC';
  SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'; SET LOCAL lc_monetary TO 'C'; SET LOCAL xmloption TO 'content';
  SET LOCAL search_path TO pg_catalog; SET LOCAL quote_all_identifiers TO off`;
const LARGE_OBJECT_CHUNK = 8 * 1024 * 1024;
const LARGE_OBJECT_PAGE = 500;
/** INV_READ of the server's large object interface, and SEEK_END. */
const READ = 262144;
const SEEK_END = 2;

const sumOf = (text: string): string =>
  `coalesce(sum(('x' || substr(md5(${text}), 1, 16))::bit(64)::bigint::numeric), 0)::text`;

/**
 * Counts and hashes a table by SQL alone: MD5 of each row's text, summed, so that equal rows count as often as they are
 * there. It compares copies of the same data and is no protection against somebody who forges them. Children that
 * inherit are not included; of a partitioned table all partitions are.
 *
 * It plans a query and casts rows, so that code of the table's owner may run with the rights of the session: only for databases in which
 * nobody else owns anything, such as those of the demo. `countTables` runs none.
 */
export async function tableContentHash(client: pg.Client, schema: string, table: string): Promise<ContentHash> {
  return inSnapshot(client, () =>
    released(client, async () => {
      await client.query(CANONICAL);
      const name = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
      const kind = await client.query<{ partitioned: boolean }>(
        "SELECT relkind = 'p' AS partitioned FROM pg_class WHERE oid = $1::regclass",
        [name],
      );
      const only = kind.rows[0]?.partitioned === true ? '' : 'ONLY';
      const { rows } = await client.query<{ rows: string; hash: string }>(
        `SELECT count(*) AS rows, ${sumOf('(t.*)::text')} AS hash FROM ${only} ${name} t`,
      );
      return { rows: Number(rows[0]?.rows), hash: rows[0]?.hash ?? '' };
    }),
  );
}

/** The same for all large objects of the database: `rows` is their number; each counts with its oid. */
export async function largeObjectsHash(client: pg.Client): Promise<ContentHash> {
  return inSnapshot(client, async () => {
    let [last, rows, sum] = [0, 0, 0n];
    for (;;) {
      const page = await largeObjectsAfter(client, last);
      if (page === null) return { rows, hash: String(sum) };
      last = page.last;
      rows += page.count;
      sum += BigInt(page.hash);
    }
  });
}

interface LargeObjectPage {
  readonly last: number;
  readonly count: number;
  readonly hash: string;
}

/** Objects are read in pieces, and page by page, because each stays open until its (sub)transaction ends. */
async function largeObjectsAfter(client: pg.Client, after: number): Promise<LargeObjectPage | null> {
  return released(client, async () => {
    const { rows } = await client.query<{ last: string | null; count: string; hash: string }>(
      `WITH page AS MATERIALIZED (
         SELECT m.oid, lo_lseek64(lo_open(m.oid, ${READ}), 0, ${SEEK_END}) AS size
           FROM (SELECT oid FROM pg_largeobject_metadata WHERE oid > $1 ORDER BY oid LIMIT ${LARGE_OBJECT_PAGE}) m),
       piece AS (
         SELECT p.oid, o.start, md5(lo_get(p.oid, o.start, ${LARGE_OBJECT_CHUNK})) AS md5
           FROM page p, LATERAL generate_series(0::bigint, p.size, ${LARGE_OBJECT_CHUNK}) AS o(start))
       SELECT (SELECT max(oid) FROM page) AS last, (SELECT count(*) FROM page) AS count, ${sumOf("oid::text || '/' || start::text || '/' || md5")} AS hash
         FROM piece`,
      [after],
    );
    const row = rows[0];
    return row?.last == null ? null : { last: Number(row.last), count: Number(row.count), hash: row.hash };
  });
}
