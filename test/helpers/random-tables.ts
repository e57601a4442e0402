import fc from 'fast-check';
import pg from 'pg';

/** What a random table is made of: a type, and values of it as SQL, some of which are near each other. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  int: ['1', '2', '-3', '2147483647'],
  bigint: ['1', '-9223372036854775808', '42'],
  text: [
    "''",
    "'a'",
    "'A'",
    "'a '",
    "'tab\there'",
    "E'line\\nbreak'",
    "E'back\\\\slash'",
    `'say "hi", (now)'`,
    "'\\N'",
    "'é—𝄞'",
    "E'\\b\\f\\v'",
    "'NULL'",
  ],
  'varchar(20)': ["'x'", "'x,y'", "' '"],
  'char(4)': ["'ab'", "'abcd'", "''"],
  '"char"': ["'a'", "''"],
  bool: ['true', 'false'],
  numeric: ['1.0', '1.00', '0', "'NaN'", '12345678901234567890.5', '-0.10'],
  float8: ["'NaN'", "'-0'", '0', '0.1', "'Infinity'", '1e-300'],
  float4: ["'NaN'", '0.1', "'-Infinity'"],
  date: ["'2026-11-20'", "'infinity'", "'0044-03-15 BC'"],
  timestamptz: ["'2026-11-20 10:00+02'", "'2026-11-20 08:00:00.000001+00'", "'-infinity'"],
  interval: ["'1 mon'", "'30 days'", "'-1 year 2 days 03:04:05.6'"],
  bytea: ["'\\x'", "'\\x00ff5c0a'", "'\\x0d'"],
  json: [`'{"a":1}'`, `'{"a": 1}'`, "'null'"],
  jsonb: [`'{"a":1,"b":[1,2]}'`, "'1.0'", "'1.00'", "'null'"],
  'text[]': ["'{}'", `'{a,"b,c",NULL}'`, `'{"NULL",""}'`, "'[2:3]={a,b}'"],
  'int[]': ["'{{1,2},{3,4}}'", "'{1}'"],
  int4range: ["'[1,5)'", "'empty'", "'(,)'"],
  uuid: ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
  inet: ["'10.0.0.1'", "'10.0.0.0/8'"],
  money: ["'12.50'"],
  'bit(3)': ["B'101'", "B'000'"],
  tsvector: ["'a b'", "'a:1 b:2'"],
  point: ["'(1,2)'"],
  'odd."Mood"': ["'ok'", "'it''s, odd'"],
  'odd.positive': ['1', '7'],
  'odd.pair': [`ROW(1,'x')`, "ROW(NULL,'')", `ROW(2,'a,"b"')`],
};
/** Objects that some of the types need; `LATER` gives the enum other oids on the second server. */
export const RANDOM_TYPES = `CREATE SCHEMA odd; CREATE TYPE odd."Mood" AS ENUM ('ok', 'it''s, odd');
  CREATE DOMAIN odd.positive AS int CHECK (VALUE > 0); CREATE TYPE odd.pair AS (a int, b text)`;

export interface RandomColumn {
  readonly name: string;
  readonly type: string;
}

/** A row as SQL literals. */
export type RandomRow = readonly string[];

export interface RandomTables {
  readonly columns: readonly RandomColumn[];
  /** How many of the first columns are the primary key; 0: none. */
  readonly keyed: number;
  readonly left: readonly RandomRow[];
  readonly right: readonly RandomRow[];
  readonly partitioned: boolean;
}

const KEY_TYPES = [
  'int',
  'bigint',
  'text',
  'uuid',
  'date',
  'numeric',
  'bytea',
  'odd."Mood"',
  'text[]',
  'odd.positive',
  'timestamptz',
];
const NAMES = ['id', 'k', 'h', 't', 'My "Column"', 'select', 'x y', "it's", 'é', '-c', 'v', 'r'];

const valueOf = (type: string): fc.Arbitrary<string> => fc.constantFrom(...(TYPES[type] ?? []));

/** Two tables of one definition; the second is the first with rows taken away, changed and added. */
export const randomTables: fc.Arbitrary<RandomTables> = fc
  .record({
    names: fc.shuffledSubarray(NAMES, { minLength: 2, maxLength: 7 }),
    keyed: fc.integer({ min: 0, max: 2 }),
    partitioned: fc.boolean(),
  })
  .chain(({ names, keyed, partitioned }) =>
    fc
      .tuple(
        ...names.map((name, index) =>
          fc
            .constantFrom(...(index < keyed ? KEY_TYPES : Object.keys(TYPES)))
            .map((type): RandomColumn => ({ name, type })),
        ),
      )
      .chain((columns) =>
        fc.record({
          columns: fc.constant(columns),
          keyed: fc.constant(keyed),
          partitioned: fc.constant(partitioned),
          left: rowsOf(columns, keyed),
          right: fc.constant([] as readonly RandomRow[]),
          changes: fc.array(
            fc.record({ at: fc.nat(40), what: fc.constantFrom('drop', 'change', 'add'), row: rowOf(columns, keyed) }),
            { maxLength: 6 },
          ),
        }),
      ),
  )
  .map(({ changes, ...tables }) => ({ ...tables, right: changed(tables, changes) }));

const rowOf = (columns: readonly RandomColumn[], keyed: number): fc.Arbitrary<RandomRow> =>
  fc.tuple(
    ...columns.map(({ type }, index) =>
      index < keyed
        ? valueOf(type)
        : fc.oneof({ arbitrary: fc.constant('NULL'), weight: 1 }, { arbitrary: valueOf(type), weight: 5 }),
    ),
  );

const rowsOf = (columns: readonly RandomColumn[], keyed: number): fc.Arbitrary<readonly RandomRow[]> =>
  keyed === 0
    ? fc.array(rowOf(columns, keyed), { maxLength: 12 })
    : fc.uniqueArray(rowOf(columns, keyed), { maxLength: 12, selector: keyOf(keyed) });

/** Literals that stand for equal values in a unique index are one key. */
const keyOf = (keyed: number) => (row: RandomRow) => row.slice(0, keyed).join('|').replace('1.00', '1.0');

function changed(
  { left, keyed }: Pick<RandomTables, 'left' | 'keyed'>,
  changes: readonly { at: number; what: string; row: RandomRow }[],
): readonly RandomRow[] {
  const rows = [...left];
  for (const { at, what, row } of changes) {
    const index = rows.length === 0 ? 0 : at % rows.length;
    const found = rows[index];
    if (what === 'drop') rows.splice(index, 1);
    else if (what === 'change' && found !== undefined) rows[index] = [...found.slice(0, keyed), ...row.slice(keyed)];
    else if (keyed === 0 || !rows.some((one) => keyOf(keyed)(one) === keyOf(keyed)(row))) rows.push(row);
  }
  return rows;
}

/** Statements that make one of the two; where `isOther`, with the columns in another order, and one that was dropped. */
export function makeTable(tables: RandomTables, side: 'left' | 'right', isOther: boolean): string {
  const quoted = tables.columns.map(({ name }) => pg.escapeIdentifier(name));
  const defined = tables.columns.map(
    ({ type }, index) => `${quoted[index]} ${type}${index < tables.keyed ? ' NOT NULL' : ''}`,
  );
  const key = tables.keyed === 0 ? [] : [`PRIMARY KEY (${quoted.slice(0, tables.keyed).join(', ')})`];
  const byFirst = tables.partitioned && tables.keyed > 0 ? ` PARTITION BY HASH (${quoted[0]})` : '';
  const columns = isOther ? ['gone int', ...defined.toReversed(), ...key] : [...defined, ...key];
  const values = tables[side].map((row) => `(${row.join(', ')})`).join(', ');
  return [
    'DROP TABLE IF EXISTS odd."Table one"',
    `CREATE TABLE odd."Table one" (${columns.join(', ')})${byFirst}`,
    ...(byFirst === ''
      ? []
      : [0, 1].map(
          (rest) =>
            `CREATE TABLE odd."leaf ${rest}" PARTITION OF odd."Table one" FOR VALUES WITH (MODULUS 2, REMAINDER ${rest})`,
        )),
    ...(isOther ? ['ALTER TABLE odd."Table one" DROP COLUMN gone'] : []),
    ...(values === '' ? [] : [`INSERT INTO odd."Table one" (${quoted.join(', ')}) VALUES ${values}`]),
    'GRANT SELECT ON odd."Table one" TO reader',
  ].join('; ');
}
