import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ChangeSetHeader, ConflictReason, RowChange, RowText } from '../../../src/domain/table/repair.js';
import { createDatabaseFromTemplate, runQuery, sharedServer, type TestDatabase } from '../../helpers/postgres.js';
import { repairBench, type RepairBench } from '../../helpers/repair-rows.js';

let database: TestDatabase;
let role: string;
let bench: RepairBench;
let number = 0;

beforeAll(async () => {
  database = await createDatabaseFromTemplate();
  role = `owner_${database.name}`;
  await database.query(
    `CREATE ROLE ${role} NOLOGIN; CREATE SCHEMA s AUTHORIZATION ${role}; CREATE EXTENSION btree_gist`,
  );
  bench = repairBench(database);
});
afterAll(async () => {
  await runQuery(sharedServer(), 'postgres', `DROP DATABASE IF EXISTS ${database.name} WITH (FORCE)`);
  await runQuery(sharedServer(), 'postgres', `DROP ROLE ${role}`);
});

interface Made {
  readonly header: ChangeSetHeader;
  readonly name: string;
  rows(): Promise<RowText[]>;
  /** Runs a damage, and gives the changes that undo it, as the key of the table tells the rows apart. */
  damaged(sql: string): Promise<{ changes: RowChange[]; good: RowText[] }>;
}

/** A table of the role; `@` in statements stands for its name. */
async function made(create: string, values: string, key = ['id']): Promise<Made> {
  const [table, name] = [`t${++number}`, `s.t${number}`];
  const run = (sql: string) => database.query(`SET ROLE ${role}; ${sql.replaceAll('@', name)}`);
  await run(`${create}; INSERT INTO @ OVERRIDING SYSTEM VALUE VALUES ${values}`);
  const { rows: found } = await database.query(
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped ORDER BY attnum`,
    [name],
  );
  const names = (found as { name: string }[]).map((one) => one.name);
  const header: ChangeSetHeader = { database: database.name, table: { schema: 's', table }, columns: names, key };
  const rows = async (): Promise<RowText[]> => {
    const { rows: now } = await database.query(
      `SELECT ARRAY[${names.map((one) => `"${one}"::text`).join(', ')}] AS row FROM ${name} ORDER BY 1`,
    );
    return (now as { row: RowText }[]).map(({ row }) => row);
  };
  const keyOf = (row: RowText): string => JSON.stringify(key.map((one) => row[names.indexOf(one)]));
  const damaged = async (sql: string) => {
    const good = await rows();
    await run(sql);
    const now = new Map((await rows()).map((row) => [keyOf(row), row]));
    const changes: RowChange[] = [];
    for (const after of good) {
      const before = now.get(keyOf(after));
      if (before === undefined) changes.push({ op: 'insert', after });
      else if (JSON.stringify(before) !== JSON.stringify(after)) changes.push({ op: 'update', before, after });
      now.delete(keyOf(after));
    }
    for (const before of now.values()) changes.push({ op: 'delete', before });
    return { changes, good };
  };
  return { header, name, rows, damaged };
}

/** Nothing stands against it, and the rows become what they were. */
async function isUndone(table: Made, sql: string): Promise<void> {
  const { changes, good } = await table.damaged(sql);
  expect(changes.length).toBeGreaterThan(0);
  expect([...(await bench.plan(table.header, changes)).reasons]).toEqual([]);
  expect((await bench.apply(table.header, changes)).left).toEqual([]);
  expect(await table.rows()).toEqual(good);
}

const ABC = "(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')";
const ROTATE = "UPDATE @ SET code = translate(code, 'abcd', 'bcad')";
/** b is gone, another row took its value, and a new one that of the other. */
const CHAIN = "DELETE FROM @ WHERE id = 2; UPDATE @ SET code = 'b' WHERE id = 3; INSERT INTO @ VALUES (9, 'c')";
const TABLE = 'CREATE TABLE @ (id int PRIMARY KEY, code text';

/** Its cycle cannot be made by one statement where the rule is looked at row by row. */
const inSteps = (sql: string): string =>
  `CREATE TEMP TABLE kept AS SELECT * FROM @; ${sql.replaceAll('@', 'kept')}; DELETE FROM @; INSERT INTO @ (id, code) SELECT id, code FROM kept`;

describe('T6: rows that take unique values from each other are put right', () => {
  test.each([
    ['a constraint', `${TABLE} UNIQUE)`],
    ['an index', `${TABLE}); CREATE UNIQUE INDEX ON @ (code)`],
    ['an index over expressions', `${TABLE}); CREATE UNIQUE INDEX ON @ (lower(code), (id > 0))`],
    ['an index over a part of the rows', `${TABLE}); CREATE UNIQUE INDEX ON @ (code) WHERE code <> 'x'`],
    ['a constraint that is looked at in the end', `${TABLE} UNIQUE DEFERRABLE)`],
    ['a constraint that excludes', `${TABLE}, EXCLUDE USING gist (code WITH =))`],
    ['a column that the server computes', `${TABLE}, n text GENERATED ALWAYS AS (code || '!') STORED UNIQUE)`],
    [
      'an index of one partition',
      `${TABLE}) PARTITION BY LIST (id); CREATE TABLE @_a PARTITION OF @ FOR VALUES IN (1, 2, 3, 4);
       CREATE TABLE @_b PARTITION OF @ DEFAULT; CREATE UNIQUE INDEX ON @_a (code)`,
    ],
  ])('of %s: a cycle, and a chain through deletes and inserts', async (_, create) => {
    const table = await made(create, ABC);
    await isUndone(table, inSteps(ROTATE));
    await isUndone(table, inSteps(CHAIN));
  });

  test('NULL, where it is a value like others', async () => {
    const table = await made(`${TABLE} UNIQUE NULLS NOT DISTINCT)`, "(1, NULL), (2, 'b')");
    await isUndone(table, inSteps("UPDATE @ SET code = CASE id WHEN 1 THEN 'b' END"));
    expect(await reasons(table, [{ op: 'insert', after: ['3', null] }])).toEqual(['not-unique']);
    const usual = await made(`${TABLE} UNIQUE)`, "(1, NULL), (2, 'b')");
    expect(await reasons(usual, [{ op: 'insert', after: ['3', null] }])).toEqual([]);
  });

  test('keys of rows that are told apart by another column, also of an identity that the server makes', async () => {
    const table = await made(
      'CREATE TABLE @ (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE NOT NULL); CREATE TABLE @_child (of int REFERENCES @)',
      ABC,
      ['code'],
    );
    const ids = 'UPDATE @ SET id = id % 4 + 1';
    const bySteps = `CREATE TEMP TABLE kept AS SELECT * FROM @; ${ids.replaceAll('@', 'kept')}; DELETE FROM @; INSERT INTO @ OVERRIDING SYSTEM VALUE SELECT * FROM kept`;
    await isUndone(table, bySteps);
    // Rows that refer to them find one that has their key.
    const { changes, good } = await table.damaged(bySteps);
    await database.query(`INSERT INTO ${table.name}_child VALUES (2), (3)`);
    expect(await reasons(table, changes)).toEqual([]);
    await bench.apply(table.header, changes);
    expect(await table.rows()).toEqual(good);
    const { rows } = await database.query(`SELECT of FROM ${table.name}_child JOIN ${table.name} ON of = id`);
    expect(rows).toHaveLength(2);
  });

  test('a table without a key, and twenty thousand rows that each take the value of the next one', async () => {
    const without = await made('CREATE TABLE @ (id int, code text UNIQUE)', ABC);
    const [a, b] = [
      ['1', 'a'],
      ['2', 'b'],
    ];
    const taken: RowChange = { op: 'insert', after: ['7', 'a'] };
    expect(await reasons({ ...without, header: { ...without.header, key: [] } }, [taken])).toEqual(['not-unique']);
    const swap: RowChange[] = [
      ...[a, b].map((before) => ({ op: 'delete' as const, before })),
      ...[
        ['1', 'b'],
        ['2', 'a'],
      ].map((after) => ({ op: 'insert' as const, after })),
    ];
    const keyless = { ...without.header, key: [] };
    expect((await bench.plan(keyless, swap)).reasons.size).toBe(0);
    expect(await bench.apply(keyless, swap)).toMatchObject({ insert: 2, delete: 2, left: [] });

    const long = await made(
      'CREATE TABLE @ (id int PRIMARY KEY, place int UNIQUE); INSERT INTO @ SELECT n, n FROM generate_series(1, 20000) n',
      '(0, 0)',
    );
    const changes = Array.from({ length: 20_000 }, (_, at): RowChange => {
      const id = String(at + 1);
      return { op: 'update', before: [id, id], after: [id, String(at + 2)] };
    });
    expect((await bench.plan(long.header, changes)).reasons.size).toBe(0);
    expect(await bench.apply(long.header, changes)).toMatchObject({ update: 20_000, left: [] });
  });
});

describe('T6: what stands against a row is a conflict of the plan, and no failure of the repair', () => {
  const update = (id: string, before: string, after: string): RowChange => ({
    op: 'update',
    before: [id, before],
    after: [id, after],
  });

  test('a value that another row keeps, though it is changed in another column; and all that wait for such a row', async () => {
    const table = await made(`${TABLE} UNIQUE, note text)`, "(1, 'a', ''), (2, 'b', ''), (3, 'c', '')");
    const of = (id: string, before: string, after: string, note = ''): RowChange => ({
      op: 'update',
      before: [id, before, ''],
      after: [id, after, note],
    });
    // 2 keeps b: 1 cannot have it, and 3 cannot have a.
    expect(await reasons(table, [of('1', 'a', 'b'), of('2', 'b', 'b', 'x'), of('3', 'c', 'a')])).toEqual([
      'not-unique',
      'not-unique',
    ]);
    // Two that would get the same.
    expect(await reasons(table, [of('1', 'a', 'z'), of('2', 'b', 'z'), of('3', 'c', 'c', 'x')])).toEqual([
      'not-unique',
      'not-unique',
    ]);
  });

  test('reservations that overlap', async () => {
    const table = await made(
      'CREATE TABLE @ (id int PRIMARY KEY, room text, during int4range, EXCLUDE USING gist (room WITH =, during WITH &&))',
      "(1, 'x', '[1,5)'), (2, 'x', '[5,9)'), (3, 'y', '[1,9)')",
    );
    const of = (id: string, before: string, after: string): RowChange => ({
      op: 'update',
      before: [id, 'x', before],
      after: [id, 'x', after],
    });
    expect(await reasons(table, [{ op: 'insert', after: ['4', 'x', '[8,10)'] }])).toEqual(['not-unique']);
    expect(await reasons(table, [of('1', '[1,5)', '[1,6)')])).toEqual(['not-unique']);
    const both = [of('1', '[1,5)', '[1,6)'), of('2', '[5,9)', '[6,9)')];
    expect(await reasons(table, both)).toEqual([]);
    expect(await bench.apply(table.header, both)).toMatchObject({ update: 2, left: [] });
  });

  test('rows with which others would go are not deleted for it: they are conflicts, and so is all that triggers would see', async () => {
    const table = await made(
      `${TABLE} UNIQUE); CREATE TABLE @_child (of int REFERENCES @ ON DELETE CASCADE); CREATE FUNCTION @_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
      ABC,
    );
    await database.query(`INSERT INTO ${table.name}_child VALUES (1)`);
    const changes = [update('1', 'a', 'b'), update('2', 'b', 'a')];
    expect(await reasons(table, changes)).toEqual(['referenced', 'not-unique']);
    // Also where such a row came after the plan.
    await expect(bench.apply(table.header, changes)).rejects.toMatchObject({ code: 'conflict' });
    expect((await database.query(`SELECT FROM ${table.name}_child`)).rowCount).toBe(1);
    expect((await table.rows()).slice(0, 2)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ]);
    await database.query(
      `DELETE FROM ${table.name}_child; CREATE TRIGGER f AFTER DELETE ON ${table.name} FOR EACH ROW EXECUTE FUNCTION ${table.name}_f()`,
    );
    expect(await reasons(table, changes)).toEqual([]);
    expect(await reasons(table, changes, true)).toEqual(['not-unique', 'not-unique']);
    // Nor where nobody but a superuser sees whether others would go.
    await database.query(
      `ALTER TABLE ${table.name}_child OWNER TO postgres; ALTER TABLE ${table.name}_child ENABLE ROW LEVEL SECURITY`,
    );
    expect(await reasons(table, changes)).toEqual(['referenced', 'referenced']);
    expect(await reasons(table, [update('1', 'a', 'z')])).toEqual([]);
  });

  test('a key that rows of other tables refer to, and rows of the same table in any order', async () => {
    const table = await made(
      'CREATE TABLE @ (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE @_child (code text REFERENCES @ (code))',
      ABC,
    );
    await database.query(`INSERT INTO ${table.name}_child VALUES ('a')`);
    expect(await reasons(table, [update('1', 'a', 'z')])).toEqual(['referenced']);
    const tree = await made(
      'CREATE TABLE @ (id int PRIMARY KEY, parent int REFERENCES @)',
      '(1, NULL), (2, 1), (3, 2), (4, NULL)',
    );
    const gone = (id: string, parent: string | null): RowChange => ({ op: 'delete', before: [id, parent] });
    const back = (id: string, parent: string | null): RowChange => ({ op: 'insert', after: [id, parent] });
    expect(await reasons(tree, [gone('1', null), gone('2', '1'), gone('3', '2')])).toEqual([]);
    // 3 stays, and so do all above it.
    expect(await reasons(tree, [gone('1', null), gone('2', '1')])).toEqual(['referenced', 'referenced']);
    expect(await reasons(tree, [back('7', '6'), back('6', '5'), back('8', '4')])).toEqual([
      'refers-to-missing',
      'refers-to-missing',
    ]);
    expect(await reasons(tree, [back('7', '6'), back('6', null), gone('4', null), back('8', '4')])).toEqual([
      'refers-to-missing',
    ]);
  });

  test('values that a check, a domain or a column does not take any more', async () => {
    const table = await made(
      `CREATE DOMAIN s.short AS text CHECK (length(VALUE) < 3); CREATE TABLE @ (id int PRIMARY KEY, code s.short, n int NOT NULL,
         twice int GENERATED ALWAYS AS (n * 2) STORED CHECK (twice < 10))`,
      "(0, 'x', 1)",
    );
    const insert = (...after: (string | null)[]): RowChange => ({ op: 'insert', after });
    const changes = [insert('1', 'long', '1'), insert('2', 'ab', null), insert('3', null, '7'), insert('4', 'ok', '2')];
    const { reasons: found } = await bench.plan(table.header, changes);
    expect([...found].sort(([one], [other]) => one - other)).toEqual([
      [0, 'not-allowed'],
      [1, 'not-allowed'],
      [2, 'not-allowed'],
    ]);
    expect(await bench.apply(table.header, changes.slice(3))).toMatchObject({ insert: 1 });
  });

  test('what only one partition does not take: a check, a NULL, a foreign key, also to its own table; and a row that no partition takes', async () => {
    const table = await made(
      `CREATE TABLE @_other (id int PRIMARY KEY); INSERT INTO @_other VALUES (1);
       CREATE TABLE @ (id int PRIMARY KEY, n int, other int, parent int) PARTITION BY RANGE (id);
       CREATE TABLE @_a PARTITION OF @ (CHECK (n < 10), FOREIGN KEY (other) REFERENCES @_other, FOREIGN KEY (parent) REFERENCES @, n NOT NULL) FOR VALUES FROM (0) TO (100);
       CREATE TABLE @_b PARTITION OF @ FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
       CREATE TABLE @_c PARTITION OF @_b (CHECK (n > 0)) FOR VALUES FROM (100) TO (150)`,
      '(1, 1, 1, NULL), (101, 1, 1, NULL)',
    );
    const insert = (...after: (string | null)[]): RowChange => ({ op: 'insert', after });
    const refused: [RowChange, ConflictReason][] = [
      [insert('2', '10', null, null), 'not-allowed'],
      [insert('3', null, null, null), 'not-allowed'],
      [insert('102', '0', '7', null), 'not-allowed'],
      [insert('160', '1', null, null), 'not-allowed'],
      [insert('500', '1', null, null), 'not-allowed'],
      [insert('4', '1', '7', null), 'refers-to-missing'],
      [insert('5', '1', null, '77'), 'refers-to-missing'],
      [{ op: 'update', before: ['1', '1', '1', null], after: ['1', '10', '1', null] }, 'not-allowed'],
    ];
    const found = await bench.plan(
      table.header,
      refused.map(([change]) => change),
    );
    expect(refused.map(([change], at) => [change, found.reasons.get(at)])).toEqual(refused);
    for (const at of [0, 4, 5])
      await expect(bench.apply(table.header, [refused[at]?.[0] as RowChange])).rejects.toThrow();
    const taken = [insert('6', '9', '1', '7'), insert('7', '1', null, null), insert('103', '12', '7', '77')];
    expect(await reasons(table, [...taken, insert('104', null, null, null)])).toEqual([]);
    expect(await bench.apply(table.header, taken)).toMatchObject({ insert: 3, left: [] });
    // A partition by itself has the bounds that its table gave it.
    const own = { ...table, header: { ...table.header, table: { schema: 's', table: `${table.name.slice(2)}_a` } } };
    expect(await reasons(own, [insert('8', '1', null, null), insert('108', '1', null, null)])).toEqual(['not-allowed']);
  });

  test('rules of the table would make something else of a change: refused before anything is done', async () => {
    const table = await made(`${TABLE})`, ABC);
    await database.query(`CREATE RULE nothing AS ON DELETE TO ${table.name} DO INSTEAD NOTHING`);
    await expect(bench.plan(table.header, [{ op: 'delete', before: ['1', 'a'] }])).rejects.toMatchObject({
      code: 'capability-missing',
      hint: expect.stringContaining('DISABLE RULE "nothing"') as unknown,
    });
  });
});

const reasons = async (table: Made, changes: readonly RowChange[], fireTriggers = false): Promise<ConflictReason[]> =>
  [...(await bench.plan(table.header, changes, fireTriggers)).reasons.values()].map((one) => one ?? 'changed-since');
