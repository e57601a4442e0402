import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import type pg from 'pg';
import { changesFor } from '../../../src/activities/table/make-changes.js';
import type { ChangeSetHeader, RowChange, RowText } from '../../../src/domain/table/repair.js';
import { withTableSide } from '../../../src/postgres/compare/table-side.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { SAME_TEXT } from '../../../src/postgres/content/row-hash.js';
import {
  type ApplyOptions,
  applyChanges,
  changedSince,
  transactionEnd,
} from '../../../src/postgres/repair/apply-changes.js';
import { planConflicts } from '../../../src/postgres/repair/plan-conflicts.js';
import {
  type ChangeSetEntry,
  reversedEntries,
  withChangeSet,
  writeChangeSet,
} from '../../../src/postgres/repair/change-set-file.js';
import {
  closeRepairLogin,
  openRepairLogin,
  repairRole,
  repairRoles,
} from '../../../src/postgres/repair/repair-login.js';
import { readTableFacts, type TableFacts } from '../../../src/postgres/repair/table-facts.js';
import { tempDir } from '../../helpers/temp.js';
import { createDatabaseFromTemplate, runQuery, sharedServer, type TestDatabase } from '../../helpers/postgres.js';
import { repairBench } from '../../helpers/repair-rows.js';
import { until } from '../../helpers/until.js';

const server = () => {
  const { host, port, user } = sharedServer();
  return { host, port, user, maintenanceDatabase: 'postgres' };
};
const table = { schema: 'Ville "A"', table: 'rdv; DROP' };
const NAME = '"Ville ""A"""."rdv; DROP"';
const HEADER: ChangeSetHeader = { database: 'x', table, columns: ['id', 'who', 'at', 'data', 'price'], key: ['id'] };
const stop: ApplyOptions = {
  fireTriggers: false,
  onChanged: 'stop',
  from: 0,
  beforeCommit: () => Promise.resolve(),
};

let database: TestDatabase;
let role: string;

beforeAll(async () => {
  database = await createDatabaseFromTemplate();
  role = `owner_${database.name}`;
  await database.query(`CREATE ROLE ${role} NOLOGIN`);
});
afterAll(async () => {
  await runQuery(sharedServer(), 'postgres', `DROP DATABASE IF EXISTS ${database.name} WITH (FORCE)`);
  await runQuery(sharedServer(), 'postgres', `DROP ROLE ${role}`);
});

beforeEach(async () => {
  await database.query(
    `DROP SCHEMA IF EXISTS "Ville ""A""" CASCADE; CREATE SCHEMA "Ville ""A""" AUTHORIZATION ${role}`,
  );
  await database.query(`SET ROLE ${role};
    CREATE COLLATION "Ville ""A""".numeric_first (provider = icu, locale = 'en-u-kn-true');
    CREATE DOMAIN "Ville ""A""".person AS text COLLATE "Ville ""A""".numeric_first NOT NULL CHECK (VALUE <> '');
    CREATE TABLE ${NAME} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who "Ville ""A""".person UNIQUE, at timestamptz,
      data json, price double precision, twice double precision GENERATED ALWAYS AS (price * 2) STORED);
    INSERT INTO ${NAME} (who, at, data, price) SELECT 'p' || n, timestamptz '2026-01-01 00:00Z' + n * interval '1 hour',
      pg_catalog.json_build_object('a', n, 'b', E'\\\\ \\n\\t "'), n / 3.0::float8 FROM generate_series(1, 20) n;
    UPDATE ${NAME} SET price = 'NaN' WHERE id = 3; UPDATE ${NAME} SET data = NULL, at = NULL, price = '-0' WHERE id = 4`);
});

/** Rows as a change set has them. */
async function rowsOf(where = 'true', of = NAME): Promise<(string | null)[][]> {
  return withClient(server(), database.name, async (client) => {
    await client.query(`BEGIN; ${SAME_TEXT}`);
    const { rows } = await client.query<{ row: (string | null)[] }>(
      `SELECT ARRAY[id::text, who::text, at::text, data::text, price::text] AS row FROM ${of} t WHERE ${where} ORDER BY id`,
    );
    return rows.map(({ row }) => row);
  });
}

const asRepair = <T>(use: (client: pg.Client, facts: TableFacts) => Promise<T>, of = table): Promise<T> =>
  repairBench(database).asRepair(of, use);
const apply = (changes: readonly RowChange[], options: Partial<ApplyOptions> = {}, header = HEADER) =>
  repairBench(database).apply(header, changes, options);

/** Rows 1 to 3 were deleted and 4 and 5 changed, and 21 and 22 came. */
async function damage(): Promise<{ changes: RowChange[]; good: (string | null)[][] }> {
  const good = await rowsOf();
  await database.query(`DELETE FROM ${NAME} WHERE id <= 3; UPDATE ${NAME} SET data = '{"a":  1}', price = 0 WHERE id IN (4, 5);
    INSERT INTO ${NAME} (who) VALUES ('new'), ('newer')`);
  const bad = await rowsOf();
  const now = (id: string) => bad.find(([one]) => one === id) ?? [];
  const changes: RowChange[] = [
    ...good.slice(0, 3).map((after) => ({ op: 'insert' as const, after })),
    ...good.slice(3, 5).map((after) => ({ op: 'update' as const, before: now(after[0] ?? ''), after })),
    ...['21', '22'].map((id) => ({ op: 'delete' as const, before: now(id) })),
  ];
  return { changes, good };
}

describe('T6: rows are put right', () => {
  test('exactly as they were, by a login that is gone afterwards, and taken back exactly', async () => {
    const { changes, good } = await damage();
    const bad = await rowsOf();
    const path = join(await tempDir('changes'), 'changes');
    const digest = await writeChangeSet(path, HEADER, changes, null);
    expect(digest).toMatchObject({ insert: 3, update: 2, delete: 2, conflicts: 0 });

    const done = await asRepair((client, facts) =>
      withChangeSet(path, digest, ({ header, entries }) =>
        applyChanges(client, header, facts, entries() as AsyncGenerator<RowChange>, stop),
      ),
    );
    expect(done).toEqual({ insert: 3, update: 2, delete: 2, left: [] });
    expect(await rowsOf()).toEqual(good);
    expect(await rowsOf('twice = price * 2')).toHaveLength(20);

    await withChangeSet(path, digest, ({ header, entries }) =>
      asRepair((client, facts) => applyChanges(client, header, facts, reversedEntries(entries()), stop)),
    );
    expect(await rowsOf()).toEqual(bad);
    const { rows } = await database.query('SELECT FROM pg_roles WHERE rolname = $1', [repairRole(database.name)]);
    expect(rows).toHaveLength(0);
  });

  test('a row that somebody changed meanwhile, by one space of a json, is never overwritten and rolls all back', async () => {
    const { changes } = await damage();
    await database.query(`UPDATE ${NAME} SET data = '{"a": 1}' WHERE id = 5`);
    const before = await rowsOf();
    await expect(apply(changes)).rejects.toMatchObject({ code: 'conflict', details: { left: [4] } });
    expect(await rowsOf()).toEqual(before);
    expect(await asRepair((client, facts) => changedSince(client, HEADER, facts, changes))).toEqual([4]);
  });

  test('in batches such a row stays as it is, and is named', async () => {
    const { changes, good } = await damage();
    await database.query(
      `UPDATE ${NAME} SET who = 'Anne' WHERE id = 4; INSERT INTO ${NAME} (id, who) OVERRIDING SYSTEM VALUE VALUES (2, 'here again')`,
    );
    expect(await apply(changes, { onChanged: 'leave', from: 100 })).toMatchObject({ left: [101, 103] });
    const rows = await rowsOf();
    expect(rows.filter(([id]) => id === '2' || id === '4').map(([, who]) => who)).toEqual(['here again', 'Anne']);
    expect(rows.filter(([id]) => id !== '2' && id !== '4')).toEqual(good.filter(([id]) => id !== '2' && id !== '4'));
  });

  test('a writer that comes between loses nothing: its row is a conflict when it commits first', async () => {
    const { changes } = await damage();
    await withClient(server(), database.name, async (writer) => {
      await writer.query(`BEGIN; UPDATE ${NAME} SET who = 'meanwhile' WHERE id = 4`);
      const applied = apply(changes, { lockTimeout: '10min' }).catch((error: unknown) => error);
      const waits = `SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'`;
      await until(
        async () => (await database.query(waits, [repairRole(database.name)])).rowCount === 1,
        'the repair waits for the row',
      );
      await writer.query('COMMIT');
      expect(await applied).toMatchObject({ code: 'conflict', details: { left: [3] } });
    });
    expect((await rowsOf('id = 4'))[0]?.[1]).toBe('meanwhile');
  });

  test('after a crash the noted transaction tells whether it was committed', async () => {
    const { changes } = await damage();
    let noted = '';
    const beforeCommit = (xid: string): Promise<void> => {
      noted = xid;
      return Promise.reject(new Error('crash'));
    };
    await expect(apply(changes, { beforeCommit })).rejects.toThrow('crash');
    expect(await withClient(server(), database.name, (client) => transactionEnd(client, noted))).toBe('aborted');
    await apply(changes, { beforeCommit: async (xid) => void (noted = await Promise.resolve(xid)) });
    expect(await withClient(server(), database.name, (client) => transactionEnd(client, noted))).toBe('committed');
  });

  test('F39: triggers fire only where that was asked for, and are as they were afterwards', async () => {
    await database.query(`SET ROLE ${role}; CREATE FUNCTION "Ville ""A""".refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
      CREATE TRIGGER "a ""b" BEFORE INSERT OR UPDATE OR DELETE ON ${NAME} FOR EACH ROW EXECUTE FUNCTION "Ville ""A""".refuse();
      ALTER TABLE ${NAME} ENABLE ALWAYS TRIGGER "a ""b"`);
    await database.query(`ALTER TABLE ${NAME} DISABLE TRIGGER "a ""b"`);
    const { changes, good } = await damage();
    await database.query(`ALTER TABLE ${NAME} ENABLE ALWAYS TRIGGER "a ""b"`);
    await expect(apply(changes, { fireTriggers: true })).rejects.toThrow('.refuse() line 1 at RAISE (SQLSTATE P0001)');
    await apply(changes);
    expect(await rowsOf()).toEqual(good);
    const { rows } = await database.query(
      `SELECT tgenabled FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal`,
      [NAME],
    );
    expect(rows).toEqual([{ tgenabled: 'A' }]);
  });

  test('code of the table runs without rights of a superuser', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".seen (who text, super text);
      CREATE FUNCTION "Ville ""A""".look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        BEGIN SET ROLE postgres; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
        INSERT INTO "Ville ""A""".seen SELECT session_user, current_setting('is_superuser'); RETURN NULL; END$$;
      CREATE TRIGGER look AFTER DELETE ON ${NAME} FOR EACH ROW EXECUTE FUNCTION "Ville ""A""".look()`);
    const [row] = await rowsOf('id = 7');
    await apply([{ op: 'delete', before: row ?? [] }], { fireTriggers: true });
    const { rows } = await database.query('SELECT * FROM "Ville ""A""".seen');
    expect(rows).toEqual([{ who: repairRole(database.name), super: 'off' }]);
  });

  test('a table of a superuser that calls code of others is refused', async () => {
    await database.query(
      `SET ROLE ${role}; CREATE FUNCTION "Ville ""A""".theirs(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'`,
    );
    await database.query(`CREATE TABLE "Ville ""A""".own (id bigint PRIMARY KEY CHECK ("Ville ""A""".theirs(id)))`);
    const header = { ...HEADER, table: { schema: 'Ville "A"', table: 'own' }, columns: ['id'] };
    await expect(apply([{ op: 'insert', after: ['1'] }], {}, header)).rejects.toMatchObject({
      code: 'privilege-missing',
    });
    await database.query(`ALTER TABLE "Ville ""A""".own DROP CONSTRAINT own_id_check`);
    expect(await apply([{ op: 'insert', after: ['1'] }], {}, header)).toMatchObject({ insert: 1 });
  });

  test('rows of other tables are not changed with it: such a delete is a conflict', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".notes (rdv bigint REFERENCES ${NAME} ON DELETE CASCADE, note text);
      INSERT INTO "Ville ""A""".notes VALUES (5, 'x')`);
    const [row] = await rowsOf('id = 5');
    await expect(apply([{ op: 'delete', before: row ?? [] }])).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('1 rows of "Ville ""A""".notes') as unknown,
    });
    expect(await rowsOf('id = 5')).toHaveLength(1);
  });

  test('a reference to itself goes with its row, in any order', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".tree (id int PRIMARY KEY, parent int REFERENCES "Ville ""A""".tree ON DELETE CASCADE);
      INSERT INTO "Ville ""A""".tree VALUES (1, NULL), (2, 1), (3, 2)`);
    const header = { ...HEADER, table: { schema: 'Ville "A"', table: 'tree' }, columns: ['id', 'parent'] };
    const rows = [
      ['1', null],
      ['2', '1'],
      ['3', '2'],
    ] as const;
    await apply(
      rows.map((before) => ({ op: 'delete', before })),
      {},
      header,
    );
    await apply(
      [...rows].reverse().map((after) => ({ op: 'insert', after })),
      {},
      header,
    );
    await expect(apply([{ op: 'delete', before: ['2', '1'] }], {}, header)).rejects.toMatchObject({ code: 'conflict' });
    expect((await database.query('SELECT * FROM "Ville ""A""".tree')).rowCount).toBe(3);
  });

  test('of equal rows in a table without a key so many go as are to go', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".log (line text, at json) PARTITION BY LIST (line);
      CREATE TABLE "Ville ""A""".log_a PARTITION OF "Ville ""A""".log FOR VALUES IN ('a'); CREATE TABLE "Ville ""A""".log_b PARTITION OF "Ville ""A""".log DEFAULT;
      INSERT INTO "Ville ""A""".log SELECT 'a', '{}' FROM generate_series(1, 5); INSERT INTO "Ville ""A""".log VALUES ('b', NULL), (NULL, '1')`);
    const header: ChangeSetHeader = {
      ...HEADER,
      table: { schema: 'Ville "A"', table: 'log' },
      columns: ['line', 'at'],
      key: [],
    };
    const gone = { op: 'delete' as const, before: ['a', '{}'] };
    await apply([gone, gone, { op: 'delete', before: ['b', null] }, { op: 'insert', after: ['c', '[]'] }], {}, header);
    const { rows } = await database.query('SELECT line, count(*)::int FROM "Ville ""A""".log GROUP BY 1 ORDER BY 1');
    expect(rows).toEqual([
      { line: 'a', count: 3 },
      { line: 'c', count: 1 },
      { line: null, count: 1 },
    ]);
    await expect(apply([gone, gone, gone, gone], {}, header)).rejects.toMatchObject({
      code: 'conflict',
      details: { left: [3] },
    });
  });

  test('a sequence gives no key again that came back', async () => {
    const [row] = await rowsOf('id = 20');
    await apply([{ op: 'insert', after: ['500', 'p500', ...(row ?? []).slice(2)] }]);
    await database.query(`INSERT INTO ${NAME} (who) VALUES ('next')`);
    expect((await rowsOf("who = 'next'"))[0]?.[0]).toBe('501');
  });

  test('a value that must be unique and is another row’s is a conflict, and nothing is changed', async () => {
    await expect(apply([{ op: 'insert', after: ['99', 'p1', null, null, null] }])).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await rowsOf('id = 99')).toHaveLength(0);
  });

  test('F18: equal values are equal, however they are stored: NaN that was computed, an array that once had a NULL', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".odd (id int PRIMARY KEY, f float8, list int[]);
      INSERT INTO "Ville ""A""".odd VALUES (1, 'Infinity', '{1,NULL}'), (2, '-0', '{}');
      UPDATE "Ville ""A""".odd SET f = f - 'Infinity'::float8, list[2] = 2 WHERE id = 1`);
    const header = { ...HEADER, table: { schema: 'Ville "A"', table: 'odd' }, columns: ['id', 'f', 'list'] };
    const changes: RowChange[] = [
      { op: 'update', before: ['1', 'NaN', '{1,2}'], after: ['1', '5', '{}'] },
      { op: 'update', before: ['2', '-0', '{}'], after: ['2', '0', '{3}'] },
    ];
    expect(await apply(changes, {}, header)).toMatchObject({ update: 2, left: [] });
    // Zero and minus zero are equal in SQL, and not the same row.
    await expect(apply([{ op: 'delete', before: ['2', '-0', '{3}'] }], {}, header)).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('F19: forced row security, and a database of no encoding, are refused before anything is done', async () => {
    await database.query(
      `ALTER TABLE ${NAME} ENABLE ROW LEVEL SECURITY; CREATE POLICY a_few ON ${NAME} USING (id > 5)`,
    );
    // Not forced: it does not concern the owner.
    const { changes, good } = await damage();
    await apply(changes);
    expect(await rowsOf()).toEqual(good);
    await database.query(`ALTER TABLE ${NAME} FORCE ROW LEVEL SECURITY`);
    await expect(apply(changes)).rejects.toMatchObject({
      code: 'capability-missing',
      hint: expect.stringContaining(`ALTER TABLE ${NAME} NO FORCE ROW LEVEL SECURITY`) as unknown,
    });
    const ascii = `${database.name}_ascii`;
    await runQuery(
      sharedServer(),
      'postgres',
      `CREATE DATABASE ${ascii} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
    );
    try {
      await runQuery(sharedServer(), ascii, 'CREATE TABLE public.t (id int PRIMARY KEY)');
      await expect(
        withClient(server(), ascii, (client) => readTableFacts(client, { schema: 'public', table: 't' })),
      ).rejects.toMatchObject({ code: 'capability-missing', message: expect.stringContaining('SQL_ASCII') as unknown });
    } finally {
      await runQuery(sharedServer(), 'postgres', `DROP DATABASE ${ascii} WITH (FORCE)`);
    }
  });

  test('rows that other rows stand against are conflicts of the plan: a value that must be unique, a row of another table that is gone', async () => {
    await database.query(`SET ROLE ${role}; CREATE TABLE "Ville ""A""".town (code text PRIMARY KEY);
      CREATE TABLE "Ville ""A""".visit (id int PRIMARY KEY, town text REFERENCES "Ville ""A""".town, "slot ""1" int UNIQUE);
      INSERT INTO "Ville ""A""".town VALUES ('here'); INSERT INTO "Ville ""A""".visit VALUES (1, 'here', 10), (2, 'here', 20), (3, NULL, NULL)`);
    const visits = { schema: 'Ville "A"', table: 'visit' };
    const header = { ...HEADER, table: visits, columns: ['id', 'town', 'slot "1'] };
    // 1 and 3 would get what 2 keeps; 4 and 5 get what is free.
    const changes: RowChange[] = [
      { op: 'update', before: ['1', 'here', '10'], after: ['1', 'here', '20'] },
      { op: 'update', before: ['3', null, null], after: ['3', null, '20'] },
      { op: 'insert', after: ['4', null, '30'] },
      { op: 'insert', after: ['5', null, null] },
    ];
    const conflicts = async (of: readonly RowChange[]) => {
      const options = { fireTriggers: false };
      return (await asRepair((client, facts) => planConflicts(client, header, facts, of, options), visits)).reasons;
    };
    expect(await conflicts(changes)).toEqual(
      new Map([
        [0, 'not-unique'],
        [1, 'not-unique'],
      ]),
    );
    const swap: RowChange = { op: 'update', before: ['2', 'here', '20'], after: ['2', 'here', '10'] };
    expect(await conflicts([changes[0] as RowChange, swap])).toEqual(new Map());

    const good = [
      ['5', 'gone', '50'],
      ['6', 'here', '60'],
    ];
    const entries = await withClient(server(), database.name, async (client) => {
      const facts = await readTableFacts(client, visits);
      return withTableSide(client, visits, 'here', async (side) => {
        const made: ChangeSetEntry[] = [];
        const order = {
          database: database.name,
          table: visits,
          source: { kind: 'transaction', xid: '1' },
          strategy: 'undo',
        } as const;
        const rows = (of: readonly RowText[]) => () =>
          (async function* () {
            yield* of;
          })();
        const damaged = { header, order, facts, count: 2, good: rows(good), bad: rows([]) };
        for await (const entry of changesFor(damaged, side, new AbortController().signal)) made.push(entry);
        return made;
      });
    });
    expect(entries).toMatchObject([
      { op: 'conflict', reason: 'refers-to-missing', key: ['5'] },
      { op: 'insert', after: ['6', 'here', '60'] },
    ]);
    // A key that does not tell rows apart is refused: one of two rows would be lost in silence.
    await expect(
      withClient(server(), database.name, async (client) => {
        const facts = await readTableFacts(client, visits);
        return withTableSide(client, visits, 'here', async (side) => {
          const order = {
            database: database.name,
            table: visits,
            source: { kind: 'transaction', xid: '1' },
            strategy: 'undo',
          } as const;
          const same = [
            ['5', 'here', '50'],
            ['6', 'here', '60'],
          ];
          const rows = (of: readonly RowText[]) => () =>
            (async function* () {
              yield* of;
            })();
          const damaged = {
            header: { ...header, key: ['town'] },
            order,
            facts,
            count: 2,
            good: rows(same),
            bad: rows([]),
          };
          for await (const _ of changesFor(damaged, side, new AbortController().signal));
        });
      }),
    ).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('does not tell the rows apart') as unknown,
    });
  });

  test('F35: a login that an attempt has left is found by its operation, with the databases in which it has rights', async () => {
    await withClient(server(), database.name, async (superuser) => {
      const facts = await readTableFacts(superuser, table);
      await openRepairLogin(superuser, server(), { operationId: database.name, table }, facts);
      const left = (await repairRoles(superuser)).filter(({ operationId }) => operationId === database.name);
      expect(left).toEqual([{ operationId: database.name, databases: [database.name] }]);
      await closeRepairLogin(superuser, database.name);
      expect((await repairRoles(superuser)).map(({ operationId }) => operationId)).not.toContain(database.name);
    });
  });

  test('a change set that is not the approved one is refused, also when it changes while it is read', async () => {
    const { changes } = await damage();
    const directory = await tempDir('changes');
    const [one, other] = [join(directory, 'one'), join(directory, 'other')];
    const digest = await writeChangeSet(one, HEADER, changes, null);
    await writeChangeSet(other, HEADER, changes.slice(1), null);
    await expect(withChangeSet(other, digest, () => Promise.resolve())).rejects.toMatchObject({ code: 'plan-stale' });
  });
});
