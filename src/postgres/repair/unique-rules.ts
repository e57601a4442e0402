import type pg from 'pg';

/** One column or expression of an index. */
export interface RulePart {
  /** Of the bare names of the table's columns. */
  readonly expression: string;
  /** Of two rows whose values are against the rule, for a statement. */
  readonly operator: string;
  /** ` COLLATE ...` of the index, else empty. */
  readonly collate: string;
}

/** A unique index, or one of an exclusion constraint. */
export interface UniqueRule {
  readonly parts: readonly RulePart[];
  /** For rows for which this holds, of the bare names of their columns; null: for all. */
  readonly condition: string | null;
  /** Checked at every row, and not later. */
  readonly immediate: boolean;
  /** NULL is a value like others. */
  readonly nullsEqual: boolean;
  /** Of an exclusion constraint: its operators may say more than that values are equal. */
  readonly excludes: boolean;
}

/** Those of the table, and those that only a partition of it has. */
export async function readUniqueRules(client: pg.ClientBase, oid: number): Promise<readonly UniqueRule[]> {
  const { rows } = await client.query<
    Omit<UniqueRule, 'condition'> & { predicate: string | null; bounds: string | null }
  >(
    `SELECT i.indimmediate AS immediate, i.indisexclusion AS excludes,
            coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS "nullsEqual",
            pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
            CASE WHEN i.indrelid <> $1 THEN pg_catalog.pg_get_partition_constraintdef(i.indrelid) END AS bounds,
            (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                      'expression', pg_catalog.pg_get_indexdef(i.indexrelid, k.place::int, false),
                      'operator', pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname),
                      'collate', coalesce((SELECT pg_catalog.format(' COLLATE %I.%I', s.nspname, l.collname) FROM pg_catalog.pg_collation l
                                             JOIN pg_catalog.pg_namespace s ON s.oid = l.collnamespace WHERE l.oid = k.coll), ''))
                      ORDER BY k.place)
               FROM ROWS FROM (pg_catalog.unnest(i.indclass::oid[]), pg_catalog.unnest(i.indcollation::oid[])) WITH ORDINALITY AS k (class, coll, place)
               JOIN pg_catalog.pg_opclass c ON c.oid = k.class
               JOIN pg_catalog.pg_operator o ON o.oid = coalesce(x.conexclop[k.place],
                      (SELECT p.amopopr FROM pg_catalog.pg_amop p WHERE p.amopfamily = c.opcfamily AND p.amopstrategy = 3
                          AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype))
               JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace) AS parts
       FROM pg_catalog.pg_index i
       LEFT JOIN pg_catalog.pg_constraint x ON x.conindid = i.indexrelid AND x.conrelid = i.indrelid AND x.contype IN ('p', 'u', 'x')
      WHERE i.indrelid IN (SELECT $1::oid UNION SELECT relid::oid FROM pg_catalog.pg_partition_tree($1::oid::regclass))
        AND (i.indisunique OR i.indisexclusion) AND i.indisready
        AND (i.indrelid = $1 OR NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = i.indexrelid))
      ORDER BY i.indrelid = $1 DESC, i.indexrelid`,
    [oid],
  );
  return rows.map(({ predicate, bounds, ...rule }) => {
    const conditions = [predicate, bounds].filter((one) => one !== null && one !== '');
    return { ...rule, condition: conditions.length === 0 ? null : conditions.map((one) => `(${one})`).join(' AND ') };
  });
}
