import type pg from 'pg';
import type { ComparisonTerms, RowDifference } from '../../domain/table/compare.js';
import type { TableName } from '../../domain/table/table-name.js';
import { sqlState } from '../connection/database-errors.js';
import { EXACT_TYPES } from '../repair/table-facts.js';

/** Characters of rows that are kept until all have been seen; each row counts for so many besides. */
const [MOST_CHARACTERS, ROW_CHARACTERS] = [4 * 1024 * 1024, 200];
/** What a value of one side is no value of the type of the other with: class 22 of the manual's appendix of error codes. */
const DATA_EXCEPTION = /^22/;

interface KeyType {
  readonly name: string;
  /** For a statement, without a modifier, which would round or cut. */
  readonly type: string;
  readonly collate: string;
  readonly exact: boolean;
  /** Its values can be compared, and reading them runs no code but that of superusers. */
  readonly comparable: boolean;
}

/**
 * Makes one row that changed of a missing and an extra one whose keys are equal to the server, in another text: 1.0 and 1.00 of a `numeric`, 0 and -0,
 * names of a collation that knows no case.
 */
export class EqualKeys {
  /** Columns of the key whose values were told apart by their text, though equal ones may have several. */
  byText: readonly string[] = [];

  constructor(
    /** Of production, within its transaction. */
    private readonly client: pg.ClientBase,
    private readonly table: TableName,
    private readonly terms: ComparisonTerms,
  ) {}

  /** The other rows first. @param rows as a comparison by text gives them */
  async *pair(rows: AsyncIterable<RowDifference>): AsyncGenerator<RowDifference, void, undefined> {
    const types = await this.types();
    const inexact = types.filter(({ exact }) => !exact);
    this.byText = inexact.filter(({ comparable }) => !comparable).map(({ name }) => name);
    if (inexact.length === 0 || this.byText.length > 0) return yield* rows;
    let held: RowDifference[] = [];
    let room = MOST_CHARACTERS;
    for await (const row of rows) {
      if (row.kind === 'changed' || room < 0) {
        yield row;
        continue;
      }
      held.push(row);
      room -= sizeOf(row);
      if (room >= 0) continue;
      yield* held;
      held = [];
    }
    const pairs = room < 0 ? null : await this.pairsOf(held, types);
    if (pairs === null) this.byText = inexact.map(({ name }) => name);
    else held = this.merged(held, pairs);
    yield* held;
  }

  private merged(held: readonly RowDifference[], pairs: ReadonlyMap<RowDifference, RowDifference>): RowDifference[] {
    const taken = new Set(pairs.values());
    return held.flatMap((row): RowDifference[] => {
      const { before } = row;
      const { after, key } = pairs.get(row) ?? {};
      if (before === null || after == null || key === undefined) return taken.has(row) ? [] : [row];
      const columns = this.terms.columns.filter((_, at) => before[at] !== after[at]);
      return [{ kind: 'changed', key, before, after, columns, times: 1 }];
    });
  }

  /** Which missing row is which extra one; null where the server cannot read the keys of one side as its own. */
  private async pairsOf(
    held: readonly RowDifference[],
    types: readonly KeyType[],
  ): Promise<ReadonlyMap<RowDifference, RowDifference> | null> {
    const pairs = new Map<RowDifference, RowDifference>();
    const has = (kind: RowDifference['kind']): boolean => held.some((row) => row.kind === kind);
    if (!has('missing') || !has('extra')) return pairs;
    const lists = types.map((_, at) => `pg_catalog.unnest($${at + 1}::pg_catalog.text[])`);
    const keys = types.map(({ type, collate }, at) => `(k${at}::${type})${collate}`);
    const names = types.map((_, at) => `k${at}`);
    try {
      const { rows } = await this.client.query<{ numbers: number[] }>(
        `SELECT pg_catalog.array_agg(n::pg_catalog.int4) AS numbers
           FROM ROWS FROM (${lists.join(', ')}) WITH ORDINALITY AS u (${names.join(', ')}, n)
          GROUP BY ${keys.join(', ')} HAVING pg_catalog.count(*) OPERATOR(pg_catalog.=) 2`,
        types.map((_, at) => held.map(({ key }) => key[at] ?? null)),
      );
      for (const { numbers } of rows) {
        const both = numbers.flatMap((number) => held[number - 1] ?? []);
        const missing = both.find(({ kind }) => kind === 'missing');
        const extra = both.find(({ kind }) => kind === 'extra');
        if (missing !== undefined && extra !== undefined) pairs.set(missing, extra);
      }
      return pairs;
    } catch (error) {
      if (DATA_EXCEPTION.test(sqlState(error) ?? '')) return null;
      throw error;
    }
  }

  /** In the order of the key. */
  private async types(): Promise<readonly KeyType[]> {
    const { key } = this.terms;
    if (key.length === 0) return [];
    const { rows } = await this.client.query<KeyType>(
      `WITH RECURSIVE named AS (
         SELECT a.attnum, a.attname::text AS name, a.atttypid, a.attcollation
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = $1 AND c.relname = $2 AND a.attname::text = ANY ($3::text[])),
       base AS (
         SELECT attnum, atttypid AS type FROM named
         UNION ALL
         SELECT b.attnum, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'),
       own AS (SELECT b.attnum, t.oid AS type FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'),
       part AS (
         SELECT attnum, type FROM own
         UNION
         SELECT p.attnum, x.type FROM part p JOIN pg_catalog.pg_type t ON t.oid = p.type CROSS JOIN LATERAL (
           SELECT t.typelem AS type WHERE t.typcategory = 'A' AND t.typelem <> 0
           UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) x)
       SELECT d.name, pg_catalog.format_type(o.type, -1) AS type,
              coalesce((SELECT pg_catalog.format(' COLLATE %I.%I', n.nspname, l.collname)
                          FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
                         WHERE l.oid = d.attcollation), '') AS collate,
              (o.type = ANY ('{${EXACT_TYPES.join(',')}}'::pg_catalog.regtype[]) OR t.typtype = 'e')
                AND coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = d.attcollation), true) AS exact,
              t.typtype IN ('b', 'e', 'r', 'm')
                AND (t.typtype <> 'b' OR t.typcategory = 'A' OR EXISTS (
                  SELECT FROM pg_catalog.pg_opclass k JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'
                   WHERE k.opcdefault AND k.opcintype IN (o.type, CASE WHEN o.type = 'pg_catalog.varchar'::pg_catalog.regtype
                                                                       THEN 'pg_catalog.text'::pg_catalog.regtype END)))
                AND NOT EXISTS (
                  SELECT FROM part p JOIN pg_catalog.pg_type e ON e.oid = p.type JOIN pg_catalog.pg_roles w ON w.oid = e.typowner
                   WHERE p.attnum = d.attnum AND (e.typtype IN ('c', 'd') OR e.typtype = 'b' AND e.typelem = 0 AND NOT w.rolsuper)) AS comparable
         FROM named d JOIN own o USING (attnum) JOIN pg_catalog.pg_type t ON t.oid = o.type`,
      [this.table.schema, this.table.table, key],
    );
    return key.flatMap((name) => rows.find((one) => one.name === name) ?? []);
  }
}

function sizeOf({ before, after }: RowDifference): number {
  return [...(before ?? []), ...(after ?? [])].reduce((sum, value) => sum + (value?.length ?? 0), ROW_CHARACTERS);
}
