import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import {
  holdWorkflowId,
  incidentWorkflowId,
  repairWorkflowId,
  signalNames,
  updateNames,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import type { ChosenRepair } from '../../src/workflows/api.js';
import {
  type Activities,
  type Case,
  childrenOf,
  failure,
  failureOfWorkflow,
  gate,
  Lab,
  untilCancelled,
} from './lab.js';
import { person } from './recoveries.js';
import { tableSurvey } from './repairs.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const table = { schema: 'metier', table: 'demandes_rdv' };
const order = { database: 'mairie', table, foundAt: '2026-11-21T08:00:00.000Z' };
const repairOrder = { database: 'mairie', table, source: { kind: 'transaction', xid: '1234' }, strategy: 'undo' };

async function open(activities: Partial<Activities> = {}, more: object = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'table-corruption', 'op'), {
    ...{ scenario: 'table-corruption', operationId: 'op', requester: 'ops', order, ...more },
  });
  return one;
}

const choose = (one: Case): Promise<ChosenRepair> =>
  one.workflow.executeUpdate(updateNames.chooseRepair, { args: [{ by: 'dba', order: repairOrder }] });
const repairOf = (one: Case, attempt = 1): WorkflowHandle =>
  lab.client.workflow.getHandle(repairWorkflowId(one.cluster, `op-${attempt}`));
const states = (one: Case) => one.of('recordIncident').map(({ state }) => state);
/** Confirmed, and a repair is chosen, which waits for its approval. */
async function waiting(one: Case): Promise<WorkflowHandle> {
  await one.workflow.signal(signalNames.confirm, person);
  await one.state('paused');
  await choose(one);
  const repair = repairOf(one);
  await one.state('waiting-approval', repair);
  return repair;
}
async function approve(one: Case, repair: WorkflowHandle): Promise<void> {
  const { plan } = await one.state('waiting-approval', repair);
  await repair.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
}

describe('T3, T5: an incident of a table is suspected', () => {
  it('T3: the hour of discovery and the figures are recorded and shown, with the commands to type; nothing is changed', async () => {
    const one = await open(
      { describeCluster: async (input) => ({ ...(await wellBehaved.describeCluster(input)), tells: ['incident'] }) },
      { order: { ...order, cause: 'the purge' } },
    );
    await one.called('findSuspects');
    await one.waitsFor(`reprise incident confirm ${one.workflow.workflowId}`);
    expect(one.of('recordIncident')).toMatchObject([
      { scenario: 'table-corruption', state: 'suspected', by: 'ops', text: expect.stringContaining('mairie metier.') },
      { state: 'suspected', text: expect.stringContaining('60000 rows; 90000 in the backup before') },
    ]);
    await one.until(
      async () => one.journal.some((line) => line.startsWith('transactions: ')) || null,
      async () => one.journal.join('\n'),
    );
    expect(one.journal.filter((line) => !line.startsWith('notified: '))).toEqual([
      'discovered: 2026-11-21T08:00:00.000Z',
      'cause: ops: the purge',
      expect.stringContaining('transactions: transaction 1234, committed at 2026-11-21T07:10:00.000000Z, did most'),
    ]);
    expect(one.of('findSuspects')).toMatchObject([{ discoveredAt: order.foundAt }]);
    expect(one.names).not.toContain('planRepair');
    expect((await childrenOf(one.workflow)).filter((id) => id.startsWith('notify/'))).toHaveLength(1);
  });

  it('T3: what cannot be found out does not stop it', async () => {
    const no = async (): Promise<never> => {
      throw failure('database-unreachable', 'the server does not answer');
    };
    const one = await open({ surveyTable: no, findSuspects: no });
    await one.called('journal', 2);
    expect(one.of('recordIncident')[1]).toMatchObject({ text: expect.stringContaining('the server does not answer') });
    await waiting(one);
  });

  it.each([
    ['dismissed', signalNames.dismiss, 'cancelled', null],
    ['closed', signalNames.close, 'completed', 'incidents/op.md'],
  ] as const)('T8: %s before anything was done', async (state, signal, shown, report) => {
    const one = await open({ findSuspects: untilCancelled });
    await one.pending('findSuspects');
    await one.workflow.signal(signal, person);
    expect(await one.workflow.result()).toEqual({ state, recovery: null, repair: null, report });
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state, by: 'dba', text: 'seen' });
    expect(await one.status()).toMatchObject({ state: shown });
  });

  it('F32: one that names no table ends with a hint, and one whose order no host reads ends too', async () => {
    const none = await open({}, { order: { database: 'mairie' } });
    expect(await failureOfWorkflow(none.workflow)).toMatchObject({ type: 'usage' });
    const wrong = await open({
      openTableIncident: async () => {
        throw failure('usage', 'the order cannot be read');
      },
    });
    expect(await failureOfWorkflow(wrong.workflow)).toMatchObject({ type: 'usage' });
  });
});

describe('T7, T8: the choice of a repair', () => {
  it('T8: confirmed, a repair chosen and approved, closed with the document', async () => {
    const one = await open();
    const repair = await waiting(one);
    expect(await one.status()).toMatchObject({
      state: 'running',
      waitingFor: expect.stringContaining(`reprise approve ${repair.workflowId}`),
    });
    expect(one.of('planRepair')).toMatchObject([{ operationId: 'op-1', requester: 'dba', order: repairOrder }]);
    await approve(one, repair);
    expect(await one.workflow.result()).toEqual({
      ...{ state: 'closed', recovery: null, repair: repair.workflowId, report: 'incidents/op.md' },
    });
    expect(one.of('finishRepair')).toMatchObject([
      { incident: { workflowId: one.workflow.workflowId, discoveredAt: order.foundAt, cause: null } },
    ]);
    expect(one.of('writeTableReport')).toMatchObject([{ operationId: 'op', repair: 'op-1' }]);
    expect(states(one)).toEqual(['suspected', 'suspected', 'confirmed', 'closed']);
    expect(one.journal.some((line) => line.startsWith(`repair: ${repair.workflowId}: plan `))).toBe(true);
  });

  it('T7: a repair that is chosen confirms the incident; there is one at a time', async () => {
    const one = await open();
    const { workflowId } = await choose(one);
    await one.state('waiting-approval', repairOf(one));
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'confirmed', by: 'dba' });
    await expect(choose(one)).rejects.toMatchObject({
      cause: { message: expect.stringContaining(workflowId), type: 'conflict' },
    });
    expect(one.of('planRepair')).toHaveLength(1);
  });

  it('F32: what is no choice is refused, and so is what the host refuses; the incident goes on', async () => {
    let refused = 0;
    const one = await open({
      readRepairChoice: async ({ choice }) => {
        if (++refused === 1) throw failure('usage', 'the incident is about another table');
        return choice as never;
      },
    });
    for (const raw of [null, 7, 'repair', {}, { by: 'dba' }, { by: 'dba', order: 'x' }])
      await expect(one.workflow.executeUpdate(updateNames.chooseRepair, { args: [raw] })).rejects.toThrow();
    expect(refused).toBe(0);
    await expect(choose(one)).rejects.toMatchObject({
      cause: { cause: { message: 'the incident is about another table', type: 'usage' } },
    });
    await waiting(one);
  });

  it('T7: rejected, it waits for another choice; the last one can be started again', async () => {
    const one = await open();
    const first = await waiting(one);
    await first.signal(signalNames.reject, person);
    // It was shown as paused before the choice, too.
    expect(await one.waitsFor(`reprise continue ${one.workflow.workflowId}`)).toMatchObject({ state: 'paused' });
    expect(one.of('recordIncident').at(-1)).toMatchObject({
      state: 'undecided',
      text: `${first.workflowId} was rejected by dba: seen`,
    });
    await one.workflow.signal(signalNames.continue, person);
    const second = repairOf(one, 2);
    await approve(one, second);
    expect(await one.workflow.result()).toMatchObject({ state: 'closed', repair: second.workflowId });
    expect(one.of('writeTableReport')).toMatchObject([{ repair: 'op-2' }]);
  });

  it('T7: one that fails, or has nothing to change, leads back to the choice; the incident can be closed without', async () => {
    const one = await open({
      planRepair: async () => {
        throw failure('not-found', 'the transaction is not in the WAL');
      },
    });
    await one.workflow.signal(signalNames.confirm, person);
    await one.state('paused');
    await choose(one);
    await one.until(
      async () => (states(one).at(-1) === 'undecided' ? true : null),
      async () => states(one).join(' '),
    );
    expect(one.of('recordIncident').at(-1)).toMatchObject({
      text: expect.stringContaining('the transaction is not in the WAL'),
    });
    await one.state('paused');
    await one.workflow.signal(signalNames.close, person);
    expect(await one.workflow.result()).toMatchObject({ state: 'closed', repair: null, report: 'incidents/op.md' });
    expect(one.of('writeTableReport')).toMatchObject([{ repair: null }]);
  });

  it('F8: a repair of that id was started before, as after a Reset: it goes on, and a person decides', async () => {
    const one = lab.case();
    const repair = await one.start(workflowTypes.repairTable, repairWorkflowId('CLUSTER', 'op-1'), {
      ...{ order: repairOrder, requester: 'dba', operationId: 'op-1' },
    });
    await one.state('waiting-approval', repair);
    const incident = await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'table-corruption', 'op'), {
      scenario: 'table-corruption',
      operationId: 'op',
      requester: 'ops',
      order,
    });
    await incident.executeUpdate(updateNames.chooseRepair, { args: [{ by: 'dba', order: repairOrder }] });
    const text = `${repair.workflowId} was started before: it continues`;
    await one.until(
      async () => one.of('recordIncident').at(-1)?.['text'] === text || null,
      async () => JSON.stringify(one.of('recordIncident')),
    );
    await one.state('paused', incident);
    expect(await one.status(repair)).toMatchObject({ state: 'waiting-approval' });
  });
});

describe('T8: the end of an incident and its repair', () => {
  it.each([
    ['dismissed', signalNames.dismiss],
    ['closed', signalNames.close],
  ] as const)('T8: %s: a repair that nobody approved is cancelled', async (state, signal) => {
    const one = await open();
    const repair = await waiting(one);
    await one.workflow.signal(signal, person);
    expect(await one.workflow.result()).toMatchObject({ state, repair: null });
    expect(await failureOfWorkflow(repair)).toMatchObject({ type: 'CancelledFailure' });
    expect(one.names).not.toContain('applyRepair');
  });

  it('T8: one that was approved goes on, whatever people send, and the incident with it', async () => {
    const changes = gate();
    const one = await open({
      applyRepair: async () => {
        await changes.passed;
        return { insert: 2, update: 1, delete: 0, conflicts: 0 };
      },
    });
    const repair = await waiting(one);
    await approve(one, repair);
    await one.called('applyRepair');
    await one.workflow.signal(signalNames.close, person);
    await one.until(
      async () =>
        one.journal.some(
          (line) =>
            line.includes('closed has no effect: the repair was approved and runs; `reprise reject ') &&
            line.endsWith('--reason "..."` ends it between its steps'),
        ) || null,
      async () => one.journal.join('\n'),
    );
    changes.open();
    expect(await one.workflow.result()).toMatchObject({ state: 'closed', repair: repair.workflowId });
  });

  it.each([
    ['a repair that nobody approved', false],
    ['one that was approved', true],
  ])('T8: the incident is cancelled: %s', async (_name, approved) => {
    const changes = gate();
    const one = await open({
      applyRepair: async () => {
        await changes.passed;
        return { insert: 2, update: 1, delete: 0, conflicts: 0 };
      },
    });
    const repair = await waiting(one);
    if (approved) {
      await approve(one, repair);
      await one.called('applyRepair');
    }
    await one.workflow.cancel();
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'CancelledFailure' });
    changes.open();
    if (approved) expect(await repair.result()).toMatchObject({ state: 'completed' });
    else expect(await failureOfWorkflow(repair)).toMatchObject({ type: 'CancelledFailure' });
  });

  it('T8: notes and the cause are kept while it waits, and the repair is told the cause', async () => {
    const one = await open();
    await one.workflow.signal(signalNames.note, { by: 'ops', text: 'called the town hall' });
    await one.workflow.signal(signalNames.note, { by: 'dba', text: 'a wrong date', cause: true });
    await one.until(
      async () => one.journal.includes('cause: dba: a wrong date') || null,
      async () => one.journal.join('\n'),
    );
    expect(one.journal).toContain('note: ops: called the town hall');
    await approve(one, await waiting(one));
    await one.workflow.result();
    expect(one.of('finishRepair')).toMatchObject([{ incident: { cause: 'a wrong date' } }]);
  });
});

/** What its page shows. */
const detailsOf = async ({ workflow }: Case): Promise<string> =>
  (await workflow.query<{ readonly currentDetails?: string }>('__temporal_workflow_metadata')).currentDetails ?? '';

describe('T4: the block of writes belongs to the incident', () => {
  const surveyTable: Activities['surveyTable'] = async () => ({ ...tableSurvey, blocks: true });
  const holdOf = (one: Case): WorkflowHandle => lab.client.workflow.getHandle(holdWorkflowId(one.cluster, 'op-hold'));

  it('T4: confirmed, it has a plan of its own; repaired, the table is opened before the document is written', async () => {
    const one = await open({ surveyTable });
    const repair = await waiting(one);
    const hold = holdOf(one);
    await approve(one, hold);
    expect(one.of('planHold')).toMatchObject([{ operationId: 'op-hold', requester: 'ops' }]);
    await one.called('freezeTable');
    // Its page does not ask for an approval that was given.
    await one.until(
      async () => (await detailsOf(one)).includes(`reprise table release ${hold.workflowId}`) || null,
      () => detailsOf(one),
    );
    expect(await detailsOf(one)).not.toContain(`reprise approve ${hold.workflowId}`);
    await approve(one, repair);
    expect(await one.workflow.result()).toMatchObject({ state: 'closed', repair: repair.workflowId });
    expect(await hold.result()).toMatchObject({ state: 'completed', outcome: { releasedBy: 'incident' } });
    // Before the repair has ended: it may watch the rows for hours.
    expect(one.journal.some((line) => line.includes('releases the table: the table was put right'))).toBe(true);
    expect(one.names.lastIndexOf('unfreezeTable')).toBeLessThan(one.names.indexOf('writeTableReport'));
    expect(one.journal.some((line) => /^hold: .* kept writes blocked from /.test(line))).toBe(true);
  });

  it('T4: people go on without it; where nobody approved it, it ends with the incident', async () => {
    const one = await open({ surveyTable });
    await approve(one, await waiting(one));
    expect(await one.workflow.result()).toMatchObject({ state: 'closed' });
    expect(await holdOf(one).result()).toMatchObject({ state: 'rejected' });
    expect(one.names).not.toContain('freezeTable');
  });

  it.each([
    ['dismissed', (one: Case) => one.workflow.signal(signalNames.dismiss, person)],
    ['cancelled', (one: Case) => one.workflow.cancel()],
  ] as const)('T4: asked for at once, it is released where the incident is %s', async (_name, end) => {
    const one = await open({ surveyTable }, { order: { ...order, hold: true } });
    const hold = holdOf(one);
    await one.state('waiting-approval', hold);
    expect(states(one)).toEqual(['suspected', 'suspected']);
    await approve(one, hold);
    await one.called('freezeTable');
    await end(one);
    await one.workflow.result().catch(() => undefined);
    await hold.result();
    expect(one.names).toContain('unfreezeTable');
  });

  it('T4: where the configuration says no way, that is written down, and the incident goes on', async () => {
    const one = await open({}, { order: { ...order, hold: true } });
    await waiting(one);
    expect(one.journal).toContainEqual(expect.stringContaining('hold: writes are not blocked'));
    expect(one.names).not.toContain('planHold');
  });
});
