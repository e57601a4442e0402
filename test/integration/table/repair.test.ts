import { beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, stat } from 'node:fs/promises';
import pg from 'pg';
import { heldBy, releaseHold } from '../../../src/client/holds.js';
import { listRunningOperations } from '../../../src/client/running-operations.js';
import { startHold, startRepair, type StartedOperation } from '../../../src/client/start.js';
import { queryNames, signalNames } from '../../../src/domain/operation/names.js';
import type { RepairOrder } from '../../../src/domain/operation/orders.js';
import type { RepairPlan } from '../../../src/domain/table/repair.js';
import type { HoldOutput, RepairOutput } from '../../../src/workflows/api.js';
import { failOnLeakedProcesses } from '../../helpers/leaks.js';
import { Site } from '../../helpers/site.js';

failOnLeakedProcesses();

let site: Site;
let xid: string;
const table = { schema: 'metier', table: 'demandes_rdv' };

interface Row {
  readonly id: number;
  readonly motif: string;
}
const rows = async (): Promise<Row[]> =>
  (await site.query('SELECT id::int, motif FROM metier.demandes_rdv ORDER BY id')).rows as Row[];

const start = (order: Omit<RepairOrder, 'database' | 'table'>): Promise<StartedOperation> =>
  startRepair(site.session, { cluster: 'mairie', requester: 'test', order: { database: 'mairie', table, ...order } });

/** Waits for the plan, approves it, signs it off while nobody else can write, and waits for the end. */
async function repaired(work: StartedOperation): Promise<RepairOutput & { plan: RepairPlan }> {
  await site.approve(work);
  await site.waitFor(async () => (await site.status(work)).state === 'waiting-sign-off', 'it waits for its sign-off');
  expect(await booked()).toMatch(/takes no writes/);
  expect(await site.cli('sign-off', work.workflowId, '--verdict', 'pass', '--by', 'eve')).toMatchObject({ code: 9 });
  const said = ['--verdict', 'pass', '--by', 'dba', '--remarks', 'as it was'];
  expect(await site.cli('sign-off', work.workflowId, ...said)).toMatchObject({ code: 0 });
  return (await site.result<RepairOutput>(work)) as RepairOutput & { plan: RepairPlan };
}

/** Batches are stopped, and a trigger blocks the writes of others to the table. */
function frozenYaml(): string {
  const hook = (name: string, more = ''): string =>
    `      ${name}: { argv: [sh, -c, "echo ${name} >> ${site.root}/hooks"]${more} }\n`;
  return `    hooks:\n${hook('stop-batches', ', undo: start-batches')}${hook('start-batches')}    tables:
      metier.demandes_rdv: { database: mairie, freeze: { by: trigger }, hooks: [stop-batches], sign_off: { by: [dba] }, watch_after: 1s,
        invariants: { enough: { query: SELECT count(*) > 10 FROM metier.demandes_rdv } } }\n`;
}

const hooksRun = async (): Promise<string> => readFile(`${site.root}/hooks`, 'utf8').catch(() => '');
/** What a citizen meets who books. */
const booked = (): Promise<string> =>
  site
    .query("BEGIN; INSERT INTO metier.demandes_rdv (commune, pris_le, motif) VALUES ('00001', now(), 'x'); ROLLBACK")
    .then(() => 'booked')
    .catch((error: unknown) => (error as Error).message);

const held = { database: 'mairie', table };
/** A hold whose table is frozen. */
async function frozen(): Promise<StartedOperation> {
  const work = await startHold(site.session, { cluster: 'mairie', requester: 'test', order: held });
  await site.approve(work);
  await site.waitFor(async () => (await heldBy(site.session, work.workflowId)).since !== null, 'it is frozen');
  return work;
}

let good: Row[];
let bad: Row[];

beforeAll(async () => {
  site = await Site.create();
  await site.configure({ clusterYaml: frozenYaml() });
  await site.query(
    'CREATE ROLE clerk LOGIN; ALTER SCHEMA metier OWNER TO clerk; ALTER TABLE metier.demandes_rdv OWNER TO clerk',
  );
  await site.startWorker();
  await site.backUp('physical');
  await site.commit(20);
  good = await rows();
  // Two transactions, interleaved: what citizens do meanwhile is not undone.
  const damage = await site.query(
    `WITH gone AS (DELETE FROM metier.demandes_rdv WHERE id % 2 = 0 RETURNING id),
          changed AS (UPDATE metier.demandes_rdv SET motif = 'WRONG' WHERE id % 7 = 1 AND id % 2 = 1 RETURNING id),
          made AS (INSERT INTO metier.demandes_rdv (commune, pris_le, motif) VALUES ('00001', now(), 'phantom') RETURNING id)
     SELECT pg_current_xact_id()::text AS xid, (SELECT count(*) FROM gone), (SELECT count(*) FROM changed), (SELECT count(*) FROM made)`,
  );
  xid = (damage.rows[0] as { xid: string }).xid;
  bad = await rows();
  await site.commit(5);
  await site.query("UPDATE metier.demandes_rdv SET motif = 'by a citizen' WHERE id IN (1, 3)");
  await site.closeSegment();
});

describe('M4: one transaction is undone', () => {
  it('M4, T7, T8: exactly what it did, whatever came later, and a row that was changed again is a conflict for people', async () => {
    const before = await rows();
    const work = await start({ source: { kind: 'transaction', xid }, strategy: 'undo' });
    const { plan, outcome } = await repaired(work);
    const gone = good.filter(({ id }) => id % 2 === 0);
    const changed = good.filter(({ id }) => id % 7 === 1 && id % 2 === 1);
    expect(plan.binding.changes).toMatchObject({
      insert: gone.length,
      update: changed.length - 1,
      delete: 1,
      conflicts: 1,
    });
    expect(outcome).toMatchObject({
      done: { insert: gone.length, conflicts: 0 },
      signOff: { by: 'dba', verdict: 'pass' },
    });
    const now = new Map((await rows()).map((row) => [row.id, row.motif]));
    for (const { id, motif } of good)
      expect([id, now.get(id)]).toEqual([id, id === 1 || id === 3 ? 'by a citizen' : motif]);
    // Those that came since are there, the one it made is not.
    const phantom = bad.find(({ motif }) => motif === 'phantom')?.id ?? 0;
    expect(now.has(phantom)).toBe(false);
    expect(now.size).toBe(good.length + 5);
    const conflicts = (await readFile(plan.observed.file, 'utf8'))
      .split('\n')
      .filter((line) => line.startsWith('["c"'));
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]).toContain('"changed-since",["1"]');
    expect(await site.leftovers()).toEqual({ databases: [], files: [], processes: [] });

    const undone = await repaired(
      await start({ source: { kind: 'repair', operationId: work.operationId }, strategy: 'undo' }),
    );
    expect(undone.outcome?.done).toMatchObject({ insert: 1, delete: gone.length, conflicts: 0 });
    expect(await rows()).toEqual(before);
    expect(await hooksRun()).toBe('stop-batches\nstart-batches\n'.repeat(2));
    expect(await booked()).toBe('booked');

    expect(outcome?.checks).toMatchObject([
      { name: 'rows are as approved', status: 'ok' },
      { name: 'number of rows', status: 'ok' },
      { name: 'references to and from other tables', status: 'ok' },
      { name: 'invariant enough', status: 'ok' },
      { name: 'check rows', status: 'ok' },
    ]);
    expect(outcome?.counts).toMatchObject([
      { after: 'block writes to the table', rows: bad.length + 5, change: null },
      { after: 'the repair', change: gone.length - 1 },
      { after: 'open the table for writes', change: 0 },
      { after: 'start-batches (undo of stop-batches)', change: 0 },
      { after: 'watch 1', change: 0, suspicion: null },
    ]);

    // T8: the report, and the rows for a spreadsheet.
    const html = await site.cli('incident', 'report', work.workflowId, '--html');
    expect(html.stdout).toContain('<h1>Repair of the table metier.demandes_rdv of mairie</h1>');
    for (const text of [
      `${xid}, committed`,
      'dba signed the repair off as good',
      'open for writes again',
      '1 row had changed',
    ])
      expect(html.stdout).toContain(text);
    const file = outcome?.rowsFile?.path ?? '';
    const lines = (await readFile(file, 'utf8')).split('\r\n');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(lines[0]).toMatch(/^op,reason,key,before: id,after: id,/);
    expect(lines.filter((line) => line.startsWith('put back,'))).toHaveLength(gone.length);
    expect(lines.filter((line) => line.startsWith('conflict,changed-since,1,'))).toHaveLength(1);
  });

  it('T6: a state is put back by strategy and scope, and a rejected plan changes nothing', async () => {
    const before = await rows();
    const source = { kind: 'state' as const, at: { kind: 'before-xid' as const, xid } };
    const rejected = await start({
      source,
      strategy: 'insert-missing',
      scope: [{ column: 'id', from: '1', below: '101' }],
    });
    await site.waitFor(async () => (await site.status(rejected)).state === 'waiting-approval', 'it waits');
    await rejected.handle.signal('reject', { by: 'dba', reason: 'not now' });
    expect(await site.result<RepairOutput>(rejected)).toMatchObject({ state: 'rejected', outcome: null });
    expect(await rows()).toEqual(before);

    const done = await repaired(
      await start({
        source,
        strategy: 'insert-missing',
        scope: [{ column: 'id', from: '1', below: '101' }],
        batchRows: 100,
      }),
    );
    expect(done.plan.binding.changes).toMatchObject({ insert: 50, update: 0, delete: 0 });
    const back = new Set((await rows()).map(({ id }) => id));
    expect(good.filter(({ id }) => id <= 100).every(({ id }) => back.has(id))).toBe(true);
    expect(back.has(102)).toBe(false);
  });

  it('T6: a table with a partition on another server is refused before anything is restored', async () => {
    await site.query(
      `CREATE FOREIGN DATA WRAPPER none; CREATE SERVER away FOREIGN DATA WRAPPER none;
       CREATE TABLE metier.divided (id int) PARTITION BY LIST (id);
       CREATE FOREIGN TABLE metier.elsewhere PARTITION OF metier.divided FOR VALUES IN (1) SERVER away`,
    );
    const order: RepairOrder = {
      ...{ database: 'mairie', table: { schema: 'metier', table: 'divided' }, strategy: 'upsert' },
      source: { kind: 'state', at: { kind: 'before-xid', xid } },
    };
    const work = await startRepair(site.session, { cluster: 'mairie', requester: 'test', order });
    await expect(site.result(work)).rejects.toMatchObject({
      cause: {
        cause: {
          type: 'capability-missing',
          message: expect.stringContaining('metier.elsewhere of metier.divided is on another server') as unknown,
        },
      },
    });
    const { phases } = await site.status(work);
    expect(phases.map(({ name }) => name)).not.toContain('restore the temporary instance');
    await site.query('DROP FOREIGN DATA WRAPPER none CASCADE; DROP TABLE metier.divided');
  });

  it('T4: nobody writes to the table while it is repaired, and it takes writes again also where the workflow was terminated', async () => {
    expect(await booked()).toBe('booked');
    const source = { kind: 'state' as const, at: { kind: 'before-xid' as const, xid } };
    const work = await start({ source, strategy: 'upsert', scope: [{ column: 'id', from: '101', below: '121' }] });
    // The repair waits for this row, which does not keep the table from being frozen.
    const holder = new pg.Client({ ...site.server, database: 'mairie' });
    await holder.connect();
    try {
      await holder.query('BEGIN; SELECT FROM metier.demandes_rdv WHERE id = 113 FOR UPDATE');
      const { binding } = (await site.approve(work)) as unknown as RepairPlan;
      expect(binding).toMatchObject({ freeze: { by: 'trigger' }, hooks: ['stop-batches'], effects: { triggers: [] } });
      await site.waitFor(async () => (await booked()).includes('takes no writes while it is repaired'), 'it is frozen');
      await site.workers.at(-1)?.kill();
      await work.handle.terminate('by a test');
      expect(await booked()).toMatch(/takes no writes/);
    } finally {
      await holder.end();
    }
    const before = await hooksRun();
    expect(before).toMatch(/stop-batches\n$/);
    await site.startWorker();
    await site.waitFor(async () => (await booked()) === 'booked', 'it takes writes again');
    await site.waitFor(async () => (await hooksRun()) === `${before}start-batches\n`, 'its hook is taken back');
    const { rows: left } = await site.query("SELECT FROM pg_namespace WHERE nspname = 'reprise_freeze'");
    expect(left).toEqual([]);
  });

  it('T4: frozen before anything is found out, it stays so while its worker dies and while it is repaired, until it is released', async () => {
    const before = await hooksRun();
    const of = ['mairie', 'mairie', 'metier.demandes_rdv', '--json'];
    const freezing = site.cli('table', 'freeze', ...of, '--for', '2h', '--reason', 'rows are missing');
    const waiting = await site.waitFor(
      async () =>
        (await listRunningOperations(site.session)).find(
          ({ workflowId, state }) => workflowId.startsWith('table-freeze/') && state === 'waiting-approval',
        ),
      'it waits for its approval',
    );
    const hold = { ...waiting, operationId: '', handle: site.session.client.workflow.getHandle(waiting.workflowId) };
    await site.approve(hold);
    const { code, stdout } = await freezing;
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      ...{ code: 0, workflowId: hold.workflowId, state: 'frozen', ...held },
      ...{ since: expect.stringMatching(/Z$/), until: expect.stringMatching(/Z$/) },
    });
    expect(await hooksRun()).toBe(`${before}stop-batches\n`);
    await site.workers.at(-1)?.kill();
    expect(await booked()).toMatch(/takes no writes/);
    await site.startWorker();

    const source = { kind: 'state' as const, at: { kind: 'before-xid' as const, xid } };
    const work = await start({
      source,
      strategy: 'insert-missing',
      scope: [{ column: 'id', from: '131', below: '151' }],
    });
    const { plan, outcome } = await repaired(work);
    expect(plan).toMatchObject({
      binding: { freeze: null, hooks: [] },
      observed: { heldBy: [hold.workflowId], warnings: [expect.stringContaining('keeps the table frozen since')] },
    });
    expect(outcome?.checks[0]).toMatchObject({ name: 'rows are as approved', status: 'ok' });
    expect(await booked()).toMatch(/takes no writes/);
    expect(await hooksRun()).toBe(`${before}stop-batches\n`);

    await site.waitFor(
      async () => (await listRunningOperations(site.session)).some((one) => one.held?.since != null),
      'status shows it',
    );
    const status = await site.cli('status');
    expect(status.stdout).toContain(`reprise table release ${hold.workflowId}`);
    const released = await site.cli('table', 'release', ...of, '--by', 'dba', '--reason', 'repaired');
    expect(JSON.parse(released.stdout)).toMatchObject({ released: [{ workflowId: hold.workflowId, ...held }] });
    expect(await booked()).toBe('booked');
    expect(await hooksRun()).toBe(`${before}stop-batches\nstart-batches\n`);
    expect(await site.result<HoldOutput>(hold)).toMatchObject({ state: 'completed', outcome: { releasedBy: 'dba' } });
  });

  it('T4: a repair whose hold is over is planned again; a hold that was terminated leaves nothing blocked and no batch stopped', async () => {
    const hold = await frozen();
    const source = { kind: 'state' as const, at: { kind: 'before-xid' as const, xid } };
    const work = await start({
      source,
      strategy: 'insert-missing',
      scope: [{ column: 'id', from: '151', below: '171' }],
    });
    await site.waitFor(async () => (await site.status(work)).state === 'waiting-approval', 'it waits');
    await releaseHold(site.session, hold, { by: 'dba', reason: 'no need' });
    const first = await site.approve(work);
    await site.waitFor(async () => {
      const { state, plan } = await site.status(work);
      return state === 'waiting-approval' && plan !== first.digest;
    }, 'it is planned again');
    // The second plan blocks writes by itself.
    const second = await work.handle.query<RepairPlan | null>(queryNames.plan);
    expect(second?.binding).toMatchObject({ freeze: { by: 'trigger' }, hooks: ['stop-batches'] });
    await work.handle.signal(signalNames.reject, { by: 'dba', reason: 'seen enough' });
    expect(await site.result<RepairOutput>(work)).toMatchObject({ state: 'rejected' });

    const before = await hooksRun();
    const terminated = await frozen();
    await site.workers.at(-1)?.kill();
    await terminated.handle.terminate('by a test');
    expect(await booked()).toMatch(/takes no writes/);
    await site.startWorker();
    await site.waitFor(async () => (await booked()) === 'booked', 'it takes writes again');
    await site.waitFor(
      async () => (await hooksRun()) === `${before}stop-batches\nstart-batches\n`,
      'its hook is taken back',
    );
  });
});
