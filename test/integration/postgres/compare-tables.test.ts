import { beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import type { RowDifference } from '../../../src/domain/table/compare.js';
import type { ChangeSetHeader, RowChange } from '../../../src/domain/table/repair.js';
import { compareTables } from '../../../src/postgres/compare/compare-tables.js';
import type { ComparedTables, CompareRequest } from '../../../src/postgres/compare/compare-tables.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { freezeTable, unfreezeTable } from '../../../src/postgres/repair/freeze.js';
import { onCleanup } from '../../helpers/cleanup.js';
import { startScratchCluster } from '../../helpers/postgres.js';
import { readLeafTree } from '../../../src/postgres/compare/leaf-tree.js';
import type { LeafTree } from '../../../src/postgres/compare/leaf-tree.js';
import type { ScratchCluster, TestDatabase } from '../../helpers/postgres.js';
import { makeTable, RANDOM_TYPES, randomTables } from '../../helpers/random-tables.js';
import { repairBench } from '../../helpers/repair-rows.js';
import type { RandomTables } from '../../helpers/random-tables.js';

type Role = 'postgres' | 'reader';

let clusters: readonly [ScratchCluster, ScratchCluster];
let owners: readonly [pg.Client, pg.Client];

beforeAll(async () => {
  clusters = await Promise.all([startScratchCluster({ version: 15 }), startScratchCluster({ version: 18 })]);
  owners = [await connect(0, 'postgres'), await connect(1, 'postgres')];
  // Other oids of the types, and other rules of sorting, on the second server.
  await owners[1].query('CREATE SCHEMA before; CREATE TABLE before.one (a int); CREATE TYPE before.two AS ENUM ()');
  for (const owner of owners)
    await owner.query(`${RANDOM_TYPES}; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA odd TO reader`);
});

const [LEFT, RIGHT] = [0, 1] as const;

async function connect(side: 0 | 1, user: Role, more = ''): Promise<pg.Client> {
  const { host, port } = clusters[side];
  // Whatever the role has set must not show.
  const client = new pg.Client({
    host,
    port,
    user,
    database: 'postgres',
    options:
      '-c datestyle=german -c intervalstyle=iso_8601 -c timezone=Asia/Tokyo -c bytea_output=escape -c extra_float_digits=-5' +
      more,
  });
  client.on('error', () => undefined);
  await client.connect();
  onCleanup(() => client.end());
  return client;
}

const ODD = { schema: 'odd', table: 'Table one' };

type Asked = Partial<CompareRequest>;

async function compare(roles: readonly [Role, Role], asked: Asked = {}): Promise<ComparedTables> {
  const left = await connect(LEFT, roles[0], ' -c standard_conforming_strings=off -c quote_all_identifiers=on');
  const right = await connect(RIGHT, roles[1], ' -c standard_conforming_strings=off');
  try {
    return await compareTables({
      left,
      right,
      table: ODD,
      sampleLimit: 10_000,
      signal: new AbortController().signal,
      ...asked,
    });
  } finally {
    await Promise.all([left.end(), right.end()]);
  }
}

const makeBoth = async (left: string, right: string): Promise<void> => {
  await Promise.all([owners[LEFT].query(left), owners[RIGHT].query(right)]);
};

const TEXT = { getTypeParser: () => (value: unknown) => value };

/** Every row as the server writes it in text. */
async function textRows(side: 0 | 1, columns: readonly string[]): Promise<(string | null)[][]> {
  const owner = owners[side];
  await owner.query(
    `BEGIN; SET LOCAL "DateStyle" TO 'ISO, YMD'; SET LOCAL "IntervalStyle" TO 'postgres'; SET LOCAL "TimeZone" TO 'UTC';
     SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'; SET LOCAL lc_monetary TO 'C'`,
  );
  const list = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  const { rows } = await owner.query<(string | null)[]>({
    text: `SELECT ${list} FROM odd."Table one"`,
    rowMode: 'array',
    types: TEXT as unknown as pg.CustomTypesConfig,
  });
  await owner.query('ROLLBACK');
  return rows;
}

interface Expected {
  readonly differences: readonly string[];
  readonly same: number;
}

/** The naive way: every row against every row. */
async function naive({ columns, keyed }: RandomTables): Promise<Expected> {
  const names = columns.map(({ name }) => name);
  const [left, right] = [await textRows(LEFT, names), await textRows(RIGHT, names)];
  if (keyed === 0) return counted(left, right);
  const keyOf = (row: readonly (string | null)[]): string => JSON.stringify(row.slice(0, keyed));
  const differences: string[] = [];
  for (const row of left) {
    const other = right.find((one) => keyOf(one) === keyOf(row));
    if (other === undefined) differences.push(shown('missing', row, null, 1));
    else if (JSON.stringify(other) !== JSON.stringify(row)) differences.push(shown('changed', row, other, 1));
  }
  for (const row of right)
    if (!left.some((one) => keyOf(one) === keyOf(row))) differences.push(shown('extra', null, row, 1));
  const lost = differences.filter((text) => !text.startsWith('extra')).length;
  return { differences: differences.toSorted(), same: left.length - lost };
}

function counted(left: (string | null)[][], right: (string | null)[][]): Expected {
  const times = (rows: (string | null)[][], text: string): number =>
    rows.filter((row) => JSON.stringify(row) === text).length;
  const differences: string[] = [];
  let same = 0;
  for (const text of new Set([...left, ...right].map((row) => JSON.stringify(row)))) {
    const [one, other] = [times(left, text), times(right, text)];
    const row = JSON.parse(text) as (string | null)[];
    same += Math.min(one, other);
    if (one > other) differences.push(shown('missing', row, null, one - other));
    if (other > one) differences.push(shown('extra', null, row, other - one));
  }
  return { differences: differences.toSorted(), same };
}

const shown = (kind: string, before: unknown, after: unknown, times: number): string =>
  `${kind} ${JSON.stringify([before, after, times])}`;

function inOrder(
  row: readonly (string | null)[] | null,
  columns: readonly string[],
  wanted: readonly string[],
): unknown {
  return row === null ? null : wanted.map((name) => row[columns.indexOf(name)]);
}

const ROLES: readonly (readonly [Role, Role])[] = [
  ['reader', 'reader'],
  ['postgres', 'postgres'],
  ['postgres', 'reader'],
];

test('T1: what a comparison of random tables finds is what comparing every row with every row finds, planned on the server or copied out', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(randomTables, async (tables) => {
      await makeBoth(makeTable(tables, 'left', false), makeTable({ ...tables, partitioned: false }, 'right', true));
      const roles = ROLES[run++ % ROLES.length] ?? ['reader', 'reader'];
      const found = await compare(roles);
      const wanted = tables.columns.map(({ name }) => name);
      const expected = await naive(tables);
      const rows = found.samples.map(({ kind, before, after, times }: RowDifference) =>
        shown(kind, inOrder(before, found.columns, wanted), inOrder(after, found.columns, wanted), times),
      );
      expect({ differences: rows.toSorted(), same: found.same }).toEqual(expected);
      expect(found.missing + found.changed + found.extra).toBe(
        found.samples.reduce((sum, { times }) => sum + times, 0),
      );
      for (const { kind, before, after, columns } of found.samples)
        if (kind === 'changed')
          expect(columns).toEqual(found.columns.filter((_name, at) => before?.[at] !== after?.[at]));
    }),
    { numRuns: Number(process.env['REPRISE_TEST_RUNS'] ?? 30) },
  );
});

const code = (error: unknown): unknown => (error as { code?: unknown }).code;
const refusal = (roles: readonly [Role, Role], asked: Asked = {}): Promise<unknown> =>
  compare(roles, asked).then(
    () => 'compared',
    (error: unknown) => code(error),
  );
const SUPERUSERS = ['postgres', 'postgres'] as const;
const READERS = ['reader', 'reader'] as const;

/** The same two tables for several tests: 30,000 rows of which a few differ, by key, day and status. */
const BOOKINGS = `DROP TABLE IF EXISTS odd."Table one"; CREATE TABLE odd."Table one" (id bigint PRIMARY KEY, day date NOT NULL, status text, amount numeric(8,2));
  INSERT INTO odd."Table one" SELECT i, date '2026-11-01' + i % 30, CASE WHEN i % 7 <> 0 THEN 'booked' END, i FROM generate_series(1, 30000) i;
  ANALYZE odd."Table one"; GRANT SELECT ON odd."Table one" TO reader`;
const DAMAGE = `DELETE FROM odd."Table one" WHERE id % 1000 = 1; UPDATE odd."Table one" SET status = 'lost' WHERE id % 1000 = 2;
  UPDATE odd."Table one" SET day = day + 1, amount = 0 WHERE id = 3; INSERT INTO odd."Table one" VALUES (-5, '2027-01-01', NULL, 1)`;

test('T1: a damaged table is counted, broken down by day or value, and limited to a scope; a second comparison takes the tree of the good side as it was', async () => {
  await makeBoth(BOOKINGS, `${BOOKINGS}; ${DAMAGE}`);
  const kept = new Map<string, LeafTree>();
  let written = 0;
  const leftTree = {
    read: async (terms: string) => kept.get(terms) ?? null,
    write: async (terms: string, tree: LeafTree) => {
      written += 1;
      kept.set(terms, readLeafTree(tree.toBytes()) ?? tree);
    },
  };
  for (const roles of [READERS, SUPERUSERS]) {
    const found = await compare(roles, { leftTree, sampleLimit: 3, by: { column: 'day', day: true } });
    expect(found).toMatchObject({ key: ['id'], missing: 30, changed: 31, extra: 1, same: 30_000 - 61, schema: [] });
    expect(found.changedColumns).toEqual({ status: 30, day: 1, amount: 1 });
    expect(found.samples).toHaveLength(3);
    expect(found.breakdown.reduce((sum, { missing, changed, extra }) => sum + missing + changed + extra, 0)).toBe(62);
    expect(found.breakdown).toContainEqual({ value: '2027-01-01', missing: 0, changed: 0, extra: 1 });
  }
  // Both ways hash alike, so that the second took what the first had kept.
  expect(written).toBe(1);
  // A row counts where it was or is in scope.
  const scope = [{ column: 'day', from: '2026-11-04', below: '2026-11-05' }];
  for (const roles of [READERS, SUPERUSERS]) {
    const found = await compare(roles, { scope });
    expect(found.samples.map(({ kind, key }) => [kind, key[0]])).toEqual([['changed', '3']]);
    expect(found.same).toBe(999);
    const listed = await compare(roles, {
      scope: [
        { column: 'amount', in: ['1001', '2'] },
        { column: 'id', from: '0', below: null },
      ],
    });
    expect([listed.missing, listed.changed, listed.extra, listed.same]).toEqual([1, 1, 0, 0]);
    expect((await compare(roles, { by: { column: 'status', day: false } })).breakdown).toContainEqual({
      value: null,
      missing: 5,
      changed: 4,
      extra: 1,
    });
  }
  expect(await refusal(READERS, { scope: [{ column: 'day', from: "'; DROP TABLE x" }] })).toBe('usage');
  expect(await refusal(READERS, { scope: [{ column: 'status', from: 'a' }] })).toBe('usage');
  expect(await refusal(READERS, { by: { column: 'nothing', day: false } })).toBe('usage');
});

/** Of each type a value, written differently on the two sides, and one that is near it and not the same. */
const NEAR: readonly (readonly [string, string, string, string])[] = [
  ['regclass', "'pg_class'", "'pg_catalog.pg_class'", "'pg_type'"],
  ['float8', "'-0'", "'-0.0'", '0'],
  ['float4', "'NaN'", "'nan'", "'Infinity'"],
  ['float8[]', "'{NaN,-0,0.1}'", "'{ nan, -0.0, 1e-1 }'", "'{NaN,0,0.1}'"],
  ['numeric', '1.00', "'1.00'", '1.0'],
  ['char(5)', "'a'", "'a    '", "'a b'"],
  ['varbit', "B'101'", "'101'", "B'1010'"],
  ['text[]', "'[2:3]={a,b}'", "'[2:3]={ a , b }'", "'{a,b}'"],
  ['jsonb', `'{"b":1,"a":2}'`, `'{"a": 2, "b": 1}'`, `'{"a": 2, "b": 1.0}'`],
  ['json', `'{"a":1}'`, `'{"a":1}'`, `'{"a": 1}'`],
  ['int4multirange', "'{[1,2],[5,6)}'", "'{[5,6),[1,3)}'", "'{}'"],
  ['timestamptz', "'infinity'", "'infinity'", "'-infinity'"],
  ['interval', "'1 mon'", "'1 month'", "'30 days'"],
  ['money', '12.5::money', "'12.50'", "'12.51'"],
  ['bytea', "decode('00ff5c', 'hex')", "decode('00FF5C', 'hex')", "decode('00ff', 'hex')"],
  ['odd.many', "'{1,2}'", "'{1, 2}'", "'{2,1}'"],
  ['odd.spot', `'(0.1,"2026-11-20 10:00+02")'`, `'(.1,"2026-11-20 08:00+00")'`, `'(0.1,)'`],
  ['tsvector', "'b a'", "'a b'", "'a:1 b'"],
];

test('T2: values are the same however the two sides write them, and another value is a change of its column alone', async () => {
  const columns = NEAR.map(([type], at) => `c${at} ${type}`).join(', ');
  // Of the right side columns were dropped, and the order is another.
  const made = `DROP TABLE IF EXISTS odd."Table one"; DROP DOMAIN IF EXISTS odd.many; DROP TYPE IF EXISTS odd.spot; CREATE DOMAIN odd.many AS int[];
    CREATE TYPE odd.spot AS (x float8, at timestamptz)`;
  const after = 'GRANT SELECT ON odd."Table one" TO reader; ANALYZE odd."Table one"';
  const first = NEAR.map(([, value]) => value).join(', ');
  const second = NEAR.map(([, , value]) => value).join(', ');
  const changed = NEAR.map(([, , , value], at) => `UPDATE odd."Table one" SET c${at} = ${value} WHERE id = ${at}`);
  await makeBoth(
    `${made}; CREATE TABLE odd."Table one" (id int PRIMARY KEY, ${columns});
     INSERT INTO odd."Table one" SELECT i, ${first} FROM generate_series(-5, ${NEAR.length}) i; ${after}`,
    `${made}; CREATE TABLE odd."Table one" (gone int, ${columns}, id int PRIMARY KEY); ALTER TABLE odd."Table one" DROP COLUMN gone;
     INSERT INTO odd."Table one" SELECT ${second}, i FROM generate_series(-5, ${NEAR.length}) i; ${changed.join('; ')}; ${after}`,
  );
  for (const roles of ROLES) {
    const { samples, same } = await compare(roles);
    expect(same).toBe(6);
    const found = samples.toSorted((a, b) => Number(a.key[0]) - Number(b.key[0]));
    expect(found.map(({ kind, key, columns: differ }) => [kind, key[0], ...differ])).toEqual(
      NEAR.map((_, at) => ['changed', String(at), `c${at}`]),
    );
  }
  await makeBoth('DROP TABLE odd."Table one"', 'DROP TABLE odd."Table one"');
});

test('T1: keys are equal where the server says so, in whatever text; where it cannot be asked, the result says so', async () => {
  const types = ['numeric', 'float8', 'interval', 'jsonb', 'numeric[]', 'numrange', 'odd.scaled', 'bpchar'];
  const table = (columns: string, rows: string): string =>
    `DROP TABLE IF EXISTS odd."Table one"; DROP DOMAIN IF EXISTS odd.scaled;
     CREATE DOMAIN odd.scaled AS numeric CHECK (VALUE < 100);
     CREATE TABLE odd."Table one" (${columns}); GRANT SELECT ON odd."Table one" TO reader; INSERT INTO odd."Table one" VALUES ${rows}`;
  const left = ['1.0', '0', '1 day', '{"a": 1}', '{1.0,NULL}', '[1.0,2)', '5.0', 'Bob'];
  const right = ['1.00', '-0', '24:00:00', '{"a": 1.0}', '{1.00,NULL}', '[1.00,2)', '5.00', 'Bob  '];
  const names = types.map((_, at) => `c${at}`);
  const columns = `id int, ${types.map((type, at) => `c${at} ${type}`).join(', ')}, v text, PRIMARY KEY (id, ${names.join(', ')})`;
  const row = (id: number, values: readonly string[], v: string): string =>
    `(${id}, ${values.map((value) => `'${value}'`).join(', ')}, '${v}')`;
  // The second row is the same, of the third the key is another one; the fourth differs in nothing but how its key is written.
  const other = right.with(0, '1.01');
  await makeBoth(
    table(columns, [row(1, left, 'x'), row(2, left, 'x'), row(3, left, 'x'), row(4, left, 'x')].join(', ')),
    table(columns, [row(1, right, 'y'), row(2, left, 'x'), row(3, other, 'x'), row(4, right, 'x')].join(', ')),
  );
  for (const roles of ROLES) {
    const { samples, ...found } = await compare(roles);
    expect(found).toMatchObject({ missing: 1, changed: 2, extra: 1, same: 1 });
    expect(found.keysByText).toBeUndefined();
    const changed = samples
      .filter(({ kind }) => kind === 'changed')
      .toSorted((a, b) => ((a.key[0] ?? '') < (b.key[0] ?? '') ? -1 : 1));
    expect(changed.map(({ key, columns: differ }) => [key, differ])).toEqual([
      [
        ['1', ...right],
        [...names, 'v'],
      ],
      [['4', ...right], names],
    ]);
    expect(await compare(roles, { key: ['id', ...names], scope: [{ column: 'v', in: ['y'] }] })).toMatchObject({
      missing: 0,
      changed: 1,
      extra: 0,
    });
  }
  // To read such an array runs what the owner of the domain wrote.
  const domains = 'd odd.scaled[] PRIMARY KEY';
  await makeBoth(table(domains, `('{1.0}'), ('{2}')`), table(domains, `('{1.00}'), ('{2}')`));
  expect(await compare(READERS)).toMatchObject({ missing: 1, changed: 0, extra: 1, same: 1, keysByText: ['d'] });
  // And there may be more of them than are kept.
  const many = (scale: string): string =>
    `SELECT (i || '${scale}')::numeric, repeat('x', 1000) FROM generate_series(1, 3000) i`;
  for (const [side, scale] of [
    [LEFT, '.0'],
    [RIGHT, '.00'],
  ] as const)
    await owners[side].query(table('n numeric PRIMARY KEY, v text', `(0, '')`).replace(/VALUES .*$/, many(scale)));
  expect(await compare(READERS)).toMatchObject({ missing: 3000, extra: 3000, keysByText: ['n'] });
  await makeBoth('DROP TABLE odd."Table one"', 'DROP TABLE odd."Table one"');
});

test('T1: values of megabytes are told apart to their last byte, and are shown by their beginning', async () => {
  const table = (key: string, end: string): string =>
    `DROP TABLE IF EXISTS odd."Table one"; CREATE TABLE odd."Table one" (id int ${key}, wide text, bytes bytea);
     GRANT SELECT ON odd."Table one" TO reader;
     INSERT INTO odd."Table one" SELECT i, repeat(E'é\\\\', 700000) || CASE i WHEN 2 THEN '${end}' ELSE '' END,
       decode(repeat('00ff', 700000) || CASE i WHEN 3 THEN '${end}${end}' ELSE 'cc' END, 'hex') FROM generate_series(1, 4) i`;
  for (const [key, counts] of [
    ['PRIMARY KEY', { missing: 0, changed: 2, extra: 0, same: 2, changedColumns: { wide: 1, bytes: 1 } }],
    ['', { missing: 2, changed: 0, extra: 2, same: 2 }],
  ] as const) {
    await makeBoth(table(key, 'a'), table(key, 'b'));
    for (const roles of ROLES) {
      const { samples, ...found } = await compare(roles);
      expect(found).toMatchObject(counts);
      const texts = samples.flatMap(({ before }) => before?.slice(1) ?? []);
      for (const text of texts) expect(text?.length).toBeLessThan(10_000);
      expect(
        texts.filter((text) => !/^(é\\|\\x00ff).{4000,8400}… \(\d{7} bytes, SHA-256 [0-9a-f]{64}\)$/.test(text ?? '')),
      ).toHaveLength(0);
    }
  }
  await makeBoth('DROP TABLE odd."Table one"', 'DROP TABLE odd."Table one"');
});

test('T1: a key that is asked for tells rows apart, and one that does not is refused; columns may be left out', async () => {
  await makeBoth(BOOKINGS, `${BOOKINGS}; ${DAMAGE}`);
  expect(await refusal(READERS, { key: ['day'] })).toBe('usage');
  expect(await refusal(READERS, { key: ['nothing'] })).toBe('usage');
  expect(await compare(READERS, { key: ['id'], columns: ['status'] })).toMatchObject({
    columns: ['id', 'status'],
    changed: 30,
  });
  expect(await compare(READERS, { key: ['id', 'day'] })).toMatchObject({ missing: 31, changed: 30, extra: 2 });
});

test('T1: equal rows that are all others on the other side do not cancel each other', async () => {
  const twice = (from: number): string =>
    `DROP TABLE IF EXISTS odd."Table one"; CREATE TABLE odd."Table one" (v int); GRANT SELECT ON odd."Table one" TO reader;
     INSERT INTO odd."Table one" SELECT i FROM generate_series(${from}, ${from + 199}) i, generate_series(1, 2)`;
  await makeBoth(twice(1), twice(1001));
  for (const roles of [READERS, SUPERUSERS])
    expect(await compare(roles)).toMatchObject({ key: [], missing: 400, extra: 400, changed: 0, same: 0 });
});

test('T1: what the definitions differ in is told first, and columns are found by name', async () => {
  await makeBoth(
    `DROP TABLE IF EXISTS odd."Table one"; CREATE TABLE odd."Table one" (id int PRIMARY KEY, a varchar(5), gone int, twice int GENERATED ALWAYS AS (id * 2) STORED, "N" text COLLATE "C" NOT NULL, mood odd."Mood");
     INSERT INTO odd."Table one" VALUES (1, 'x', 7, DEFAULT, 'n', 'ok')`,
    `DROP TABLE IF EXISTS odd."Table one"; ALTER TYPE odd."Mood" ADD VALUE 'new'; CREATE TABLE odd."Table one" (mood odd."Mood", "N" text, a text, id int GENERATED ALWAYS AS IDENTITY UNIQUE, added int, twice int GENERATED ALWAYS AS (id * 3) STORED) ;
     INSERT INTO odd."Table one" VALUES ('ok', 'n', 'x', DEFAULT, 1, DEFAULT)`,
  );
  const { schema, same, columns, key } = await compare(SUPERUSERS);
  expect({ same, columns, key }).toEqual({ same: 1, columns: ['id', 'a', 'N', 'mood'], key: ['id'] });
  expect(schema.map(({ what, column, left, right }) => [what, column, left, right])).toEqual([
    ['identity', 'id', null, 'ALWAYS'],
    ['type', 'a', 'character varying(5)', 'text'],
    ['column', 'gone', 'integer', null],
    ['generated', 'twice', '(id * 2)', '(id * 3)'],
    ['collation', 'N', 'pg_catalog."C"', null],
    ['not-null', 'N', 'NOT NULL', 'NULL'],
    ['labels', 'mood', "ok, it's, odd", "ok, it's, odd, new"],
    ['column', 'added', null, 'integer'],
    ['key', null, 'id', null],
  ]);
});

test('F44: code of the owner of a table does not run with the rights of a superuser who compares it', async () => {
  const spied = `DROP TABLE IF EXISTS odd."Table one"; CREATE TABLE odd."Table one" (id int PRIMARY KEY, v int); INSERT INTO odd."Table one" VALUES (1, 1);
    CREATE OR REPLACE FUNCTION odd.spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND current_setting(''spy.armed'', true) = ''on'' THEN RAISE ''ran as a superuser''; END IF; RETURN $1; END';
    CREATE INDEX ON odd."Table one" ((v + odd.spy(1))); GRANT SELECT ON odd."Table one" TO reader;
    ALTER ROLE postgres SET spy.armed = 'on'`;
  await makeBoth(spied, spied);
  try {
    const armed = await connect(LEFT, 'postgres');
    await expect(armed.query('SELECT * FROM odd."Table one" WHERE v = 2')).rejects.toThrow('ran as a superuser');
    expect(await compare(SUPERUSERS)).toMatchObject({ same: 1 });
  } finally {
    await makeBoth('ALTER ROLE postgres RESET spy.armed', 'ALTER ROLE postgres RESET spy.armed');
  }
});

test('T1: rows that row security hides, rows on another server, and what is no table are refused; children that inherit are left out', async () => {
  const parent =
    'DROP TABLE IF EXISTS odd."Table one" CASCADE; CREATE TABLE odd."Table one" (id int, v text); INSERT INTO odd."Table one" VALUES (1, NULL), (1, NULL), (2, NULL); GRANT SELECT ON odd."Table one" TO reader';
  await makeBoth(
    `${parent}; CREATE TABLE odd.child () INHERITS (odd."Table one"); INSERT INTO odd.child VALUES (9)`,
    `${parent}; INSERT INTO odd."Table one" VALUES (2, NULL)`,
  );
  for (const roles of [READERS, SUPERUSERS])
    expect(await compare(roles)).toMatchObject({ key: [], missing: 0, extra: 1, changed: 0, same: 3 });
  await owners[RIGHT].query('ALTER TABLE odd."Table one" ENABLE ROW LEVEL SECURITY');
  expect(await refusal(READERS)).toBe('privilege-missing');
  expect(await refusal(SUPERUSERS)).toBe('compared');
  await owners[LEFT].query('DROP TABLE odd."Table one" CASCADE; CREATE VIEW odd."Table one" AS SELECT 1 AS id');
  expect(await refusal(SUPERUSERS)).toBe('capability-missing');
  await owners[LEFT].query('DROP VIEW odd."Table one"');
  expect(await refusal(SUPERUSERS)).toBe('not-found');
  // Production has a partition elsewhere.
  const divided = 'CREATE TABLE odd."Table one" (id int) PARTITION BY LIST (id)';
  await makeBoth(
    divided,
    `DROP TABLE odd."Table one"; ${divided}; CREATE FOREIGN DATA WRAPPER none; CREATE SERVER away FOREIGN DATA WRAPPER none; CREATE FOREIGN TABLE odd.part PARTITION OF odd."Table one" FOR VALUES IN (1) SERVER away`,
  );
  expect(await refusal(SUPERUSERS)).toBe('capability-missing');
  await makeBoth('DROP TABLE odd."Table one"', 'DROP FOREIGN DATA WRAPPER none CASCADE; DROP TABLE odd."Table one"');
});

test('T1: what is written while two tables are compared is not seen, and a comparison that is called off ends its sessions', async () => {
  await makeBoth(BOOKINGS, BOOKINGS);
  const writing: Promise<unknown>[] = [];
  const report = (): void => {
    writing.push(owners[RIGHT].query('DELETE FROM odd."Table one" WHERE id < 100'));
  };
  for (const roles of [READERS, SUPERUSERS]) {
    expect(await compare(roles, { report })).toMatchObject({ missing: 0, changed: 0, extra: 0, same: 30_000 });
    await Promise.all(writing.splice(0));
    expect(await compare(roles)).toMatchObject({ missing: 99 });
    await owners[RIGHT].query(BOOKINGS);
    const stop = new AbortController();
    const stopped = compare(roles, {
      signal: stop.signal,
      report: () => setImmediate(() => stop.abort(new Error('called off'))),
    });
    await expect(stopped).rejects.toThrow('called off');
  }
  // Their locks are gone, or this would wait for ever.
  await makeBoth('DROP TABLE odd."Table one"', 'DROP TABLE odd."Table one"');
});

test('T4, T6: PostgreSQL 18: periods without overlaps, rows that refer to periods, columns that are computed when read, rules that are not enforced, partitions that come meanwhile', async () => {
  const { host, port } = clusters[RIGHT];
  const server = { host, port, user: 'postgres', maintenanceDatabase: 'postgres' };
  await owners[RIGHT].query(`CREATE ROLE books NOLOGIN; CREATE SCHEMA t AUTHORIZATION books; SET ROLE books;
    CREATE TABLE t.lent (id int4range, valid daterange, v text, twice int GENERATED ALWAYS AS (lower(id) * 2) VIRTUAL, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
    CREATE TABLE t.used (n int PRIMARY KEY, id int4range, during daterange, FOREIGN KEY (id, PERIOD during) REFERENCES t.lent (id, PERIOD valid));
    CREATE TABLE t.loose (id int PRIMARY KEY, v text CHECK (v <> 'bad') NOT ENFORCED, away int REFERENCES t.loose NOT ENFORCED);
    INSERT INTO t.lent VALUES ('[1,2)', '[2026-01-01,2026-06-01)', 'a'), ('[1,2)', '[2026-06-01,2027-01-01)', 'b'), ('[5,6)', '[2026-01-01,2027-01-01)', 'c');
    INSERT INTO t.used VALUES (1, '[1,2)', '[2026-03-01,2026-08-01)');
    CREATE TABLE t.parts (id int) PARTITION BY LIST (id); RESET ROLE`);
  const bench = repairBench({ host, port, user: 'postgres', name: 'postgres' } as TestDatabase);
  const headerOf = (table: string, columns: readonly string[], key: readonly string[]): ChangeSetHeader => ({
    ...{ database: 'postgres', table: { schema: 't', table }, columns, key },
  });
  const lent = headerOf('lent', ['id', 'valid', 'v'], ['id', 'valid']);
  const [early, late] = ['[2026-01-01,2026-06-01)', '[2026-06-01,2027-01-01)'];
  const reasons = async (header: ChangeSetHeader, ...changes: RowChange[]) => [
    ...(await bench.plan(header, changes)).reasons,
  ];
  const corrected: RowChange = { op: 'update', before: ['[1,2)', early, 'a'], after: ['[1,2)', early, 'good'] };
  const gone: RowChange = { op: 'delete', before: ['[5,6)', '[2026-01-01,2027-01-01)', 'c'] };
  expect(await reasons(lent, { op: 'insert', after: ['[1,2)', '[2026-05-01,2026-06-02)', 'z'] })).toEqual([
    [0, 'not-unique'],
  ]);
  expect(await reasons(lent, { op: 'delete', before: ['[1,2)', late, 'b'] })).toEqual([[0, 'referenced']]);
  expect(await reasons(lent, corrected, gone)).toEqual([]);
  expect(await bench.apply(lent, [corrected, gone])).toMatchObject({ update: 1, delete: 1, left: [] });
  const used = headerOf('used', ['n', 'id', 'during'], ['n']);
  const covered: RowChange = { op: 'insert', after: ['2', '[1,2)', '[2026-02-01,2026-11-01)'] };
  const uncovered: RowChange = { op: 'insert', after: ['3', '[1,2)', '[2026-02-01,2027-11-01)'] };
  expect(await reasons(used, covered, uncovered)).toEqual([[1, 'refers-to-missing']]);
  expect(await bench.apply(used, [covered])).toMatchObject({ insert: 1 });
  const loose: RowChange = { op: 'insert', after: ['1', 'bad', '77'] };
  expect(await reasons(headerOf('loose', ['id', 'v', 'away'], ['id']), loose)).toEqual([]);
  expect(await bench.apply(headerOf('loose', ['id', 'v', 'away'], ['id']), [loose])).toMatchObject({ insert: 1 });
  const parts = { table: { schema: 't', table: 'parts' }, means: { by: 'trigger' as const } };
  await withClient(server, 'postgres', (client) => freezeTable(client, parts, 'x', () => Promise.resolve()));
  await owners[RIGHT].query('SET ROLE books; CREATE TABLE t.part PARTITION OF t.parts FOR VALUES IN (1); RESET ROLE');
  await expect(owners[RIGHT].query('INSERT INTO t.part VALUES (1)')).rejects.toThrow('takes no writes');
  const one = headerOf('parts', ['id'], []);
  expect(await bench.apply(one, [{ op: 'insert', after: ['1'] }])).toMatchObject({ insert: 1 });
  await expect(owners[RIGHT].query('INSERT INTO t.part VALUES (1)')).rejects.toThrow('takes no writes');
  await withClient(server, 'postgres', (client) =>
    unfreezeTable(client, parts, () => Promise.resolve({ oids: [], taken: [] })),
  );
  await owners[RIGHT].query('INSERT INTO t.part VALUES (1)');
});
