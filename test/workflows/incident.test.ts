import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import {
  incidentWorkflowId,
  recoverWorkflowId,
  signalNames,
  updateNames,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import type { IncidentInput } from '../../src/workflows/api.js';
import { type Activities, type Case, HOST, Lab, failure, failureOfWorkflow, gate, untilCancelled } from './lab.js';
import { person } from './recoveries.js';
import { planOf, wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const finding = { layer: 'port', reason: 'connection refused' };

async function open(activities: Partial<Activities> = {}, input: Partial<IncidentInput> = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'instance-loss', 'op'), {
    scenario: 'instance-loss',
    operationId: 'op',
    requester: 'watch',
    finding,
    ...input,
  });
  return one;
}
const child = (one: Case, operation = 'op'): WorkflowHandle =>
  lab.client.workflow.getHandle(recoverWorkflowId(one.cluster, operation));
const states = (one: Case) => one.of('recordIncident').map(({ state }) => state);

/** Waits until the recovery of the incident asks for its approval. */
async function waits(one: Case, operation = 'op'): Promise<WorkflowHandle> {
  const handle = child(one, operation);
  await one.state('waiting-approval', handle);
  return handle;
}
async function decide(handle: WorkflowHandle, one: Case, name: string): Promise<void> {
  const { plan } = await one.status(handle);
  await handle.executeUpdate(name, { args: [{ plan, ...person }] });
}

describe('S1: suspected', () => {
  it('is recorded with the layer, qualified, planned; and it waits for a decision on the plan', async () => {
    const one = await open({}, { firstFailedAt: '2026-11-21T02:00:00Z' });
    const recovery = await waits(one);
    expect(one.of('recordIncident')).toMatchObject([
      { scenario: 'instance-loss', state: 'suspected', text: 'layer port: connection refused', by: 'watch' },
      { state: 'suspected', text: 'answers: no (port: refused); data directory damaged; old WAL readable' },
    ]);
    expect(await one.waitsFor(`reprise approve ${recovery.workflowId}`)).toMatchObject({
      kind: 'incident',
      state: 'suspected',
    });
    expect(one.of('planRecovery')).toMatchObject([
      { operationId: 'op', order: { target: { kind: 'latest' }, into: 'in-place' }, requester: 'watch' },
    ]);
    expect(one.names).not.toContain('acquireLock');
  });

  it('the recovery is told when the first check failed', async () => {
    const one = await open({}, { firstFailedAt: '2026-11-21T02:00:00Z' });
    await decide(await waits(one), one, updateNames.approve);
    await one.workflow.result();
    expect(one.of('finishRecovery')).toMatchObject([
      { incident: one.workflow.workflowId, firstFailedAt: '2026-11-21T02:00:00Z' },
    ]);
  });

  it('what cannot be found out is recorded, and planning goes on', async () => {
    const one = await open({
      diagnose: async () => {
        throw failure('tool-missing', 'pg_controldata is not there');
      },
    });
    await waits(one);
    expect(one.of('recordIncident')[1]).toMatchObject({ text: expect.stringContaining('pg_controldata is not there') });
  });

  it('D7: a dead host is said and waited for, and then the incident goes on', async () => {
    const there = gate();
    const one = await open({
      hostAnswers: async () => one.names.includes('confirmWorker'),
      confirmWorker: () => there.passed,
    });
    expect((await one.state('waiting-worker')).waitingFor).toContain(HOST);
    there.open();
    await waits(one);
    expect(await one.status()).toMatchObject({ state: 'suspected' });
  });
});

describe('L12: an incident whose host is dead', () => {
  it('is dismissed at once, and starts no recovery', async () => {
    const one = await open({
      describeCluster: async (input) => ({
        ...(await wellBehaved.describeCluster(input)),
        host: 'db-without-worker',
      }),
      hostAnswers: async () => false,
    });
    await one.state('waiting-worker');
    await one.workflow.signal(signalNames.dismiss, person);
    await one.state('cancelled');
    await one.pending('recordIncident');
    expect(one.names).not.toContain('planRecovery');
  });
});

describe('S2: the human decision', () => {
  it('confirmed by hand: recorded with who and why; the plan is still to be approved', async () => {
    const one = await open();
    const recovery = await waits(one);
    await one.workflow.signal(signalNames.confirm, person);
    await one.state('running');
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'confirmed', by: 'dba', text: 'seen' });
    expect(await one.status(recovery)).toMatchObject({ state: 'waiting-approval' });
    expect(one.names).not.toContain('acquireLock');
  });

  it('S4, S5: approved, recovered, closed with the document', async () => {
    const one = await open();
    const recovery = await waits(one);
    await decide(recovery, one, updateNames.approve);
    expect(await one.workflow.result()).toEqual({ state: 'closed', recovery: recovery.workflowId });
    expect(states(one)).toEqual(['suspected', 'suspected', 'confirmed', 'closed']);
    expect(one.of('recordIncident').at(-1)).toMatchObject({ text: 'recovered to the end of the WAL' });
    expect(one.of('writeReport')).toMatchObject([{ operationId: 'op', incident: one.workflow.workflowId }]);
    expect(one.names.lastIndexOf('writeReport')).toBeGreaterThan(one.names.lastIndexOf('recordIncident'));
    expect(await one.status()).toMatchObject({ state: 'completed', waitingFor: null });
  });

  it.each([
    ['dismissed', signalNames.dismiss, 'cancelled'],
    ['closed', signalNames.close, 'completed'],
  ] as const)(
    '%s: the recovery is cancelled, its pin given back, and nothing was changed',
    async (state, signal, shown) => {
      const one = await open();
      const recovery = await waits(one);
      await one.workflow.signal(signal, person);
      expect(await one.workflow.result()).toEqual({ state, recovery: null });
      expect(await failureOfWorkflow(recovery)).toMatchObject({ type: 'CancelledFailure' });
      expect(one.of('recordIncident').at(-1)).toMatchObject({ state, by: 'dba', text: 'seen' });
      expect(one.names).toContain('unpin');
      expect(one.names).not.toContain('acquireLock');
      expect(await one.status()).toMatchObject({ state: shown });
    },
  );

  it.each([
    ['nothing', null],
    ['text', 'false alarm'],
    ['a number', 7],
  ])('F32: a dismissal without a form (%s) is still one', async (_name, payload) => {
    const one = await open();
    await waits(one);
    await one.workflow.signal(signalNames.dismiss, payload);
    expect(await one.workflow.result()).toMatchObject({ state: 'dismissed' });
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'dismissed', by: 'unnamed' });
  });

  it('dismissed while the plan is made', async () => {
    const one = await open({ planRecovery: untilCancelled });
    await one.called('planRecovery');
    await one.workflow.signal(signalNames.dismiss, person);
    expect(await one.workflow.result()).toMatchObject({ state: 'dismissed' });
    expect(one.names).not.toContain('pin');
  });

  it('cancelled: its recovery too', async () => {
    const one = await open();
    const recovery = await waits(one);
    await one.workflow.cancel();
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(await failureOfWorkflow(recovery)).toMatchObject({ type: 'CancelledFailure' });
    expect(await one.status()).toMatchObject({ state: 'cancelled' });
  });
});

describe('O1: the cluster answers again', () => {
  const nothingToDo = 'it answers again since 2026-11-21T02:20:00Z: nothing to do';
  const restart: Activities['planRecovery'] = async ({ cluster, operationId }) =>
    planOf({ cluster, operationId, method: 'restart' });

  it('O1: its plan to restart ends, and the incident is closed with that; nothing was changed', async () => {
    const one: Case = await open({
      planRecovery: async (input) => (one.names.includes('pin') ? { nothingToDo } : restart(input)),
    });
    const recovery = await waits(one);
    await one.workflow.signal(signalNames.clusterAnswers);
    expect(await one.workflow.result()).toEqual({ state: 'closed', recovery: recovery.workflowId });
    expect(await recovery.result()).toMatchObject({ state: 'completed', outcome: null, nothingToDo });
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'closed', text: nothingToDo });
    expect(one.of('planRecovery')).toMatchObject([{ unlessAnswers: true }, { unlessAnswers: true }]);
    expect(one.names).toContain('unpin');
    expect(one.names).not.toContain('acquireLock');
  });

  it('O1: before a plan was made: closed too', async () => {
    const one = await open({ planRecovery: async () => ({ nothingToDo }) });
    expect(await one.workflow.result()).toMatchObject({ state: 'closed' });
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'closed', text: nothingToDo });
  });

  it('O1: where data was to be replaced, a person decides; a plan that he asks for then is made', async () => {
    const one: Case = await open({
      planRecovery: async (input) =>
        input.unlessAnswers && one.names.includes('pin')
          ? { nothingToDo }
          : planOf({ ...input, method: 'data-directory' }),
    });
    await waits(one);
    await one.workflow.signal(signalNames.clusterAnswers);
    expect((await one.state('paused')).waitingFor).toContain(nothingToDo);
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'undecided', text: nothingToDo });
    await one.workflow.signal(signalNames.continue, person);
    await waits(one, 'op-2');
    expect(one.of('planRecovery').at(-1)).not.toHaveProperty('unlessAnswers');
  });

  it('O1: approved meanwhile: what is found when the plan is made again ends it, and nothing is done', async () => {
    const one = await open({
      planRecovery: restart,
      recheckPlan: async () => ({ digest: null, changed: [], nothingToDo }),
    });
    await decide(await waits(one), one, updateNames.approve);
    expect(await one.workflow.result()).toMatchObject({ state: 'closed' });
    expect(one.names).not.toContain('startServer');
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'closed', text: nothingToDo });
  });

  it('O1: opened by hand, it is about more than an answer: the plan is made', async () => {
    const one = await open({}, { finding: undefined, requester: 'ops' });
    await waits(one);
    expect(one.of('planRecovery')[0]).not.toHaveProperty('unlessAnswers');
  });
});

describe('undecided: the recovery came to nothing', () => {
  it('rejected: it waits for a person; continue plans again in a recovery of its own', async () => {
    const one = await open();
    await decide(await waits(one), one, updateNames.reject);
    expect((await one.state('paused')).waitingFor).toContain('because dba: seen');
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'undecided', text: 'dba: seen' });
    await one.workflow.signal(signalNames.continue, person);
    const second = await waits(one, 'op-2');
    await decide(second, one, updateNames.approve);
    expect(await one.workflow.result()).toEqual({ state: 'closed', recovery: second.workflowId });
    expect(one.of('planRecovery').map(({ operationId }) => operationId)).toEqual(['op', 'op-2']);
    expect(one.of('writeReport')).toMatchObject([{ operationId: 'op-2' }]);
  });

  it('no plan could be made: the reason and its hint are what is shown', async () => {
    const one = await open({
      planRecovery: async () => {
        throw failure('no-usable-backup', 'no backup is whole');
      },
    });
    const { waitingFor } = await one.state('paused');
    expect(waitingFor).toContain('no backup is whole (no-usable-backup) HINT: do something');
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'undecided' });
  });

  it('F8: Reset when its recovery was started already: that one goes on, and a person decides', async () => {
    const one = lab.case();
    const recovery = await one.start(workflowTypes.recover, recoverWorkflowId('CLUSTER', 'op'), {
      order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
      operationId: 'op',
      requester: 'watch',
    });
    await waits(one);
    const incident = await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'instance-loss', 'op'), {
      scenario: 'instance-loss',
      operationId: 'op',
      requester: 'watch',
    });
    expect((await one.state('paused', incident)).waitingFor).toContain(`${recovery.workflowId} was started before`);
    expect(await one.status(recovery)).toMatchObject({ state: 'waiting-approval' });
    await incident.signal(signalNames.close, person);
    expect(await incident.result()).toMatchObject({ state: 'closed' });
    expect(await one.status(recovery)).toMatchObject({ state: 'waiting-approval' });
  });

  it.each([
    ['closed', signalNames.close],
    ['dismissed', signalNames.dismiss],
  ] as const)('%s by a person, and recorded', async (state, signal) => {
    const one = await open();
    await decide(await waits(one), one, updateNames.reject);
    await one.state('paused');
    await one.workflow.signal(signalNames.confirm, person);
    await one.workflow.signal(signal, person);
    expect(await one.workflow.result()).toEqual({ state, recovery: recoverWorkflowId(one.cluster, 'op') });
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state, by: 'dba' });
  });
});

describe('S5: the journal', () => {
  it('takes notes while it runs and while it waits', async () => {
    const one = await open();
    const recovery = await waits(one);
    await one.workflow.signal(signalNames.note, { by: 'dba', text: 'the disk was replaced' });
    await one.called('journal');
    await decide(recovery, one, updateNames.reject);
    await one.state('paused');
    await one.workflow.signal(signalNames.note, JSON.stringify({ by: 'ops', text: 'called the host' }));
    await one.called('journal', 2);
    expect(one.journal).toEqual(['note: dba: the disk was replaced', 'note: ops: called the host']);
  });

  it('notes that the cluster answers again', async () => {
    const one = await open();
    await waits(one);
    await one.workflow.signal(signalNames.clusterAnswers);
    await one.called('journal');
    expect(one.journal).toEqual([`note: watch: ${one.cluster} answers again`]);
    expect(await one.status()).toMatchObject({ state: 'suspected' });
  });

  it.each([
    ['nothing', null],
    ['text', 'hello'],
    ['a number', 7],
    ['an empty object', {}],
  ])('F32: a note that cannot be read (%s) is noted as such and stops nothing', async (_name, payload) => {
    const one = await open();
    await waits(one);
    await one.workflow.signal(signalNames.note, payload);
    await one.called('journal');
    expect(one.journal).toEqual([expect.stringContaining('a note is not valid')]);
    await one.workflow.signal(signalNames.dismiss, person);
    expect(await one.workflow.result()).toMatchObject({ state: 'dismissed' });
  });
});
