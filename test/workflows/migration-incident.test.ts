import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import {
  incidentWorkflowId,
  recoverWorkflowId,
  repairWorkflowId,
  signalNames,
  updateNames,
  workflowTypes,
} from '../../src/domain/operation/names.js';
import type { ChosenRepair } from '../../src/workflows/api.js';
import { type Activities, type Case, failure, failureOfWorkflow, Lab } from './lab.js';
import { person } from './recoveries.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const order = { database: 'mairie', foundAt: '2026-11-21T08:00:00.000Z' };
const table = { schema: 'metier', table: 'demandes_rdv' };
const before = { kind: 'time', time: '2026-11-21T07:50:00.000Z' };
const repairOrder = { database: 'mairie', table, source: { kind: 'state', at: before }, strategy: 'insert-missing' };
const recoveryOrder = { database: 'mairie', target: before, into: 'in-place', pause: false };

async function open(activities: Partial<Activities> = {}, more: object = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.incident, incidentWorkflowId('CLUSTER', 'bad-migration', 'op'), {
    ...{ scenario: 'bad-migration', operationId: 'op', requester: 'ops', order, ...more },
  });
  return one;
}

const choose = (one: Case, name: string, chosen: object): Promise<ChosenRepair> =>
  one.workflow.executeUpdate(name, { args: [{ by: 'dba', order: chosen }] });
const repairOf = (one: Case, attempt: number): WorkflowHandle =>
  lab.client.workflow.getHandle(repairWorkflowId(one.cluster, `op-${attempt}`));
const recoveryOf = (one: Case, attempt: number): WorkflowHandle =>
  lab.client.workflow.getHandle(recoverWorkflowId(one.cluster, `op-${attempt}`));

async function approve(one: Case, child: WorkflowHandle): Promise<void> {
  const { plan } = await one.state('waiting-approval', child);
  await child.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
}

/** What the Web UI shows beside its status. */
async function detailsOf(one: Case): Promise<string> {
  const shown = await one.workflow.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return shown.currentDetails;
}

const confirmed = async (one: Case): Promise<void> => {
  await one.workflow.signal(signalNames.confirm, person);
  await one.state('paused');
};

describe('K5: a migration went wrong', () => {
  it('K5: the state before it is compared in a temporary instance; figures and commands are shown, and nothing is changed', async () => {
    const one = await open();
    await one.waitsFor(`reprise incident confirm ${one.workflow.workflowId}`);
    expect(one.of('planInstance')).toMatchObject([
      { instance: 'before', order: { target: before, databases: ['mairie'] } },
    ]);
    expect(one.names.indexOf('closeInstance')).toBeGreaterThan(one.names.indexOf('compareMigration'));
    expect(one.of('recordIncident').at(-1)).toMatchObject({
      ...{ scenario: 'bad-migration', state: 'suspected' },
      text: '1 tables have other numbers of rows, 11 the same; 1 definition differs',
    });
    await confirmed(one);
    const details = await detailsOf(one);
    expect(details).toContain(':** 90000 before, 60000 now');
    expect(details).toContain(`--database mairie --to ${before.time} --incident ${one.workflow.workflowId}`);
    expect(one.names).not.toContain('applyRepair');
    await one.workflow.signal(signalNames.dismiss, person);
    expect(await one.workflow.result()).toMatchObject({ state: 'dismissed', report: null });
  });

  it('K5: two tables, one after the other, each with its approval; the incident ends when somebody closes it', async () => {
    const one = await open();
    await confirmed(one);
    for (const attempt of [1, 2]) {
      expect(await choose(one, updateNames.chooseRepair, repairOrder)).toMatchObject({ operationId: `op-${attempt}` });
      await approve(one, repairOf(one, attempt));
      await repairOf(one, attempt).result();
      await one.state('paused');
    }
    expect(one.of('finishRepair')).toMatchObject([
      { incident: { workflowId: one.workflow.workflowId } },
      { incident: { discoveredAt: order.foundAt } },
    ]);
    await one.workflow.signal(signalNames.close, person);
    expect(await one.workflow.result()).toEqual({
      ...{ state: 'closed', recovery: null, repair: null, report: 'incidents/op.md' },
    });
    expect(one.of('writeMigrationReport')).toMatchObject([{ recovery: null, findings: { changed: 1 } }]);
  });

  it('K5: the whole database: the recovery ends the incident; one that was rejected leads back to the choice', async () => {
    const one = await open();
    const rejected = await choose(one, updateNames.chooseRecovery, recoveryOrder);
    expect(rejected.workflowId).toBe(recoverWorkflowId(one.cluster, 'op-1'));
    await one.state('waiting-approval', recoveryOf(one, 1));
    await expect(choose(one, updateNames.chooseRepair, repairOrder)).rejects.toMatchObject({
      cause: { type: 'conflict', message: expect.stringContaining(rejected.workflowId) },
    });
    await recoveryOf(one, 1).signal(signalNames.reject, person);
    await one.state('paused');
    expect(one.of('recordIncident').at(-1)).toMatchObject({ state: 'undecided' });
    await choose(one, updateNames.chooseRecovery, recoveryOrder);
    await approve(one, recoveryOf(one, 2));
    expect(await one.workflow.result()).toMatchObject({
      ...{ state: 'closed', recovery: recoveryOf(one, 2).workflowId, report: 'incidents/op.md' },
    });
    expect(one.of('writeMigrationReport')).toMatchObject([{ recovery: 'op-2' }]);
  });

  it('K5: states that cannot be compared keep nobody from choosing', async () => {
    const one = await open({
      compareMigration: async () => {
        throw failure('database-unreachable', 'the server does not answer');
      },
    });
    await confirmed(one);
    expect(await detailsOf(one)).toContain('the server does not answer');
    await choose(one, updateNames.chooseRecovery, recoveryOrder);
    await one.state('waiting-approval', recoveryOf(one, 1));
    await one.workflow.signal(signalNames.close, person);
    expect(await one.workflow.result()).toMatchObject({ state: 'closed', recovery: null });
    expect(await failureOfWorkflow(recoveryOf(one, 1))).toMatchObject({ type: 'CancelledFailure' });
  });

  it('F32: nothing says when it was, or no database is named: it ends with a hint', async () => {
    const unknown = await open({
      findMigration: async () => {
        throw failure('not-found', 'nothing says when database mairie was migrated');
      },
    });
    expect(await failureOfWorkflow(unknown.workflow)).toMatchObject({ type: 'not-found' });
    const none = await open({}, { order: {} });
    expect(await failureOfWorkflow(none.workflow)).toMatchObject({ type: 'usage' });
  });
});
