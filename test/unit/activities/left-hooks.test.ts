import { describe, expect, it } from '@jest/globals';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hookFindings } from '../../../src/activities/recovery/left-hooks.js';
import { frozenFindings } from '../../../src/activities/table/freeze.js';
import { leftOver, sweepCluster } from '../../../src/activities/sweep.js';
import { concerns } from '../../../src/client/checks/check.js';
import { createHostActivities } from '../../../src/activities/index.js';
import { openFrozenTables } from '../../../src/records/frozen-tables.js';
import { openOperationLedger } from '../../../src/records/operation-ledger.js';
import { openRunHooks } from '../../../src/records/run-hooks.js';
import { gateSite } from './gate-site.js';

const undoHooks = { 'stop-batches': 'start-batches', 'stop-mail': 'start-mail' };

/** Each hook writes its name; one whose name is in the file `broken` fails. */
const writing = (root: string) =>
  Object.fromEntries(
    ['stop-batches', 'start-batches', 'stop-mail', 'start-mail'].map((name) => [
      name,
      {
        ...{ name, host: 'db1', timeoutSeconds: 30 },
        argv: ['sh', '-c', `grep -sqx ${name} ${join(root, 'broken')} && exit 1; echo ${name} >> ${join(root, 'log')}`],
      },
    ]),
  );

async function site() {
  const made = await gateSite(1, writing);
  const planned = async (operationId: string, hooks: readonly string[] = ['stop-batches', 'stop-mail']) => {
    const plan = await made.plan(operationId, { hooks, undoHooks });
    await made.run(
      made.activities.recordApproval,
      {
        ...made.step(plan),
        approval: { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'seen' },
      },
      `recover/mairie/${operationId}`,
    );
    const step = (hook: string) => ({ ...made.step(plan), hook });
    const runs = (hook: string) => made.run(made.activities.runHook, step(hook), `recover/mairie/${operationId}`);
    const undoes = (hook: string) => made.run(made.activities.undoHook, step(hook), `recover/mairie/${operationId}`);
    for (const hook of hooks) await runs(hook);
    return { plan, step, runs, undoes };
  };
  const log = async () => (await readFile(join(made.root, 'log'), 'utf8').catch(() => '')).trim().split('\n');
  const hooks = openRunHooks(join(made.root, 'state'));
  const swept = () => sweepCluster(made.session, async () => true);
  const journal = async () =>
    (await made.session.catalogue.records()).flatMap((one) => (one.kind === 'journal' ? [one.text] : []));
  return { ...made, planned, log, hooks, swept, journal };
}

describe('T4, L11: hooks of an operation that has ended without taking them back', () => {
  it('L11: the sweep takes them back, the last first, once, and writes it down; those of others are left alone', async () => {
    const { planned, log, hooks, swept, session, journal, deps } = await site();
    await planned('op-1');
    for (const answer of [false, null]) await sweepCluster(session, async () => answer);
    expect(await log()).toEqual(['stop-batches', 'stop-mail']);
    expect([...(await leftOver(deps(), async () => true))].sort()).toEqual([
      'hook stop-batches of op-1',
      'hook stop-mail of op-1',
    ]);
    expect(await swept()).toContain('op-1');
    await swept();
    expect(await log()).toEqual(['stop-batches', 'stop-mail', 'start-mail', 'start-batches']);
    expect(await hooks.all()).toEqual([]);
    expect((await journal()).filter((text) => text.includes('was run'))).toEqual([
      'recover/mairie/op-1 has ended without taking back stop-mail: start-mail was run',
      'recover/mairie/op-1 has ended without taking back stop-batches: start-batches was run',
    ]);
  });

  it('T4: not before the table takes writes, and not what was taken back already', async () => {
    const { planned, log, swept, root } = await site();
    const { undoes } = await planned('op-1');
    await undoes('stop-mail');
    const frozen = openFrozenTables(join(root, 'state'));
    await frozen.save({
      ...{ cluster: 'mairie', operationId: 'op-1', workflowId: 'recover/mairie/op-1', firstRunId: null },
      ...{ database: 'x', table: { schema: 's', table: 't' }, means: { by: 'trigger' }, oids: [], taken: [] },
      at: '2026-11-21T02:00:00.000Z',
    });
    // Its server does not answer.
    await swept();
    expect(await log()).toEqual(['stop-batches', 'stop-mail', 'start-mail']);
    await frozen.release('op-1');
    await swept();
    expect(await log()).toEqual(['stop-batches', 'stop-mail', 'start-mail', 'start-batches']);
  });

  it('L11: one that fails is told, and tried again so many times; then people have to', async () => {
    const { planned, log, hooks, swept, root, session } = await site();
    await planned('op-1', ['stop-batches']);
    await writeFile(join(root, 'broken'), 'start-batches\n');
    const again = async () => {
      for (const one of await hooks.all()) await hooks.save({ ...one, nextAt: one.nextAt && one.at });
      await swept();
    };
    await again();
    expect(await hookFindings(session)).toMatchObject([
      {
        check: 'cluster/mairie/left-hooks/op-1/stop-batches',
        level: 'warning',
        message: expect.stringContaining('it is tried again at'),
      },
    ]);
    for (let count = 1; count < 12; count++) await again();
    expect(await hooks.all()).toMatchObject([{ tries: 10, nextAt: null }]);
    expect(await hookFindings(session)).toMatchObject([
      {
        message: expect.stringMatching(/^hook stop-batches, which recover\/mairie\/op-1 ran .*nothing tries it again$/),
        fix: 'do by hand what hook start-batches of the configuration does',
      },
    ]);
    await rm(join(root, 'broken'));
    await again();
    expect(await log()).toEqual(['stop-batches']);
    // After a week it is shown no more.
    for (const one of await hooks.all()) await hooks.save({ ...one, at: '2026-01-01T00:00:00.000Z' });
    await swept();
    expect(await hookFindings(session)).toEqual([]);
  });

  it('F33: nothing runs that is not of the approved plan, or that the configuration has as something else since', async () => {
    const { planned, log, hooks, swept, deps, session } = await site();
    const { plan } = await planned('op-1', ['stop-batches']);
    const [kept] = await hooks.all();
    if (kept === undefined) throw new Error('nothing was recorded');
    for (const forged of [
      { undo: 'start-mail' },
      { plan: 'a'.repeat(64) },
      { plan: plan.digest, operationId: 'op-2' },
      { hook: 'stop-mail', undo: 'start-mail' },
    ]) {
      await hooks.remove(kept.operationId, kept.hook);
      const one = { ...kept, ...forged };
      await hooks.save(one);
      await swept();
      expect(await hooks.of(one.operationId, one.hook)).toMatchObject({ nextAt: null, problem: expect.any(String) });
      await hooks.remove(one.operationId, one.hook);
    }
    await hooks.save(kept);
    const other = deps();
    const argv = ['sh', '-c', 'echo something else'];
    const { mairie } = other.config.clusters;
    Object.assign(mairie ?? {}, {
      hooks: { ...mairie?.hooks, 'start-batches': { ...mairie?.hooks['start-batches'], argv } },
    });
    await sweepCluster({ ...session, cluster: mairie ?? session.cluster }, async () => true);
    expect(await hookFindings(session)).toMatchObject([
      { message: expect.stringContaining('has changed since the plan was approved') },
    ]);
    expect(await log()).toEqual(['stop-batches']);
  });

  it('L11: a recovery that has touched the live data starts no applications', async () => {
    const { planned, log, swept, session, root } = await site();
    const { plan } = await planned('op-1', ['stop-batches']);
    const event = { at: new Date().toISOString(), plan: plan.digest, what: 'begun' as const, retry: 0 };
    await openOperationLedger(join(root, 'state')).note('op-1', { ...event, step: 'putAside' });
    await swept();
    expect(await log()).toEqual(['stop-batches']);
    expect(await hookFindings(session)).toMatchObject([{ message: expect.stringContaining('check the data first') }]);
  });

  it('T4: of two operations with one hook, the last that ends takes it back', async () => {
    const { planned, log, hooks, swept, session, journal } = await site();
    await planned('op-1', ['stop-batches']);
    const other = await planned('op-2', ['stop-batches']);
    await sweepCluster(session, async ({ workflowId }) => workflowId.endsWith('/op-1'));
    expect(await log()).toEqual(['stop-batches', 'stop-batches']);
    expect(await journal()).toContain(
      'hook stop-batches is not taken back yet: recover/mairie/op-2 has run it too, and does it at its end',
    );
    expect(await hooks.all()).toMatchObject([{ operationId: 'op-2' }]);
    await other.undoes('stop-batches');
    expect(await log()).toEqual(['stop-batches', 'stop-batches', 'start-batches']);
    await swept();
    expect(await log()).toHaveLength(3);
  });

  it('T4: what takes one back runs also where something else of the configuration has changed since', async () => {
    const { planned, log, run, deps } = await site();
    const { step } = await planned('op-1', ['stop-batches']);
    await run(createHostActivities(deps('config-2')).undoHook, step('stop-batches'));
    expect(await log()).toEqual(['stop-batches', 'start-batches']);
  });
});

describe('T4: tables that take no writes', () => {
  it('T4: one that should be open again, or was probably forgotten, is named with what releases it', async () => {
    const { root, session } = await site();
    const tables = openFrozenTables(join(root, 'state'));
    const hours = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();
    const frozen = (operationId: string, kind: string, at: string, until?: string | null) =>
      tables.save({
        ...{ cluster: 'mairie', operationId, workflowId: `${kind}/mairie/${operationId}`, firstRunId: null },
        ...{ database: 'x', table: { schema: 's', table: operationId }, means: { by: 'trigger' }, oids: [], taken: [] },
        ...{ at, ...(until === undefined ? {} : { until }) },
      });
    await frozen('new', 'table-freeze', hours(-1), hours(1));
    await frozen('over', 'table-freeze', hours(-2), hours(-1));
    await frozen('old', 'table-freeze', hours(-25), null);
    await frozen('long', 'table-freeze', hours(-25), hours(24));
    await frozen('repair', 'table-repair', hours(-25));
    const found = Object.fromEntries(
      (await frozenFindings(session)).map(({ check, level, fix }) => [check.split('/').at(-1), [level, fix]]),
    );
    expect(found).toEqual({
      new: ['ok', null],
      long: ['ok', null],
      over: ['warning', 'reprise table release table-freeze/mairie/over --reason "..."'],
      old: ['warning', 'reprise table release table-freeze/mairie/old --reason "..."'],
      repair: ['warning', 'see what it waits for: reprise status table-repair/mairie/repair'],
    });
    const scope = { clusters: ['mairie'], hosts: ['db1'], recoveryHosts: [], repositories: [] };
    for (const what of ['frozen/op', 'left-hooks/op/stop-batches'])
      expect(concerns(`cluster/mairie/${what}`, scope)).toBe(true);
  });
});
