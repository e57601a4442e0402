import fc from 'fast-check';
import pg from 'pg';
import { randomTables, type RandomColumn, type RandomRow, type RandomTables } from './random-tables.js';

/** What a statement of a history does; `%t` in its text stands for the table, `%c` for one below it. */
export interface RandomStatement {
  readonly sql: string;
  /** Rows of COPY as SQL literals, each with its type: `sql` is the COPY. */
  readonly copied?: readonly (readonly { readonly value: string; readonly type: string }[])[];
  /** Its savepoint is rolled back. */
  readonly rolledBack: boolean;
}

/** A table, and statements of which each writes what depends on its own row alone. */
export interface RandomHistory {
  readonly name: string;
  readonly table: RandomTables;
  /** Every column that is stored and not generated. */
  readonly columns: readonly string[];
  readonly make: readonly string[];
  /** Transactions, each of statements in savepoints; of some nothing stays. */
  readonly before: readonly RandomTransaction[];
  readonly bad: readonly RandomStatement[];
  readonly during: readonly RandomTransaction[];
  /** Open while the bad one ends. */
  readonly across: readonly RandomTransaction[];
  readonly after: readonly RandomTransaction[];
  /** Nobody else reads or writes it from there on until the bad one has ended. */
  readonly held: boolean;
  /** What is done to the table between, by nobody's transaction. */
  readonly upkeep: readonly string[];
}

export interface RandomTransaction {
  readonly statements: readonly RandomStatement[];
  readonly rolledBack: boolean;
}

/** Histories of so many tables, always the same ones for a seed. */
export function randomHistories(seed: number, count: number): readonly RandomHistory[] {
  return fc.sample(history, { seed, numRuns: count }).map((one, index) => ({
    ...one,
    name: `h"${index}`,
    make: one.make.map((sql) => sql.replaceAll('%i', `${index}`)),
  }));
}

const MARK = '"the mark"';
const LONG = '"long one"';
/** Some thousand characters that do not compress to a few. */
const longText = (n: number): string =>
  `(SELECT string_agg(md5(${n}::text || i::text), '') FROM generate_series(1, ${n % 2 === 0 ? 120 : 500}) i)`;

const op = fc.record({
  what: fc.constantFrom(
    'mark',
    'mark',
    'set',
    'set',
    'delete',
    'insert',
    'key',
    'all',
    'long',
    'copy',
    'upsert',
    'lock',
    'swap',
  ),
  at: fc.nat(30),
  other: fc.nat(30),
  column: fc.nat(6),
  rolledBack: fc.nat(4).map((n) => n === 0),
});
type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;
const ops = fc.array(op, { minLength: 1, maxLength: 7 });
const transactions = fc.array(fc.record({ ops: fc.array(op, { minLength: 1, maxLength: 3 }), undone: fc.nat(5) }), {
  maxLength: 3,
});
type Transactions = typeof transactions extends fc.Arbitrary<infer T> ? T : never;

/** What tables have beside their columns. */
const extras = fc.record({
  identity: fc.constantFrom('', '', 'ALWAYS', 'BY DEFAULT'),
  generated: fc.boolean(),
  dropped: fc.boolean(),
  late: fc.boolean(),
  inherited: fc.nat(4).map((n) => n === 0),
  excluded: fc.nat(4).map((n) => n === 0),
  replica: fc.constantFrom('DEFAULT', 'FULL', 'NOTHING'),
  fill: fc.constantFrom(20, 100),
});
type Extras = typeof extras extends fc.Arbitrary<infer T> ? T : never;

const history = fc
  .record({
    table: randomTables,
    extra: extras,
    before: transactions,
    bad: ops,
    during: transactions,
    across: transactions,
    after: transactions,
    held: fc.constantFrom(null, null, null, null, 'TRUNCATE %t', 'LOCK TABLE %t', 'REINDEX TABLE %t'),
    upkeep: fc.array(
      fc.constantFrom('VACUUM %t', 'VACUUM (FREEZE) %t', 'ANALYZE %t', 'CHECKPOINT', 'REINDEX TABLE %t'),
      {
        maxLength: 3,
      },
    ),
  })
  .filter(({ table }) => table.left.length > 1)
  .map(({ table, extra, before, bad, during, across, after, held, upkeep }): RandomHistory => {
    const one = new Statements(table, extra);
    return {
      ...{ name: '', table, columns: one.columns, make: one.make(), upkeep, held: held !== null },
      before: one.transactions(before, 'b'),
      bad: [
        ...(held === null ? [] : [{ sql: held, rolledBack: false }]),
        ...bad.map((each, index) => one.statement(each, `x${index}`, true)),
      ],
      // What the transaction has locked nobody else reaches.
      during: held !== null ? [] : one.transactions(during, 'd'),
      across: held !== null ? [] : one.transactions(across.slice(0, 1), 'c'),
      after: one.transactions(after, 'a'),
    };
  });

class Statements {
  private numbers = 1000;
  private readonly names: readonly string[];
  private readonly isExcluded: boolean;

  constructor(
    private readonly table: RandomTables,
    private readonly extra: Extras,
  ) {
    this.names = table.columns.map(({ name }) => pg.escapeIdentifier(name));
    // Before PostgreSQL 17 partitioned tables have none.
    this.isExcluded = extra.excluded && !this.byHash;
  }

  private get byHash(): boolean {
    return this.table.partitioned && this.table.keyed > 0;
  }

  /** All of them, in the order of the table. */
  get columns(): readonly string[] {
    const { identity, late } = this.extra;
    return [
      ...this.table.columns.map(({ name }) => name),
      ...['the mark', 'long one', ...(identity === '' ? [] : ['auto'])],
      ...(this.isExcluded ? ['span'] : []),
      ...(late ? ['late'] : []),
    ];
  }

  make(): readonly string[] {
    const { table, extra, names, byHash, isExcluded } = this;
    const { keyed, left, columns } = table;
    const key = keyed === 0 ? [] : [`PRIMARY KEY (${names.slice(0, keyed).join(', ')})`];
    const defined = [
      ...(extra.dropped ? ["gone text DEFAULT 'gone'"] : []),
      ...columns.map(({ type }, at) => `${names[at]} ${type}${at < keyed ? ' NOT NULL' : ''}`),
      ...[`${MARK} text`, `${LONG} text`],
      ...(extra.identity === '' ? [] : [`auto bigint GENERATED ${extra.identity} AS IDENTITY`]),
      ...(isExcluded ? ['span int4range', 'EXCLUDE USING gist (span WITH &&)'] : []),
      ...(extra.generated ? [`made text GENERATED ALWAYS AS (coalesce(${MARK}, '') || '!') STORED`] : []),
      ...key,
    ];
    const fill = byHash ? '' : ` WITH (fillfactor = ${extra.fill})`;
    return [
      `CREATE TABLE %t (${defined.join(', ')})${byHash ? ` PARTITION BY HASH (${names[0]})` : fill}`,
      ...(byHash
        ? [0, 1].map(
            (n) => `CREATE TABLE %s."leaf %i ${n}" PARTITION OF %t FOR VALUES WITH (MODULUS 2, REMAINDER ${n})`,
          )
        : []),
      ...left.map((row) => this.insert(row)),
      ...(extra.dropped ? ['ALTER TABLE %t DROP COLUMN gone'] : []),
      ...(extra.late ? ['ALTER TABLE %t ADD COLUMN late int DEFAULT 7'] : []),
      ...(byHash ? [] : [`ALTER TABLE %t REPLICA IDENTITY ${extra.replica}`]),
      ...(extra.inherited && !byHash
        ? [
            `CREATE TABLE %s."child %i" () INHERITS (%t)`,
            `INSERT INTO %s."child %i" SELECT * FROM ONLY %t LIMIT 1`,
          ].slice(
            // A generated column, or an identity, takes no values.
            0,
            extra.generated || extra.identity === 'ALWAYS' || extra.late ? 1 : 2,
          )
        : []),
    ];
  }

  transactions(all: Transactions, tag: string): readonly RandomTransaction[] {
    return all.map(({ ops: its, undone }, at) => ({
      statements: its.map((each, index) => this.statement(each, `${tag}${at}.${index}`, false)),
      rolledBack: undone === 0,
    }));
  }

  statement(each: Op, tag: string, isBad: boolean): RandomStatement {
    const { rolledBack } = each;
    if (each.what === 'copy') return { ...this.copy(each, tag), rolledBack };
    return { sql: this.textOf(each, tag, isBad), rolledBack };
  }

  private rowOf(at: number): RandomRow {
    return this.table.left[at % this.table.left.length] as RandomRow;
  }

  private textOf({ what, at, other: otherAt, column: place }: Op, tag: string, isBad: boolean): string {
    const { columns, keyed } = this.table;
    const { names } = this;
    const [row, other] = [this.rowOf(at), this.rowOf(otherAt)];
    const where = this.where(row);
    const mark = `${MARK} = coalesce(${MARK}, '') || '${tag} '`;
    // Of a table without a key the first column tells which rows are meant.
    const first = Math.max(1, keyed);
    const column = first + (place % Math.max(1, columns.length - first));
    switch (what) {
      case 'delete':
        return `DELETE FROM %t WHERE ${where}`;
      case 'insert':
        return this.insert([...other.slice(0, keyed), ...row.slice(keyed)], tag);
      case 'upsert':
        return keyed === 0 || this.isExcluded
          ? this.insert(row, tag)
          : `${this.insert(row, tag)} ON CONFLICT (${names.slice(0, keyed).join(', ')}) DO UPDATE SET ${MARK} = '${tag} again'`;
      case 'set':
        return column < columns.length
          ? `UPDATE %t SET ${names[column]} = ${other[column]}, ${mark} WHERE ${where}`
          : `UPDATE %t SET ${mark} WHERE ${where}`;
      case 'swap':
        return isBad && column < columns.length
          ? `UPDATE %t SET ${names[column]} = CASE WHEN ${where} THEN ${cast(other[column], columns[column])} ELSE ${cast(row[column], columns[column])} END WHERE ${where} OR ${this.where(other)}`
          : `UPDATE %t SET ${mark} WHERE ${where}`;
      case 'long':
        return `UPDATE %t SET ${LONG} = ${longText(at)}, ${mark} WHERE ${where}`;
      case 'lock':
        return `SELECT count(*) FROM (SELECT FROM %t WHERE ${where} FOR UPDATE) AS locked`;
      case 'key':
        // The same key, written otherwise.
        if (isBad && keyed > 0 && columns[0]?.type === 'numeric' && place % 2 === 0)
          return `UPDATE %t SET ${names[0]} = ${names[0]} * 1.00, ${mark} WHERE ${where}`;
        return isBad && keyed > 0
          ? `UPDATE %t SET ${names[0]} = ${other[0]}, ${mark} WHERE ${where}`
          : `UPDATE %t SET ${mark} WHERE ${where}`;
      case 'all':
        return isBad ? `UPDATE %t SET ${mark}` : `UPDATE %t SET ${mark} WHERE ${where}`;
      default:
        return `UPDATE %t SET ${mark} WHERE ${where}`;
    }
  }

  /** The row of its key; without one, all rows whose first column has this text. */
  private where(row: RandomRow): string {
    return this.names
      .slice(0, Math.max(1, this.table.keyed))
      .map((name, at) => `${name}::text IS NOT DISTINCT FROM (${row[at]})::${this.table.columns[at]?.type}::text`)
      .join(' AND ');
  }

  private values(row: RandomRow, tag?: string): readonly { name: string; value: string; type: string }[] {
    const number = this.numbers++;
    return [
      ...this.table.columns.map(({ type }, at) => ({ name: this.names[at] ?? '', value: row[at] ?? 'NULL', type })),
      { name: MARK, value: tag === undefined ? 'NULL' : `'${tag}'`, type: 'text' },
      { name: LONG, value: number % 3 === 0 ? longText(number) : 'NULL', type: 'text' },
      ...(this.extra.identity === '' ? [] : [{ name: 'auto', value: `${number}`, type: 'bigint' }]),
      ...(this.isExcluded ? [{ name: 'span', value: `'[${number},${number + 1})'`, type: 'int4range' }] : []),
    ];
  }

  private insert(row: RandomRow, tag?: string): string {
    const values = this.values(row, tag);
    return `INSERT INTO %t (${values.map(({ name }) => name).join(', ')}) OVERRIDING SYSTEM VALUE VALUES (${values.map(({ value }) => value).join(', ')})`;
  }

  /** Several rows at once: keys that are free, as a rule. */
  private copy({ at, other }: Op, tag: string): Pick<RandomStatement, 'sql' | 'copied'> {
    const { keyed, left, right } = this.table;
    const spare = right.filter((row) => keyed === 0 || !left.some((one) => sameKey(one, row, keyed)));
    const rows = [spare[at % Math.max(1, spare.length)] ?? this.rowOf(at), ...(keyed === 0 ? [this.rowOf(other)] : [])];
    const copied = rows.map((row) => this.values(row, tag));
    return { sql: `COPY %t (${(copied[0] ?? []).map(({ name }) => name).join(', ')}) FROM STDIN`, copied };
  }
}

const cast = (value = 'NULL', column?: RandomColumn): string => `(${value})::${column?.type}`;

const sameKey = (one: RandomRow, other: RandomRow, keyed: number): boolean =>
  one.slice(0, keyed).every((value, at) => value === other[at]);
