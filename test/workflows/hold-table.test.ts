import { beforeAll, describe, expect, it } from '@jest/globals';
import { queryNames, signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { HoldOutput, HoldView } from '../../src/workflows/api.js';
import { type Activities, type Case, failure, failureOfWorkflow, gate, Lab } from './lab.js';
import { person } from './recoveries.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const order = { database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' } };

async function started(activities: Partial<Activities> = {}, more: object = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.holdTable, 'table-freeze/CLUSTER/op', {
    ...{ order, requester: 'ops', operationId: 'op' },
    ...more,
  });
  return one;
}

async function approve(one: Case): Promise<void> {
  const { plan } = await one.state('waiting-approval');
  await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
}

const view = (one: Case): Promise<HoldView> => one.workflow.query<HoldView>(queryNames.held);

async function frozen(activities: Partial<Activities> = {}, more: object = {}): Promise<Case> {
  const one = await started(activities, more);
  await approve(one);
  await one.until(
    async () => ((await view(one)).since === null ? null : true),
    () => Promise.resolve(one.names.join(' ')),
  );
  return one;
}

const result = async (one: Case): Promise<HoldOutput> => (await one.workflow.result()) as HoldOutput;
const BLOCKED = ['planHold', 'recheckHold', 'runHook', 'freezeTable'];
const OPENED = ['unfreezeTable', 'undoHook', 'closeHold'];
const steps = (one: Case): readonly string[] => one.names.filter((name) => [...BLOCKED, ...OPENED].includes(name));

describe('T4: a table is frozen before anything is found out', () => {
  it('T4: after the approval hooks run, then writes are blocked, until somebody releases it; no slot and no lock is taken', async () => {
    const one = await frozen();
    expect(steps(one)).toEqual(BLOCKED);
    expect(one.calls.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['acquireSlot']));
    expect(one.calls.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['acquireLock']));
    expect(one.calls.find(({ name }) => name === 'freezeTable')?.queue).toBe('reprise-db1');
    const status = await one.status();
    expect(status).toMatchObject({ kind: 'table-freeze', state: 'running' });
    expect(status.waitingFor).toContain('reprise table release table-freeze/');
    const { memo } = await one.workflow.describe();
    expect(memo).toMatchObject({ held: { ...order, until: null } });

    expect(await one.workflow.executeUpdate(updateNames.releaseTable, { args: [person] })).toEqual({ released: true });
    expect(await result(one)).toMatchObject({
      state: 'completed',
      outcome: { ...order, releasedBy: person.by, reason: person.reason },
    });
    expect(steps(one)).toEqual([...BLOCKED, ...OPENED]);
    expect(one.journal).toContain(`message: ${person.by} releases the table: ${person.reason}`);
    expect((await one.workflow.describe()).memo).toMatchObject({ held: { since: null } });
  });

  it('T4: a signal releases it too, and so does the end of its time', async () => {
    const signalled = await frozen();
    await signalled.workflow.signal(signalNames.release, person);
    expect(await result(signalled)).toMatchObject({ outcome: { releasedBy: person.by } });

    const timed = await frozen({}, { order: { ...order, forSeconds: 3600 } });
    expect((await timed.status()).waitingFor).toContain(', or ');
    await lab.pass('2h');
    expect(await result(timed)).toMatchObject({ state: 'completed', outcome: { releasedBy: null, reason: null } });
    expect(steps(timed)).toEqual([...BLOCKED, ...OPENED]);
  });

  it('T4: what is released before its approval, rejected, or asked for as a plan only, blocks nothing', async () => {
    const early = await started();
    await early.state('waiting-approval');
    expect(await early.workflow.executeUpdate(updateNames.releaseTable, { args: [person] })).toEqual({
      released: true,
    });
    expect(await result(early)).toMatchObject({ state: 'rejected', outcome: null });
    const rejected = await started();
    await rejected.state('waiting-approval');
    await rejected.workflow.signal(signalNames.reject, person);
    expect(await result(rejected)).toMatchObject({ state: 'rejected' });
    const planned = await started({}, { planOnly: true });
    expect(await result(planned)).toMatchObject({ state: 'completed', outcome: null });
    for (const one of [early, rejected, planned]) expect(steps(one)).toEqual(['planHold', 'closeHold']);
  });

  it('T4: rejected or called off while it is frozen, the table is opened and the hook taken back', async () => {
    const rejected = await frozen();
    await rejected.workflow.signal(signalNames.reject, person);
    expect(await result(rejected)).toMatchObject({ state: 'rejected' });
    const cancelled = await frozen();
    await cancelled.workflow.cancel();
    await failureOfWorkflow(cancelled.workflow);
    for (const one of [rejected, cancelled]) expect(steps(one)).toEqual([...BLOCKED, ...OPENED]);
  });

  it('T4: a block that fails waits for people; a release ends that, and takes back what was done', async () => {
    const one = await started({
      freezeTable: async () => {
        throw failure('privilege-missing', 'app can write nevertheless');
      },
    });
    await approve(one);
    expect((await one.state('paused')).waitingFor).toContain('app can write nevertheless');
    await one.workflow.signal(signalNames.release, person);
    expect(await result(one)).toMatchObject({ state: 'rejected' });
    expect(steps(one)).toEqual([...BLOCKED, ...OPENED]);
  });

  it('T4: where the table cannot be opened, whoever released it is told, and the hook is taken back all the same', async () => {
    const opening = gate();
    const one = await frozen({
      unfreezeTable: async () => {
        await opening.passed;
        throw failure('tool-rejected', 'it failed');
      },
    });
    const answer = one.workflow
      .executeUpdate(updateNames.releaseTable, { args: [person] })
      .catch((error: Error) => error);
    await one.called('unfreezeTable');
    opening.open();
    expect(((await answer) as Error).cause).toMatchObject({ message: 'it failed' });
    await failureOfWorkflow(one.workflow);
    expect(one.names).toContain('undoHook');
    // Whoever comes later is refused.
    await expect(one.workflow.executeUpdate(updateNames.releaseTable, { args: [person] })).rejects.toThrow();
  });
});
