import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { takenBack } from '../../../src/activities/table/take-back.js';
import type { ClusterContext } from '../../../src/activities/cluster-context.js';
import type { RepairRequest } from '../../../src/activities/api.js';
import type { RepairOrder } from '../../../src/domain/operation/orders.js';
import type { ChangeSetHeader, RowChange, RowText } from '../../../src/domain/table/repair.js';
import { withClient } from '../../../src/postgres/connection/with-client.js';
import { applyChanges } from '../../../src/postgres/repair/apply-changes.js';
import { withChangeSet, writeChangeSet } from '../../../src/postgres/repair/change-set-file.js';
import { namingHolders } from '../../../src/postgres/repair/lock-holders.js';
import { repairRole } from '../../../src/postgres/repair/repair-login.js';
import { planDigest } from '../../../src/records/digest.js';
import { openHostState } from '../../../src/records/host-state.js';
import { keepBegunChanges, noteBatch, openRepairFiles } from '../../../src/records/repair-files.js';
import { collect } from '../../helpers/collect.js';
import { makeTempDir } from '../../helpers/make-temp-dir.js';
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
    try {
      await holder.query('BEGIN; SELECT FROM s.held FOR UPDATE');
      await expect(apply('3s')).rejects.toMatchObject({
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
    const stateDir = await makeTempDir('state');
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

    const context = { host: { stateDir, name: 'db1' }, user: null, cluster: { connection: server() } };
    const request = { operationId, order: { ...order, source: { kind: 'repair', operationId: earlierId } } };
    const undone = await openRepairFiles(stateDir, operationId);
    const undo = (id: string) =>
      takenBack(context as unknown as ClusterContext, request as unknown as RepairRequest, id, undone);
    const digest = await undo(earlierId);
    const changes = await withChangeSet(undone.found, digest, ({ entries }) => collect(entries()));
    await bench.apply(header, changes as RowChange[]);
    expect(await rowsOf('twice')).toEqual(bad.map(([id, v]) => [id, id === '1' ? 'theirs' : v]));
    await expect(undo('20261121-041500-cccccc')).rejects.toMatchObject({ code: 'not-found' });
  });
});
