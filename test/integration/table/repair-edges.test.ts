import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { keysInOtherText, pairedChanges } from '../../../src/activities/table/equal-keys.js';
import { placesOfKey } from '../../../src/activities/table/key-places.js';
import { changesFor } from '../../../src/activities/table/make-changes.js';
import { onlyDone, takenBack } from '../../../src/activities/table/take-back.js';
import { rowsIfThere } from '../../../src/activities/table/repair-session.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { RepairRequest } from '../../../src/activities/api.js';
import { RepriseError } from '../../../src/domain/errors.js';
import type { RepairOrder } from '../../../src/domain/operation/orders.js';
import type { ChangeSetHeader, RowChange, RowText } from '../../../src/domain/table/repair.js';
import { eachLine } from '../../../src/postgres/compare/copied-lines.js';
import { withTableSide } from '../../../src/postgres/compare/table-side.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { applyChanges } from '../../../src/postgres/repair/apply-changes.js';
import { type ChangeSetEntry, withChangeSet, writeChangeSet } from '../../../src/postgres/repair/change-set-file.js';
import { hasValue } from '../../../src/postgres/content/table-condition.js';
import { namingHolders } from '../../../src/postgres/repair/lock-holders.js';
import { materializedViewsOf } from '../../../src/postgres/repair/materialized-views.js';
import { repairRole } from '../../../src/postgres/repair/repair-login.js';
import { withRowsFile } from '../../../src/postgres/repair/rows-file.js';
import { readTableFacts } from '../../../src/postgres/repair/table-facts.js';
import { planDigest } from '../../../src/records/digest.js';
import { openHostState } from '../../../src/records/host-state.js';
import { keepBegunChanges, noteBatch, openRepairFiles } from '../../../src/records/repair-files.js';
import { collect } from '../../helpers/collect.js';
import { tempDir } from '../../helpers/temp.js';
import { createDatabaseFromTemplate, runQuery, sharedServer, type TestDatabase } from '../../helpers/postgres.js';
import { repairBench, type RepairBench } from '../../helpers/repair-rows.js';
import { until } from '../../helpers/until.js';
import { repairPlanOf } from '../../workflows/repairs.js';

let database: TestDatabase;
let role: string;
let bench: RepairBench;
const server = () => ({ ...sharedServer(), maintenanceDatabase: 'postgres' });

beforeAll(async () => {
  database = await createDatabaseFromTemplate();
  role = `owner_${database.name}`;
  await database.query(`CREATE ROLE ${role} NOLOGIN; CREATE SCHEMA s AUTHORIZATION ${role}`);
  bench = repairBench(database);
});
afterAll(async () => {
  await runQuery(sharedServer(), 'postgres', `DROP DATABASE IF EXISTS ${database.name} WITH (FORCE)`);
  await runQuery(sharedServer(), 'postgres', `DROP ROLE ${role}`);
});

const headerOf = (table: string, columns: readonly string[], key = ['id']): ChangeSetHeader => ({
  ...{ database: database.name, table: { schema: 's', table }, columns, key },
});
const asOwner = (sql: string) => database.query(`SET ROLE ${role}; ${sql}`);
async function rowsOf(table: string): Promise<RowText[]> {
  const { rows } = await database.query(`SELECT ARRAY[id::text, v] AS row FROM s.${table} ORDER BY id`);
  return (rows as { row: RowText }[]).map(({ row }) => row);
}
const update = (id: string, before: string, after: string): RowChange => ({
  op: 'update',
  before: [id, before],
  after: [id, after],
});

describe('T6: others are in the way', () => {
  test('a lock that others hold is waited for, and then said to be busy, with who holds it; nothing is changed, and it can be tried again', async () => {
    await asOwner("CREATE TABLE s.held (id int PRIMARY KEY, v text); INSERT INTO s.held VALUES (1, 'bad')");
    const header = headerOf('held', ['id', 'v']);
    const holder = new pg.Client({ ...sharedServer(), database: database.name, application_name: 'night "batch"' });
    await holder.connect();
    const told: string[] = [];
    const apply = (lockTimeout: string) =>
      bench.asRepair(header.table, (client, facts) =>
        withClient(server(), 'postgres', (watcher) =>
          namingHolders(
            watcher,
            client,
            (holders) => void told.push(holders),
            () =>
              applyChanges(client, header, facts, [update('1', 'bad', 'good')], {
                ...{ fireTriggers: false, onChanged: 'stop', from: 0, lockTimeout },
                beforeCommit: () => Promise.resolve(),
              }),
          ),
        ),
      );
    // Who holds it is looked up each second: where that comes late on a busy machine, the next try waits longer.
    const busy = async (): Promise<unknown> => {
      for (const lockTimeout of ['3s', '30s', '2min']) {
        const error: unknown = await apply(lockTimeout).catch((one: unknown) => one);
        if (!(error instanceof RepriseError) || error.message.includes('(process ') || lockTimeout === '2min')
          return error;
      }
      return undefined;
    };
    try {
      await holder.query('BEGIN; SELECT FROM s.held FOR UPDATE');
      expect(await busy()).toMatchObject({
        code: 'busy',
        message: expect.stringMatching(
          /^s\.held is held by others: .* \(process \d+ of "postgres" \("night \\"batch\\""\) since .*Z\)$/,
        ) as unknown,
      });
      expect(told[0]).toMatch(/^process \d+ of "postgres"/);
      expect(await rowsOf('held')).toEqual([['1', 'bad']]);
      const waiting = apply('10min');
      const waits = `SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'`;
      await until(async () => (await database.query(waits, [repairRole(database.name)])).rowCount === 1, 'it waits');
      await holder.query('COMMIT');
      expect(await waiting).toMatchObject({ update: 1, left: [] });
      // The server gives nobody the text of a computed column of a table that is locked.
      await asOwner("ALTER TABLE s.held ADD COLUMN g text GENERATED ALWAYS AS (v || '') STORED");
      await holder.query('BEGIN; LOCK TABLE s.held');
      expect(await busy()).toMatchObject({
        code: 'busy',
        message: expect.stringMatching(/ \(process \d+ of "postgres" \("night \\"batch\\""\) since .*Z\)$/) as unknown,
      });
      await holder.query('COMMIT');
    } finally {
      await holder.end();
    }
  });
});

describe('T6: a repair in batches of which one failed, and that was planned again', () => {
  test('is taken back whole: what the first plan did before it failed, and what the second one did', async () => {
    await asOwner(
      "CREATE TABLE s.twice (id int PRIMARY KEY, v text); INSERT INTO s.twice SELECT n, 'bad' || n FROM generate_series(1, 6) n",
    );
    const bad = await rowsOf('twice');
    const header = headerOf('twice', ['id', 'v']);
    const stateDir = await tempDir('state');
    const state = openHostState(stateDir);
    const [earlierId, operationId] = ['20261121-021500-aaaaaa', '20261121-031500-bbbbbb'];
    const order: RepairOrder = {
      ...{ database: database.name, table: header.table, batchRows: 2 },
      source: { kind: 'transaction', xid: '1' },
      strategy: 'undo',
    };
    const files = await openRepairFiles(stateDir, earlierId);
    const planned = async (changes: readonly RowChange[], createdAt: string) => {
      const digest = await writeChangeSet(files.changes, header, changes, null);
      const base = repairPlanOf({ cluster: 'mairie', operationId: earlierId, requester: 'test', order }, digest);
      const binding = { ...base.binding, changes: digest };
      const plan = { ...base, binding, digest: planDigest(binding), createdAt };
      await state.savePlan(plan);
      await keepBegunChanges(files, plan.digest);
      return plan;
    };
    const batch = (plan: string, at: number, changes: readonly RowChange[], fails = false) =>
      bench.apply(header, changes, {
        ...{ onChanged: 'leave', from: at * 2 },
        beforeCommit: async (xid, done) => {
          await noteBatch(files, plan, at, { xid, done });
          if (fails) throw new Error('the worker died');
        },
      });
    const of = (id: number): RowChange => update(String(id), `bad${id}`, `good${id}`);
    // Rows 1 and 2 were done, 3 and 4 were rolled back.
    const first = await planned([1, 2, 3, 4, 5, 6].map(of), '2026-11-21T02:15:00.000Z');
    await batch(first.digest, 0, [of(1), of(2)]);
    await expect(batch(first.digest, 1, [of(3), of(4)], true)).rejects.toThrow('died');
    // Somebody changes 1 again, which the second plan puts right as well; 3 is a conflict there.
    await database.query("UPDATE s.twice SET v = 'theirs' WHERE id = 1");
    const again = update('1', 'theirs', 'good1');
    const second = await planned([again, of(4), of(5), of(6)], '2026-11-21T02:25:00.000Z');
    await bench.apply(header, [again, of(4), of(5), of(6)]);
    const done = { insert: 0, update: 4, delete: 0, left: [], plan: second.digest };
    for (const plan of [second.digest, undefined]) await state.recordDone(earlierId, 'repair-applied', done, plan);

    const context = { host: { stateDir, name: 'db1' }, user: null, cluster: { name: 'mairie', connection: server() } };
    const request = { operationId, order: { ...order, source: { kind: 'repair', operationId: earlierId } } };
    const undone = await openRepairFiles(stateDir, operationId);
    const undo = (id: string) =>
      takenBack(context as unknown as ClusterContext, request as unknown as RepairRequest, id, undone);
    const digest = await undo(earlierId);
    expect(await onlyDone(context as unknown as ClusterContext, earlierId)).toEqual([
      `repair ${earlierId} went through 2 plans: the 6 rows that it changed are taken back, and no others`,
    ]);
    const changes = await withChangeSet(undone.found, digest, ({ entries }) => collect(entries()));
    await bench.apply(header, changes as RowChange[]);
    expect(await rowsOf('twice')).toEqual(bad.map(([id, v]) => [id, id === '1' ? 'theirs' : v]));
    const command = `reprise table undo mairie ${database.name} s.twice --repair ${earlierId}`;
    await expect(undo('20261121-041500-cccccc')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining(command),
    });
    await rm(files.directory, { recursive: true });
    await expect(undo(earlierId)).rejects.toMatchObject({
      message: expect.stringContaining('is kept no more'),
      hint: expect.stringContaining(
        `reprise table repair mairie ${database.name} s.twice --to TARGET --strategy upsert`,
      ),
    });
    const now = (table: string) =>
      withClient(server(), database.name, (client) => rowsIfThere(client, { schema: 's', table }));
    expect([await now('twice'), await now('never')]).toEqual([6, null]);
  });
});

/** The changes that undo the damage between two states in the table as it is. */
function undoChanges(
  header: ChangeSetHeader,
  [good, bad]: readonly [readonly RowText[], readonly RowText[]],
  more: Pick<RepairOrder, 'scope' | 'conflicts'>,
  count = 10,
  signal = new AbortController().signal,
): Promise<ChangeSetEntry[]> {
  const from = (rows: readonly RowText[]) => () =>
    (async function* () {
      yield* rows;
    })();
  const order: RepairOrder = {
    ...{ database: database.name, table: header.table, strategy: 'undo', ...more },
    source: { kind: 'transaction', xid: '1' },
  };
  return withClient(server(), database.name, async (client) => {
    const facts = await readTableFacts(client, header.table);
    const damaged = { header, order, facts, count, good: from(good), bad: from(bad) };
    return withTableSide(client, header.table, 'here', (side) => collect(changesFor(damaged, side, signal)));
  });
}

describe('T6: damage that changed keys', () => {
  test('is one change of a row, and one conflict where the row changed since, was deleted, or its old key is taken: never two rows of one', async () => {
    await asOwner(
      "CREATE TABLE s.keys (id int PRIMARY KEY, v text); INSERT INTO s.keys SELECT n, 'v' || n FROM generate_series(1, 6) n",
    );
    const good = await rowsOf('keys');
    await asOwner('UPDATE s.keys SET id = id + 100 WHERE id <= 5');
    const bad = await rowsOf('keys');
    // 102 is changed, 103 deleted, 4 is another row's, and that of 5 is there as it was.
    await asOwner(
      "UPDATE s.keys SET v = 'since' WHERE id = 102; DELETE FROM s.keys WHERE id = 103; INSERT INTO s.keys VALUES (4, 'new'), (5, 'v5')",
    );
    const header = headerOf('keys', ['id', 'v']);
    const changesOf = (scope: RepairOrder['scope'], count = 10) =>
      undoChanges(header, [good, bad], scope === undefined ? {} : { scope }, count);
    const expected = [
      { op: 'update', before: ['101', 'v1'], after: ['1', 'v1'] },
      {
        op: 'conflict',
        reason: 'changed-since',
        key: ['2'],
        good: ['2', 'v2'],
        bad: ['102', 'v2'],
        now: ['102', 'since'],
      },
      { op: 'conflict', reason: 'deleted-since', key: ['3'], good: ['3', 'v3'], bad: ['103', 'v3'], now: null },
      { op: 'conflict', reason: 'there-again', key: ['4'], good: ['4', 'v4'], bad: ['104', 'v4'], now: ['4', 'new'] },
      { op: 'delete', before: ['105', 'v5'] },
    ];
    const changes = await changesOf(undefined);
    expect(changes).toMatchObject(expected);
    // Also where the rows are looked at in parts, of which no row is in two.
    const inParts = await changesOf(undefined, 1_000_000);
    expect(inParts).toHaveLength(5);
    expect(inParts).toEqual(expect.arrayContaining(changes));
    // Where no key came or went, files of millions of rows are not read once more for each part; and a plan that is called off ends.
    const reads: number[] = [];
    for (const after of [bad.map(([id, v]): RowText => [String(Number(id) % 100), `${v}`]), [], bad]) {
      let times = 0;
      const counted = Object.assign([...good], { [Symbol.iterator]: () => (times++, good.values()) });
      await undoChanges(header, [counted, after], {}, 1_000_000);
      reads.push(times);
    }
    expect(reads).toEqual([8, 8, 15]);
    await expect(undoChanges(header, [good, bad], {}, 1_000_000, AbortSignal.abort(new Error('off')))).rejects.toThrow(
      'off',
    );
    // The old key is in the scope, the new one is not.
    expect(await changesOf([{ column: 'id', from: '1', below: '2' }])).toMatchObject(expected.slice(0, 1));
    const made = changes.filter(({ op }) => op !== 'conflict') as RowChange[];
    expect((await bench.plan(header, made)).reasons.size).toBe(0);
    expect(await bench.apply(header, made)).toMatchObject({ update: 1, delete: 1, left: [] });
    expect((await rowsOf('keys')).map(([id]) => id)).toEqual(['1', '4', '5', '6', '102', '104']);
  });
});

describe('T6: keys that are equal in another text', () => {
  test('T6: are one row that changed, whatever strategy and scope: numbers, floats, names that know no case; never a row that is deleted as one too many', async () => {
    await database.query(
      `CREATE EXTENSION citext; CREATE COLLATION s.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
       GRANT USAGE ON SCHEMA public TO ${role}`,
    );
    await asOwner(`CREATE TABLE s.spelled (k numeric, n text COLLATE s.nocase, f float8, c public.citext, v text, PRIMARY KEY (k, n, f, c));
      INSERT INTO s.spelled VALUES (1.00, 'bOB', 0, 'X', 'bad'), (2, 'Al', 1, 'y', 'b'), (3, 'Zoe', 0, 'z', 'extra')`);
    const header = headerOf('spelled', ['k', 'n', 'f', 'c', 'v'], ['k', 'n', 'f', 'c']);
    const good = ['1.0', 'Bob', '-0', 'x', 'old'];
    const [bad, extra] = [
      ['1.00', 'bOB', '0', 'X', 'bad'],
      ['3', 'Zoe', '0', 'z', 'extra'],
    ];
    const context = { cluster: { connection: server() }, user: null } as unknown as ClusterContext;
    const files = await openRepairFiles(await tempDir('spelled'), 'op');
    const facts = await withClient(server(), database.name, (client) => readTableFacts(client, header.table));
    const requestOf = (order: Partial<RepairOrder>) =>
      ({ operationId: 'op', order: { database: database.name, table: header.table, ...order } }) as RepairRequest;
    const differences = [
      { op: 'insert' as const, after: good },
      { op: 'delete' as const, before: bad },
      { op: 'delete' as const, before: extra },
    ];
    const candidates = await writeChangeSet(files.candidates, header, differences, null);
    const paired = async (strategy: RepairOrder['strategy'], scope?: RepairOrder['scope']) => {
      const request = requestOf({ strategy, ...(scope && { scope }) });
      const digest = await pairedChanges(context, request, files, facts, candidates);
      return withChangeSet(files.found, digest, ({ entries }) => collect(entries()));
    };
    const [asBad, asOld] = [[{ column: 'v', in: ['bad'] }], [{ column: 'v', in: ['old'] }]];
    const corrected = { op: 'update', before: bad, after: good };
    expect(await paired('delete-extra')).toEqual([{ op: 'delete', before: extra }]);
    expect(await paired('delete-extra', asBad)).toEqual([]);
    expect(await paired('insert-missing', asOld)).toEqual([]);
    expect(await paired('replace', asBad)).toEqual([corrected]);
    expect(await paired('upsert', asOld)).toEqual([corrected]);
    expect(await paired('replace')).toEqual([corrected, { op: 'delete', before: extra }]);
    // The same where the damage of a transaction is undone.
    const rows = (of: RowText) => () =>
      (async function* () {
        yield of;
      })();
    const undo = requestOf({ strategy: 'undo', scope: asBad, source: { kind: 'transaction', xid: '1' } });
    const states = { good: rows(good), bad: rows(bad) };
    const alike = await keysInOtherText(context, undo, facts, header, states);
    expect([...alike]).toEqual([[JSON.stringify(bad.slice(0, 4)), JSON.stringify(good.slice(0, 4))]]);
    const undone = await withClient(server(), database.name, (client) =>
      withTableSide(client, header.table, 'here', (side) =>
        collect(
          changesFor(
            { header, order: undo.order, facts, count: 2, ...states, alike },
            side,
            new AbortController().signal,
          ),
        ),
      ),
    );
    expect(undone).toEqual([corrected]);
    expect(await bench.apply(header, undone as RowChange[])).toMatchObject({ update: 1, left: [] });
    const { rows: found } = await database.query('SELECT ROW(s.*)::text AS row FROM s.spelled s ORDER BY k');
    expect(found).toEqual([{ row: '(1.0,Bob,-0,x,old)' }, { row: '(2,Al,1,y,b)' }, { row: '(3,Zoe,0,z,extra)' }]);
  });
});

describe('T6: rows that refer to others by equal values in another text', () => {
  test('T6: are no conflict, and those of which the other is gone are', async () => {
    // The other table is of somebody else: its values are looked up by a right to these alone.
    await database.query(`CREATE TABLE s.rates (rate numeric PRIMARY KEY, secret text); INSERT INTO s.rates VALUES (1.50), (2);
      GRANT REFERENCES ON s.rates TO ${role}`);
    await asOwner('CREATE TABLE s.rated (id int PRIMARY KEY, v numeric REFERENCES s.rates)');
    const header = headerOf('rated', ['id', 'v']);
    const good = [
      ['1', '1.5'],
      ['2', '2.000'],
      ['3', '3'],
      ['4', null],
    ];
    const changes = (await undoChanges(header, [good, []], {})) as RowChange[];
    expect(changes.map(({ op }) => op)).toEqual(['insert', 'insert', 'insert', 'insert']);
    expect([...(await bench.plan(header, changes)).reasons]).toEqual([[2, 'refers-to-missing']]);
    const left = changes.filter((_, at) => at !== 2);
    expect(await bench.apply(header, left)).toMatchObject({ insert: 3, left: [] });
    await bench.asRepair(header.table, (client) =>
      expect(client.query('SELECT secret FROM s.rates')).rejects.toThrow('permission denied'),
    );
  });
});

describe('T6: a scope of what is undone', () => {
  test('T6: values are read as PostgreSQL reads them, in whatever form people write them; what is none is refused', async () => {
    await asOwner(
      'CREATE TABLE s.scoped (id int PRIMARY KEY, at timestamptz, ok boolean, code character(4), n numeric(8,2))',
    );
    const good = [
      ['1', '2026-11-21 10:30:00+00', 't', 'ab  ', '1.50'],
      ['2', '2026-11-21 23:59:59+00', 'f', 'abcd', '2.00'],
    ];
    const header = headerOf('scoped', ['id', 'at', 'ok', 'code', 'n']);
    const putBack = async (...scope: NonNullable<RepairOrder['scope']>) =>
      (await undoChanges(header, [good, []], { scope })).map((one) => ('after' in one ? one.after[0] : one.op));
    expect(await putBack({ column: 'at', from: '2026-11-21T10:00:00Z', below: '2026-11-21T11:00:00Z' })).toEqual(['1']);
    expect(await putBack({ column: 'at', from: '2026-11-21 11:00:00+01', below: '2026-11-21T12:00' })).toEqual(['1']);
    expect(await putBack({ column: 'ok', in: ['true'] })).toEqual(['1']);
    expect(await putBack({ column: 'code', in: ['ab'] })).toEqual(['1']);
    expect(await putBack({ column: 'code', in: ['abcde'] })).toEqual([]);
    expect(await putBack({ column: 'n', in: ['+1.5'] }, { column: 'id', below: ' 2 ' })).toEqual(['1']);
    for (const scope of [
      { column: 'at', from: 'noon of nowhere' },
      { column: 'id', in: ['1; DROP TABLE s.scoped'] },
      { column: 'ok', in: ['maybe'] },
    ])
      await expect(putBack(scope)).rejects.toMatchObject({ code: 'usage' });
    await expect(
      undoChanges(header, [good, []], { conflicts: { rule: 'newest', column: 'nowhere' } }),
    ).rejects.toMatchObject({ code: 'usage' });
    // What locates a row by a value reads it so as well, whatever the database sets.
    await database.query(`INSERT INTO s.scoped VALUES (1, '2026-11-21 10:30:00+00', 't', 'ab', 1.5);
      CREATE DOMAIN s.cents AS numeric(8,2); CREATE TABLE s.found (u uuid, c s.cents, r int4range, l pg_lsn);
      INSERT INTO s.found VALUES ('550e8400-e29b-41d4-a716-446655440000', 1.5, '[1,3)', '0/ABC')`);
    await runQuery(
      sharedServer(),
      'postgres',
      `ALTER DATABASE ${database.name} SET "TimeZone" = 'Asia/Tokyo'; ALTER DATABASE ${database.name} SET "DateStyle" = 'German'`,
    );
    const has = async (table: string, column: string, value: string) => {
      const found = await hasValue(server(), database.name, { schema: 's', table }, { column, value });
      return found.holds;
    };
    try {
      for (const [table, column, value] of [
        ['scoped', 'at', '2026-11-21T11:30+01'],
        ['scoped', 'id', '001'],
        ['scoped', 'code', 'ab'],
        ['scoped', 'ok', 'true'],
        ['found', 'u', '550E8400-E29B-41D4-A716-446655440000'],
        ['found', 'c', '1.5'],
        ['found', 'r', '[1,2]'],
        ['found', 'l', '0/00abc'],
      ] as const) {
        expect([column, await has(table, column, value)]).toEqual([column, true]);
        // Where the row is, so that it is followed in the WAL.
        const named = { database: database.name, table: { schema: 's', table }, column, value };
        const places = await placesOfKey(server(), named, new AbortController().signal);
        expect([column, places?.map((one) => one.places.length)]).toEqual([column, [1]]);
      }
      expect(await has('scoped', 'at', '2026-11-21 10:30:01+00')).toBe(false);
      await expect(has('scoped', 'id', 'one')).rejects.toMatchObject({ code: 'usage' });
    } finally {
      await runQuery(sharedServer(), 'postgres', `ALTER DATABASE ${database.name} RESET ALL`);
    }
  });
});

describe('T6: rules for rows that changed again', () => {
  const types = ['float8', 'float4', 'numeric', 'interval', 'timestamptz', 'date', 'time(3)', 'character(4)'];
  const ordered: Readonly<Record<string, readonly string[]>> = {
    float8: ['-Infinity', '-1e+300', '-0', '5e-324', '9', '10', '1e+22', 'Infinity', 'NaN'],
    float4: ['-Infinity', '-3', '0', '0.1', '1e-05', '2', 'NaN'],
    numeric: ['-Infinity', '-1.50', '0', '9.99', '10', 'Infinity', 'NaN'],
    interval: ['-1 days', '-00:00:01', '00:00:00', '23:59:59.5', '1 day 00:00:00.000001', '29 days 25:00:00', '1 year'],
    timestamptz: ['-infinity', '0044-03-15 00:00:00+00 BC', '2026-11-21 10:30:00.5+00', 'infinity'],
    date: ['-infinity', '0044-03-15 BC', '2026-11-21', '10000-01-01', 'infinity'],
    'time(3)': ['00:00:00', '10:00:00', '10:00:00.5'],
    'character(4)': ['a   ', 'b   '],
  };

  test('T6: the newer row is told as PostgreSQL orders the values of a column, and refused where they have no order in time', async () => {
    for (const [number, type] of types.entries()) {
      const table = `newest_${number}`;
      const values = ordered[type] ?? [];
      await asOwner(`CREATE TABLE s.${table} (id int PRIMARY KEY, n ${type})`);
      // Each value before the damage with each one now.
      const pairs = values.flatMap((before) => values.map((now) => [before, now] as const));
      const wide = type === 'float4' ? 'real' : type;
      const { rows } = await database.query(
        `SELECT x.id::text, x.before::${wide} > x.now::${wide} AS newer FROM (VALUES ${pairs.map(([before, now], id) => `(${id}, '${before}', '${now}')`).join(', ')}) AS x (id, before, now)`,
      );
      const newer = (rows as { id: string; newer: boolean }[]).filter((one) => one.newer).map(({ id }) => id);
      await database.query(
        `INSERT INTO s.${table} VALUES ${pairs.map(([, now], id) => `(${id}, '${now}')`).join(', ')}`,
      );
      const good = pairs.map(([before], id) => [String(id), before]);
      const header = headerOf(table, ['id', 'n']);
      const changes = await undoChanges(header, [good, []], { conflicts: { rule: 'newest', column: 'n' } }, 1000);
      const taken = changes.flatMap((one) => (one.op === 'update' ? [one.before[0]] : []));
      expect([type, taken.toSorted()]).toEqual([type, newer.toSorted()]);
      expect(newer.length).toBeGreaterThan(0);
    }
    await asOwner('CREATE TABLE s.newest (id int PRIMARY KEY, n jsonb)');
    await expect(
      undoChanges(headerOf('newest', ['id', 'n']), [[['1', '9']], []], { conflicts: { rule: 'newest', column: 'n' } }),
    ).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('no order in time') as unknown });
  });

  test('T6: keys that people name are read as PostgreSQL reads them; one of another number of columns, or of no such value, is refused', async () => {
    await asOwner('CREATE TABLE s.taken (u uuid, n numeric, v text, PRIMARY KEY (u, n))');
    const u = '550e8400-e29b-41d4-a716-446655440000';
    await database.query(`INSERT INTO s.taken VALUES ('${u}', 1.00, 'since'), ('${u}', 2, 'since')`);
    const header = headerOf('taken', ['u', 'n', 'v'], ['u', 'n']);
    const rows = (v: string) => ['1.00', '2'].map((n) => [u, n, v]);
    const taking = (...keys: string[][]) =>
      undoChanges(header, [rows('good'), rows('bad')], { conflicts: { rule: 'keys', keys } });
    expect((await taking([u.toUpperCase(), '01'])).map(({ op }) => op)).toEqual(['update', 'conflict']);
    await expect(taking([u])).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('u, n') as unknown,
    });
    await expect(taking([u, 'one'])).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('T6: tables of every kind', () => {
  const insert = (...after: (string | null)[]): RowChange => ({ op: 'insert', after });

  test('T6: a published table without a replica identity is refused by the plan, and materialized views that go on showing the old rows are named', async () => {
    await asOwner(`CREATE TABLE s.published (id int NOT NULL UNIQUE, v text) PARTITION BY RANGE (id);
      CREATE TABLE s.published_1 PARTITION OF s.published FOR VALUES FROM (0) TO (10); INSERT INTO s.published VALUES (1, 'bad');
      CREATE VIEW s.seen AS SELECT v FROM s.published_1; CREATE MATERIALIZED VIEW s.counted AS SELECT count(*) FROM s.seen;
      CREATE MATERIALIZED VIEW s.other AS SELECT 1 AS one`);
    await database.query(`CREATE PUBLICATION repaired FOR TABLE s.published`);
    const header = headerOf('published', ['id', 'v']);
    const corrected = [update('1', 'bad', 'good')];
    for (const changes of [corrected, [{ op: 'delete' as const, before: ['1', 'bad'] }]])
      await expect(bench.plan(header, changes)).rejects.toMatchObject({
        code: 'capability-missing',
        message: expect.stringContaining('does not have a replica identity') as unknown,
        hint: expect.stringContaining('REPLICA IDENTITY') as unknown,
      });
    expect((await bench.plan(header, [insert('2', 'good')])).reasons.size).toBe(0);
    await database.query('ALTER TABLE s.published_1 REPLICA IDENTITY FULL');
    expect((await bench.plan(header, corrected)).reasons.size).toBe(0);
    expect(await bench.apply(header, corrected)).toMatchObject({ update: 1 });
    await database.query('DROP PUBLICATION repaired');
    const views = await withClient(server(), database.name, async (client) =>
      materializedViewsOf(client, (await readTableFacts(client, header.table)).oid),
    );
    expect(views).toEqual([{ schema: 's', table: 'counted' }]);
  });

  test('T6: what role or database set for applications changes nothing: a NULL in an array, XML without a root, a foreign key, a database that takes no writes', async () => {
    await asOwner(`CREATE TABLE s.parent (id int PRIMARY KEY); INSERT INTO s.parent VALUES (1);
      CREATE TABLE s.set (id int PRIMARY KEY REFERENCES s.parent, a text[], x xml)`);
    const header = headerOf('set', ['id', 'a', 'x']);
    const settings = {
      ...{ array_nulls: 'off', xmloption: 'document', session_replication_role: 'replica' },
      default_transaction_read_only: 'on',
    };
    const set = Object.entries(settings).map(
      ([name, value]) => `ALTER DATABASE ${database.name} SET ${name} = ${value}`,
    );
    await runQuery(sharedServer(), 'postgres', set.join('; '));
    try {
      expect(await bench.apply(header, [insert('1', '{NULL,a}', 'a<b/>')])).toMatchObject({ insert: 1 });
      await expect(bench.apply(header, [insert('2', '{}', '<a/>')])).rejects.toMatchObject({ code: 'conflict' });
    } finally {
      await runQuery(sharedServer(), 'postgres', `ALTER DATABASE ${database.name} RESET ALL`);
    }
    expect((await database.query('SELECT id, a, x FROM s.set')).rows).toEqual([{ id: 1, a: [null, 'a'], x: 'a<b/>' }]);
  });

  test('T6: rows of other tables that refer to one partition, or to the table that a partition is of, are not deleted with a row', async () => {
    await asOwner(`CREATE TABLE s.above (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE TABLE s.above_1 PARTITION OF s.above FOR VALUES FROM (0) TO (10); INSERT INTO s.above VALUES (1, 'a'), (2, 'b');
      CREATE TABLE s.to_part (id int REFERENCES s.above_1 ON DELETE CASCADE); INSERT INTO s.to_part VALUES (1);
      CREATE TABLE s.to_all (id int REFERENCES s.above ON DELETE CASCADE); INSERT INTO s.to_all VALUES (2)`);
    for (const [table, row] of [
      ['above', ['1', 'a']],
      ['above_1', ['2', 'b']],
    ] as const) {
      const header = headerOf(table, ['id', 'v']);
      const gone: RowChange[] = [{ op: 'delete', before: row }];
      expect([...(await bench.plan(header, gone)).reasons]).toEqual([[0, 'referenced']]);
      await expect(bench.apply(header, gone)).rejects.toMatchObject({ code: 'conflict' });
    }
    expect(await rowsOf('above')).toHaveLength(2);
  });

  test('F39: a value that its type does not take any more is told without it; a change set that cannot be read to its end leaves no session waiting', async () => {
    await asOwner("CREATE TYPE s.mood AS ENUM ('happy'); CREATE TABLE s.moods (id int PRIMARY KEY, v s.mood)");
    const header = headerOf('moods', ['id', 'v']);
    await expect(bench.plan(header, [insert('1', 'Jeanne')])).rejects.toMatchObject({
      code: 'capability-missing',
      message: expect.stringMatching(/^(?!.*Jeanne).*"v".*s\.mood/) as unknown,
    });
    for (const [sql, said] of [
      [`SELECT 'Jeanne "B": "C"'::int`, 'invalid input syntax for type integer'],
      ["SELECT '99999999999'::int", 'value "..."'],
      [`SELECT E'Jeanne\nB'::s.mood`, 'invalid input value for enum s.mood'],
    ] as const)
      await expect(withClient(server(), database.name, (client) => client.query(sql))).rejects.toMatchObject({
        message: said,
      });
    const broken = async function* (): AsyncGenerator<RowChange> {
      yield insert('1', 'happy');
      await Promise.reject(new Error('another file'));
    };
    await bench.asRepair(header.table, async (client, facts) => {
      const options = { fireTriggers: false, onChanged: 'stop' as const, from: 0 };
      const failed = applyChanges(client, header, facts, broken(), {
        ...options,
        beforeCommit: () => Promise.resolve(),
      });
      await expect(failed).rejects.toThrow('another file');
      expect((await client.query('SELECT FROM s.moods')).rowCount).toBe(0);
    });
  });

  test('T6: a trigger that lets no row in, and code that finds nothing without a schema, change nothing, and it is told what to do', async () => {
    await asOwner(`CREATE TABLE s.shut (id int PRIMARY KEY, v text);
      CREATE FUNCTION s.shut() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
      CREATE TRIGGER shut BEFORE INSERT ON s.shut FOR EACH ROW EXECUTE FUNCTION s.shut();
      CREATE FUNCTION s.helper(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
      CREATE FUNCTION s.lost(text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN helper($1) <> ''; END$$;
      SET search_path = s; CREATE TABLE s.lost (id int PRIMARY KEY, v text CHECK (lost(v)))`);
    const row = [insert('1', 'a')];
    await expect(bench.apply(headerOf('shut', ['id', 'v']), row, { fireTriggers: true })).rejects.toMatchObject({
      code: 'query-failed',
      message: expect.stringContaining('its triggers do not let 1 rows come back') as unknown,
    });
    expect(await bench.apply(headerOf('shut', ['id', 'v']), row)).toMatchObject({ insert: 1 });
    await expect(bench.plan(headerOf('lost', ['id', 'v']), row)).rejects.toMatchObject({
      hint: expect.stringContaining('ALTER FUNCTION s.lost(text) SET search_path = ') as unknown,
    });
    await asOwner('ALTER FUNCTION s.lost(text) SET search_path = s, pg_temp');
    expect(await bench.apply(headerOf('lost', ['id', 'v']), row)).toMatchObject({ insert: 1 });
  });

  test('two hundred partitions, of which some have triggers of their own', async () => {
    await asOwner(`CREATE TABLE s.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE FUNCTION s.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today, %', NEW.v; END$$;
      DO $$BEGIN FOR n IN 0..199 LOOP EXECUTE pg_catalog.format('CREATE TABLE s.parts_%s PARTITION OF s.parts FOR VALUES FROM (%s) TO (%s)', n, n, n + 1); END LOOP; END$$;
      INSERT INTO s.parts SELECT n, 'bad' FROM generate_series(0, 179) n;
      CREATE TRIGGER no BEFORE UPDATE OR INSERT ON s.parts_7 FOR EACH ROW EXECUTE FUNCTION s.no()`);
    const header = headerOf('parts', ['id', 'v']);
    const changes = [
      ...Array.from({ length: 160 }, (_, at) => update(String(at), 'bad', 'good')),
      ...Array.from({ length: 20 }, (_, at) => ({ op: 'delete' as const, before: [String(at + 160), 'bad'] })),
      ...Array.from({ length: 20 }, (_, at) => insert(String(at + 180), 'good')),
    ];
    expect((await bench.plan(header, changes)).reasons.size).toBe(0);
    await expect(bench.apply(header, changes, { fireTriggers: true })).rejects.toMatchObject({
      code: 'query-failed',
      // Which code it was, and not in its words, which may quote rows: F39.
      message: expect.stringMatching(
        /^(?!.*today).* PL\/pgSQL function s\.no\(\) line 1 at RAISE \(SQLSTATE P0001\)$/,
      ) as unknown,
    });
    expect(await bench.apply(header, changes)).toMatchObject({ insert: 20, update: 160, delete: 20, left: [] });
    const { rows } = await database.query('SELECT v, count(*)::int FROM s.parts GROUP BY v');
    expect(rows).toEqual([{ v: 'good', count: 180 }]);
  });

  test('F39: a check that raises quotes no row in what people are told of the plan', async () => {
    await asOwner(`CREATE TABLE s.raising (id int PRIMARY KEY, v text);
      CREATE FUNCTION s.fine(text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN IF $1 = 'Jeanne' THEN RAISE EXCEPTION 'no %', $1 USING ERRCODE = '22023'; END IF; RETURN true; END$$;
      ALTER TABLE s.raising ADD CHECK (s.fine(v))`);
    const failed = bench.plan(headerOf('raising', ['id', 'v']), [insert('1', 'Jeanne')]);
    await expect(failed).rejects.toMatchObject({
      code: 'query-failed',
      message: expect.stringMatching(/^(?!.*Jeanne).*s\.fine\(text\).*22023/) as unknown,
    });
  });

  test('a constraint that is looked at only at the commit fails before it: nothing is changed, and it is told which', async () => {
    await asOwner(`CREATE TABLE s.late (id int PRIMARY KEY, v text); INSERT INTO s.late VALUES (1, 'bad');
      CREATE FUNCTION s.late() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the books do not balance'; END$$;
      CREATE CONSTRAINT TRIGGER balance AFTER UPDATE ON s.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION s.late();
      CREATE TABLE s.of_late (id int PRIMARY KEY, v text, FOREIGN KEY (id) REFERENCES s.late DEFERRABLE INITIALLY DEFERRED)`);
    const header = headerOf('late', ['id', 'v']);
    let noted = 0;
    const options = { fireTriggers: true, beforeCommit: () => Promise.resolve(void noted++) };
    await expect(bench.apply(header, [update('1', 'bad', 'good')], options)).rejects.toMatchObject({
      code: 'query-failed',
      message: expect.stringMatching(
        /^s\.late: (?!.*books).*PL\/pgSQL function s\.late\(\) line 1 at RAISE/,
      ) as unknown,
    });
    expect([noted, await rowsOf('late')]).toEqual([0, [['1', 'bad']]]);
    await expect(bench.apply(headerOf('of_late', ['id', 'v']), [insert('9', 'x')])).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('of_late_id_fkey') as unknown,
    });
  });

  test('code of the owner, in a cast, an operator, a check, an index and a computed column, never runs with more rights than his own', async () => {
    await asOwner(`CREATE FUNCTION s.look(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN
        IF pg_catalog.current_setting('is_superuser') = 'on' THEN RAISE EXCEPTION 'seen with rights of a superuser'; END IF; RETURN $1; END$$;
      CREATE TYPE s.pair AS (a text, b int);
      CREATE FUNCTION s.pair_text(s.pair) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT s.look($1.a)$$;
      CREATE FUNCTION s.pair_equal(s.pair, s.pair) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$SELECT s.look('x') = 'y'$$;
      CREATE OPERATOR s.= (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_equal);
      CREATE CAST (s.pair AS text) WITH FUNCTION s.pair_text (s.pair) AS IMPLICIT;
      CREATE TABLE s.hostile (id int PRIMARY KEY, p s.pair, v text CHECK (s.look(v) <> ''), n text GENERATED ALWAYS AS (s.look(v)) STORED);
      CREATE UNIQUE INDEX ON s.hostile (s.look(v)) WHERE s.look(v) <> 'none';
      INSERT INTO s.hostile VALUES (1, '(x,1)', 'a'), (2, '(y,2)', 'b')`);
    const header = headerOf('hostile', ['id', 'p', 'v']);
    const changes: RowChange[] = [
      { op: 'update', before: ['1', '(x,1)', 'a'], after: ['1', '(x,9)', 'b'] },
      { op: 'update', before: ['2', '(y,2)', 'b'], after: ['2', '(y,2)', 'a'] },
      insert('3', null, 'c'),
    ];
    expect((await bench.plan(header, changes)).reasons.size).toBe(0);
    expect(await bench.apply(header, changes)).toMatchObject({ insert: 1, update: 2, left: [] });
    const { rows } = await database.query('SELECT id, (p).b, v FROM s.hostile ORDER BY id');
    expect(rows).toEqual([
      { id: 1, b: 9, v: 'b' },
      { id: 2, b: 2, v: 'a' },
      { id: 3, b: null, v: 'c' },
    ]);
  });

  test('a sequence that never gave a value gives none that came back; too many columns, and a row of many megabytes, are refused before anything', async () => {
    await asOwner('CREATE TABLE s.fresh (id serial PRIMARY KEY, v text)');
    await bench.apply(headerOf('fresh', ['id', 'v']), [insert('1', 'back')]);
    const { rows } = await database.query("INSERT INTO s.fresh (v) VALUES ('next') RETURNING id");
    expect(rows).toEqual([{ id: 2 }]);

    const names = Array.from({ length: 1600 }, (_, at) => (at === 0 ? 'id' : `c${at}`));
    await asOwner(`CREATE TABLE s.wide (${names.map((name) => `${name} int`).join(', ')}, PRIMARY KEY (id))`);
    const wide = insert(...names.map((_, at) => String(at)));
    await expect(bench.plan(headerOf('wide', names), [wide])).rejects.toMatchObject({ code: 'capability-missing' });

    const path = join(await tempDir('rows'), 'rows');
    const large = 'x'.repeat(65 * 1024 * 1024);
    await expect(withRowsFile(path, null, (write) => write(['1', large]))).rejects.toMatchObject({
      code: 'capability-missing',
    });
    await expect(
      writeChangeSet(path, headerOf('fresh', ['id', 'v']), [insert('1', large)], null),
    ).rejects.toMatchObject({
      code: 'capability-missing',
    });
    // One below that is read and put right.
    const long = 'y'.repeat(20 * 1024 * 1024);
    expect(await bench.apply(headerOf('fresh', ['id', 'v']), [update('1', 'back', long)])).toMatchObject({ left: [] });
    await withClient(server(), database.name, (client) =>
      withTableSide(client, { schema: 's', table: 'fresh' }, 'here', async ({ leaves }) => {
        const lengths: number[] = [];
        for (const leaf of leaves)
          await eachLine(client, `${leaf} (v)`, new AbortController().signal, (_, start, end) =>
            lengths.push(end - start),
          );
        expect(lengths.sort((one, other) => one - other)).toEqual([4, long.length]);
      }),
    );
  });

  test('F36 F37: a database that is called like a connection string, a change set behind a link, and an operation called like a path', async () => {
    const name = `host=evil ../ '${database.name}'`;
    await runQuery(sharedServer(), 'postgres', `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    try {
      await runQuery(
        sharedServer(),
        name,
        "CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t VALUES (1, 'bad')",
      );
      const header = { ...headerOf('t', ['id', 'v']), database: name, table: { schema: 'public', table: 't' } };
      await repairBench({ ...database, name }).apply(header, [update('1', 'bad', 'good')]);
      expect((await runQuery(sharedServer(), name, 'SELECT v FROM public.t')).rows).toEqual([{ v: 'good' }]);
    } finally {
      await runQuery(sharedServer(), 'postgres', `DROP DATABASE ${pg.escapeIdentifier(name)} WITH (FORCE)`);
    }
    const stateDir = await tempDir('state');
    const files = await openRepairFiles(stateDir, '../../outside');
    expect(files.directory.startsWith(join(stateDir, 'repairs', '/'))).toBe(true);
    expect(files.directory.slice(stateDir.length)).not.toContain('..');
    const digest = await writeChangeSet(join(stateDir, 'elsewhere'), headerOf('t', ['id', 'v']), [], null);
    await symlink(join(stateDir, 'elsewhere'), files.changes);
    await expect(withChangeSet(files.changes, digest, () => Promise.resolve())).rejects.toMatchObject({
      code: 'not-found',
    });
  });
});
