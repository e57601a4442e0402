import pg from 'pg';
import { type ForeignKey, type ReferencingKey, statementTable, type TableFacts } from './table-facts.js';
import { equalRows, keysMatch, type Work } from './change-table.js';
import type { RulePart, UniqueRule } from './unique-rules.js';

/** A change that can only be made together with another one, or not at all. */
export interface Need {
  /** Number of the change. */
  readonly n: number;
  /** Number of the change that has to be made as well; null: what stands against it stays. */
  readonly needs: number | null;
}

/** The same, of a value that must be unique. */
export interface ValueNeed extends Need {
  /** It has to be gone before: both are updates, and the rule is checked at every row. */
  readonly isMove: boolean;
}

/** What a change makes of a row, and what it makes it from. */
type Side = 'a' | 'b';

/** The row that a change has on one side, with bare names of columns, also of those that the server computes. */
function sideRow({ columns, facts }: Work, side: Side, change: string): string {
  const stored = columns.map(({ name }, at) => `${change}.${side}${at} AS ${pg.escapeIdentifier(name)}`).join(', ');
  if (facts.generatedColumns.length === 0) return `(SELECT ${stored}) AS r`;
  const computed = facts.generatedColumns
    .map(({ name, expression, type }) => `(${expression})::${type} AS ${pg.escapeIdentifier(name)}`)
    .join(', ');
  return `(SELECT r.*, ${computed} FROM (SELECT ${stored}) AS r) AS r`;
}

/** One column of it, also one that the server computes. */
export function valueOn(work: Work, name: string, side: Side): string {
  const at = work.header.columns.indexOf(name);
  return at >= 0 ? `c.${side}${at}` : `(SELECT r.${pg.escapeIdentifier(name)} FROM ${sideRow(work, side, 'c')})`;
}

/** Joins the values of expressions on one side of a change, as `v0`, `v1`, and so on. */
function values(work: Work, of: readonly string[], side: Side, change: string, as: string, condition = 'true'): string {
  const list = of.map((expression, at) => `${expression} AS v${at}`).join(', ');
  return `CROSS JOIN LATERAL (SELECT ${list}, ${condition} AS holds FROM ${sideRow(work, side, change)}) AS ${as}`;
}

/** The table as it is, with the same values of its rows. */
function standing({ table }: Work, of: readonly string[], condition = 'true'): string {
  const list = of.map((expression, at) => `${expression} AS v${at}`).join(', ');
  return `(SELECT s.tableoid AS rel, s.ctid AS at, ${list}, ${condition} AS holds FROM ${table} AS s)`;
}

/** Records as such, byte by byte: PostgreSQL would compare two rows column by column, with operators of their types. */
const differ = (left: string, right: string, count: number): string => {
  const row = (of: string): string =>
    `ROW(${Array.from({ length: count }, (_, at) => `${of}.v${at}`).join(', ')})::record`;
  return `${row(left)} OPERATOR(pg_catalog.*<>) ${row(right)}`;
};

function against({ parts, nullsEqual }: UniqueRule, left: string, right: string): string {
  return parts
    .map(({ operator, collate }: RulePart, at) => {
      const [one, other] = [`${left}.v${at}`, `${right}.v${at}`];
      const test = `${one}${collate} ${operator} ${other}`;
      return nullsEqual ? `(${test} OR (${one} IS NULL AND ${other} IS NULL))` : test;
    })
    .join(' AND ');
}

/** Notes which rows of the table change or go, by their places. */
export async function noteGoing(client: pg.ClientBase, work: Work): Promise<void> {
  await client.query(
    'CREATE TEMPORARY TABLE reprise_going (n bigint NOT NULL, rel oid NOT NULL, at tid NOT NULL) ON COMMIT DROP',
  );
  await client.query(
    work.key.length === 0
      ? `WITH ${equalRows(work)} INSERT INTO pg_temp.reprise_going SELECT n, tableoid, ctid FROM pairs`
      : `INSERT INTO pg_temp.reprise_going SELECT c.n, t.tableoid, t.ctid FROM pg_temp.reprise_changes c JOIN ${work.table} t ON ${keysMatch(work, 'b')}
          WHERE c.op IN ('u', 'd')`,
  );
  await client.query('ANALYZE pg_temp.reprise_going');
}

/** Rules that changes can come up against: not the one by which rows are told apart, unless updates change that too. */
export async function otherRules(client: pg.ClientBase, work: Work): Promise<readonly UniqueRule[]> {
  const { key } = work.header;
  const isKey = ({ parts, condition, excludes }: UniqueRule): boolean =>
    !excludes &&
    condition === null &&
    parts.length === key.length &&
    key.every((name) => parts.some(({ expression }) => isColumn(expression, name)));
  const others: UniqueRule[] = [];
  for (const rule of work.facts.unique) if (!isKey(rule) || (await movesValues(client, work, rule))) others.push(rule);
  return others;
}

const isColumn = (expression: string, name: string): boolean =>
  expression === name || expression === pg.escapeIdentifier(name);

/** Whether some update changes a value of a rule. */
export async function movesValues(client: pg.ClientBase, work: Work, rule: UniqueRule): Promise<boolean> {
  const of = rule.parts.map(({ expression }) => expression);
  const { rows } = await client.query<{ moves: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_temp.reprise_changes c ${values(work, of, 'a', 'c', 'va')} ${values(work, of, 'b', 'c', 'vb')}
              WHERE c.op = 'u' AND ${differ('va', 'vb', of.length)}) AS moves`,
  );
  return rows[0]?.moves === true;
}

/** Changes that give a row a value that another row has by now, with what becomes of that one. After {@link noteGoing}. */
export async function valueNeeds(client: pg.ClientBase, work: Work, rule: UniqueRule): Promise<readonly ValueNeed[]> {
  const of = rule.parts.map(({ expression }) => expression);
  const condition = rule.condition ?? 'true';
  const side = (which: Side, change: string, as: string): string => values(work, of, which, change, as, condition);
  const { rows } = await client.query<{ n: string; needs: string | null; moves: boolean }>(
    `SELECT c.n, CASE WHEN d.op = 'u' AND d.holds AND ${against(rule, 'va', 'd')} THEN NULL ELSE d.n END AS needs,
            c.op = 'u' AND d.op IS NOT DISTINCT FROM 'u' AS moves
       FROM pg_temp.reprise_changes c ${side('a', 'c', 'va')} ${side('b', 'c', 'vb')}
       JOIN ${standing(work, of, condition)} AS t ON t.holds AND ${against(rule, 'va', 't')}
       LEFT JOIN pg_temp.reprise_going g ON g.rel = t.rel AND g.at = t.at
       LEFT JOIN (SELECT d.n, d.op, vd.* FROM pg_temp.reprise_changes d ${side('a', 'd', 'vd')}) AS d ON d.n = g.n
      WHERE va.holds AND (c.op = 'i' OR (c.op = 'u' AND (vb.holds IS NOT TRUE OR ${differ('va', 'vb', of.length)})))
        AND g.n IS DISTINCT FROM c.n`,
  );
  return rows.map(({ n, needs, moves }) => ({
    n: Number(n),
    needs: needs === null ? null : Number(needs),
    isMove: moves && needs !== null && rule.immediate,
  }));
}

/** Changes that give rows the same value as each other. Of exclusion constraints it is not asked: good rows once stood beside each other. */
export async function sameValues(client: pg.ClientBase, work: Work, rule: UniqueRule): Promise<readonly number[]> {
  if (rule.excludes) return [];
  const of = rule.parts.map(({ expression }) => expression);
  const condition = rule.condition ?? 'true';
  const list = of.map((_, at) => `va.v${at}`).join(', ');
  const { rows } = await client.query<{ n: string }>(
    `WITH made AS MATERIALIZED (
       SELECT c.n, c.op = 'i' OR ${differ('va', 'vb', of.length)} AS changes, ${list}
         FROM pg_temp.reprise_changes c ${values(work, of, 'a', 'c', 'va', condition)} ${values(work, of, 'b', 'c', 'vb')}
        WHERE c.op IN ('i', 'u') AND va.holds)
     SELECT DISTINCT one.n FROM made one JOIN made other ON ${against(rule, 'one', 'other')} AND one.n <> other.n WHERE one.changes AND other.changes`,
  );
  return rows.map(({ n }) => Number(n));
}

const names = (of: readonly string[]): readonly string[] => of.map((name) => pg.escapeIdentifier(name));
const matches = ({ equals }: Pick<ReferencingKey, 'equals'>, referred: string, referring: string): string =>
  equals.map((operator, at) => `${referred}.v${at} ${operator} ${referring}.v${at}`).join(' AND ');

export function isOwnKey({ table }: Pick<ReferencingKey, 'table'>, { header }: Work): boolean {
  return table.schema === header.table.schema && table.table === header.table.table;
}

/**
 * Deletes, and updates of what rows refer to, that rows stand against which refer to it: rows of other tables, and rows of this one with
 * what becomes of them. Where the foreign key takes it, another row may come that has the same. After {@link noteGoing}.
 */
export async function referenceNeeds(client: pg.ClientBase, work: Work, key: ReferencingKey): Promise<readonly Need[]> {
  const [referred, referring] = [names(key.refersTo), names(key.columns)];
  const own = isOwnKey(key, work);
  const from = own
    ? `${standing(work, referring)} AS r ON ${matches(key, 'vb', 'r')} LEFT JOIN pg_temp.reprise_going g ON g.rel = r.rel AND g.at = r.at
       LEFT JOIN (SELECT d.n, d.op, vd.* FROM pg_temp.reprise_changes d ${values(work, referring, 'a', 'd', 'vd')}) AS d ON d.n = g.n`
    : `(SELECT ${referring.map((name, at) => `s.${name} AS v${at}`).join(', ')} FROM ${statementTable(key.table)} AS s) AS r ON ${matches(key, 'vb', 'r')}
       CROSS JOIN (SELECT NULL::bigint AS n, NULL::"char" AS op) AS d CROSS JOIN (SELECT NULL::bigint AS n) AS g`;
  const text = (of: string): string => `ROW(${referred.map((_, at) => `${of}.v${at}`).join(', ')})::pg_catalog.text`;
  const released = own ? `(d.op = 'd' OR (d.op = 'u' AND (${matches(key, 'vb', 'd')}) IS NOT TRUE))` : 'false';
  const { rows } = await client.query<{ n: string; op: string; needs: string | null; instead: boolean }>(
    `SELECT c.n, c.op::text AS op, CASE WHEN ${released} THEN d.n END AS needs,
            ${text('vb')} IN (SELECT ${text('vp')} FROM pg_temp.reprise_changes p ${values(work, referred, 'a', 'p', 'vp')} WHERE p.op IN ('i', 'u')) AS instead
       FROM pg_temp.reprise_changes c ${values(work, referred, 'b', 'c', 'vb')} ${values(work, referred, 'a', 'c', 'va')} JOIN ${from}
      WHERE (c.op = 'd' OR (c.op = 'u' AND ${differ('va', 'vb', referred.length)})) AND g.n IS DISTINCT FROM c.n`,
  );
  const mayComeInstead = (op: string): boolean => (op === 'd' ? key.onDelete : key.onUpdate) === NO_ACTION;
  return rows.flatMap(({ n, op, needs, instead }) =>
    needs === null && instead && mayComeInstead(op)
      ? []
      : [{ n: Number(n), needs: needs === null ? null : Number(needs) }],
  );
}

/** As `pg_constraint` has it: it is looked at the end of a statement whether rows still refer to something. */
const NO_ACTION = 'a';

/** Rows that refer to rows of this very table: those have to be there, or to come. */
export async function ownReferences(
  client: pg.ClientBase,
  work: Work,
  key: ReferencingKey | ForeignKey,
): Promise<readonly Need[]> {
  if (!isOwnKey(key, work)) return [];
  const condition = 'condition' in key && key.condition !== null ? key.condition : 'true';
  const [referred, referring] = [names(key.refersTo), names(key.columns)];
  const given = referring.map((_, at) => `va.v${at} IS NOT NULL`).join(' AND ');
  const { rows } = await client.query<{ n: string; needs: string | null }>(
    `SELECT c.n, p.n AS needs
       FROM pg_temp.reprise_changes c ${values(work, referring, 'a', 'c', 'va', condition)} ${values(work, referring, 'b', 'c', 'vb', condition)}
       LEFT JOIN (SELECT p.n, vp.* FROM pg_temp.reprise_changes p ${values(work, referred, 'a', 'p', 'vp')} WHERE p.op IN ('i', 'u')) AS p
         ON ${matches(key, 'p', 'va')}
      WHERE va.holds AND (c.op = 'i' OR (c.op = 'u' AND (vb.holds IS NOT TRUE OR ${differ('va', 'vb', referring.length)}))) AND ${given}
        AND NOT EXISTS (
          SELECT FROM ${standing(work, referred)} AS t LEFT JOIN pg_temp.reprise_going g ON g.rel = t.rel AND g.at = t.at
            LEFT JOIN (SELECT d.n, d.op, vd.* FROM pg_temp.reprise_changes d ${values(work, referred, 'a', 'd', 'vd')}) AS d ON d.n = g.n
           WHERE ${matches(key, 't', 'va')} AND (d.n IS NULL OR (d.op = 'u' AND ${matches(key, 'd', 'va')})))`,
  );
  return rows.map(({ n, needs }) => ({ n: Number(n), needs: needs === null ? null : Number(needs) }));
}

/**
 * Rows that refer to rows of another table that are not there, by the equality of the foreign key. Those whose text says it were looked up before
 * ({@link refersByText}).
 */
export async function missingParents(client: pg.ClientBase, work: Work, key: ForeignKey): Promise<readonly number[]> {
  const referring = names(key.columns);
  const given = referring.map((_, at) => `va.v${at} IS NOT NULL`).join(' AND ');
  const last = referring.length - 1;
  const condition = key.condition ?? 'true';
  const equal = key.refersTo.map((name, at) => `t.${pg.escapeIdentifier(name)} ${key.equals[at]} va.v${at}`);
  const from = `FROM ${statementTable(key.table)} AS t`;
  const isThere = key.period
    ? `coalesce((SELECT va.v${last} OPERATOR(pg_catalog.<@) pg_catalog.range_agg(t.${pg.escapeIdentifier(key.refersTo[last] ?? '')}) ${from}
         WHERE ${equal.slice(0, last).join(' AND ')}), false)`
    : `EXISTS (SELECT ${from} WHERE ${equal.join(' AND ')})`;
  const { rows } = await client.query<{ n: string }>(
    `SELECT c.n FROM pg_temp.reprise_changes c ${values(work, referring, 'a', 'c', 'va', condition)} ${values(work, referring, 'b', 'c', 'vb', condition)}
      WHERE va.holds AND (c.op = 'i' OR (c.op = 'u' AND (vb.holds IS NOT TRUE OR ${differ('va', 'vb', referring.length)})))
        AND ${given} AND NOT ${isThere}`,
  );
  return rows.map(({ n }) => Number(n));
}

/** Which of these changes have rows that others refer to by a foreign key that would do something when the row is deleted. */
export async function heldRows(
  client: pg.ClientBase,
  work: Work,
  { referencedBy }: TableFacts,
  among: string,
): Promise<readonly number[]> {
  const held = new Set<number>();
  for (const key of referencedBy.filter(({ onDelete }) => onDelete !== NO_ACTION)) {
    const referring = names(key.columns).map((name, at) => `s.${name} AS v${at}`);
    const { rows } = await client.query<{ n: string }>(
      `SELECT c.n FROM pg_temp.reprise_changes c ${values(work, names(key.refersTo), 'b', 'c', 'vb')}
        WHERE ${among} AND EXISTS (SELECT FROM (SELECT ${referring.join(', ')} FROM ${statementTable(key.table)} AS s) AS r WHERE ${matches(key, 'vb', 'r')})`,
    );
    for (const { n } of rows) held.add(Number(n));
  }
  return [...held];
}

/** Updates that PostgreSQL takes only as a delete and an insert: of a column whose values it makes itself. */
export function identityMoves({ columns }: Work): string {
  const changes = columns.flatMap(({ alwaysIdentity }, at) =>
    alwaysIdentity ? [`c.a${at} IS DISTINCT FROM c.b${at}`] : [],
  );
  return changes.length === 0 ? 'false' : `(c.op = 'u' AND (${changes.join(' OR ')}))`;
}
