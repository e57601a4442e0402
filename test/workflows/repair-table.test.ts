import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { RepairOutput } from '../../src/workflows/api.js';
import { type Activities, type Case, failure, failureOfWorkflow, gate, Lab, untilCancelled } from './lab.js';
import { until } from '../helpers/until.js';
import { person } from './recoveries.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const order = {
  ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, strategy: 'undo' },
  source: { kind: 'transaction', xid: '1234' },
};
const input = { order, requester: 'ops', operationId: 'op' };

async function started(activities: Partial<Activities> = {}, more: object = {}): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.repairTable, 'table-repair/CLUSTER/op', { ...input, ...more });
  return one;
}

async function approve(one: Case): Promise<void> {
  const { plan } = await one.state('waiting-approval');
  await one.workflow.executeUpdate(updateNames.approve, { args: [{ ...person, plan }] });
}

const result = async (one: Case): Promise<RepairOutput> => (await one.workflow.result()) as RepairOutput;

describe('M4: the repair of a table', () => {
  it('M4: one instance, moved over the end of the transaction, is gone before people are asked', async () => {
    const one = await started();
    const { waitingFor } = await one.state('waiting-approval');
    expect(waitingFor).toContain('reprise approve table-repair/');
    expect(one.names).toEqual([
      ...['findTransaction', 'planInstance', 'openInstance', 'collectRows', 'moveInstance', 'collectRows'],
      ...['closeInstance', 'planRepair'],
    ]);
    expect(one.of('planInstance')).toMatchObject([{ order: { target: { kind: 'before-xid', xid: '1234' } } }]);
    await approve(one);
    expect(await result(one)).toMatchObject({ state: 'completed', outcome: { rowsAfter: 12 } });
    expect(one.names.filter((name) => name.endsWith('Repair'))).toEqual([
      ...['planRepair', 'recheckRepair', 'applyRepair', 'checkRepair', 'finishRepair', 'closeRepair'],
    ]);
    expect(await one.status()).toMatchObject({ kind: 'table-repair', state: 'completed' });
  });

  it('M4: the plan is what is under way where the instance for it is gone already', async () => {
    const { passed, open } = gate();
    const one = await started({
      planRepair: async (input) => {
        await passed;
        return wellBehaved.planRepair(input);
      },
    });
    await one.called('planRepair');
    const { phase, phases } = await one.status();
    expect([phase, phases.at(-1)]).toMatchObject(['plan', { name: 'remove the temporary instance' }]);
    open();
    await approve(one);
    expect(await result(one)).toMatchObject({ state: 'completed' });
  });

  it('M4: where rows cannot be told one by one, two instances are compared, and both are removed', async () => {
    let looks = 0;
    const one = await started({ collectRows: async () => ({ exact: ++looks > 1 }) });
    await approve(one);
    expect(await result(one)).toMatchObject({ state: 'completed' });
    expect(one.of('planInstance').map((step) => (step as { instance: string }).instance)).toEqual([
      'good',
      'good',
      'bad',
    ]);
    expect(one.of('closeInstance')).toHaveLength(3);
    expect(one.of('collectRows').at(-1)).toMatchObject({ from: [{ state: 'good' }, { state: 'bad' }] });
  });

  it('F32: what is rejected, and what was asked for as a plan only, changes nothing', async () => {
    const rejected = await started();
    await rejected.state('waiting-approval');
    await rejected.workflow.signal(signalNames.reject, person);
    expect(await result(rejected)).toMatchObject({ state: 'rejected', outcome: null });
    const planned = await started({}, { planOnly: true });
    expect(await result(planned)).toMatchObject({ state: 'completed', outcome: null });
    for (const one of [rejected, planned]) expect(one.names).not.toContain('applyRepair');
    expect(planned.names.at(-1)).toBe('closeRepair');
  });

  it('T6: who changes a row meanwhile has another plan made, which needs an approval of its own; the damage is not looked for again', async () => {
    let changes = 0;
    const applyRepair: Activities['applyRepair'] = async () => {
      if (++changes === 1) throw failure('conflict', '1 of 3 rows are not as they were when the plan was made');
      return { insert: 2, update: 1, delete: 0, conflicts: 0 };
    };
    const one = await started({ applyRepair });
    await approve(one);
    await one.called('planRepair', 2);
    await approve(one);
    expect(await result(one)).toMatchObject({ state: 'completed' });
    expect(one.of('findTransaction')).toHaveLength(1);
    expect(one.of('applyRepair')).toHaveLength(2);
  });

  it('T6: a change that fails waits for people, who continue it', async () => {
    let tries = 0;
    const applyRepair: Activities['applyRepair'] = async () => {
      if (++tries === 1) throw failure('tool-rejected', 'it failed');
      return { insert: 2, update: 1, delete: 0, conflicts: 0 };
    };
    const one = await started({ applyRepair });
    await approve(one);
    expect((await one.state('paused')).waitingFor).toContain('reprise continue table-repair/');
    await one.workflow.signal(signalNames.continue, person);
    expect(await result(one)).toMatchObject({ state: 'completed' });
  });

  it('T6, F46: one that is rejected or cancelled after some rows were changed says so, with the command that takes them back', async () => {
    const left = '400 rows of metier.demandes_rdv were changed by repair op; to take that back: reprise table undo ...';
    const half = { closeRepair: async () => left };
    const rejected = await started({
      ...half,
      applyRepair: async () => Promise.reject(failure('tool-rejected', 'it failed')),
    });
    await approve(rejected);
    await rejected.state('paused');
    await rejected.workflow.signal(signalNames.reject, person);
    expect(await result(rejected)).toMatchObject({ state: 'rejected', left });
    const cancelled = await started({ ...half, applyRepair: untilCancelled });
    await approve(cancelled);
    await cancelled.pending('applyRepair');
    await cancelled.workflow.cancel();
    await expect(cancelled.workflow.result()).rejects.toThrow();
    for (const { workflow } of [rejected, cancelled]) {
      const { currentDetails } = await workflow.query<{ currentDetails: string }>('__temporal_workflow_metadata');
      expect(currentDetails).toContain('reprise table undo');
    }
  });

  it('T6: a table that others hold is asked for again by itself, and it is shown who holds it', async () => {
    let isFree = false;
    let isApplied = false;
    const one = await started({
      applyRepair: async () => {
        if (!isFree) throw failure('busy', 's.t is held by others (process 7 of "app")', true);
        isApplied = true;
        return { insert: 2, update: 1, delete: 0, conflicts: 0 };
      },
    });
    await approve(one);
    await until(async () => {
      const { waitingFor } = await one.status();
      return waitingFor?.includes('is tried again at') === true && waitingFor.includes('process 7 of "app"');
    }, 'it is shown who holds it');
    isFree = true;
    await until(async () => {
      await lab.pass('10 seconds');
      return isApplied;
    }, 'it is tried again');
    expect(await result(one)).toMatchObject({ state: 'completed', outcome: { rowsAfter: 12 } });
    expect(one.of('planRepair')).toHaveLength(1);
  });

  it('T6: called off while rows are read, it removes its instance', async () => {
    const one = await started({ collectRows: untilCancelled });
    await one.pending('collectRows');
    await one.workflow.cancel();
    await failureOfWorkflow(one.workflow);
    expect(one.of('closeInstance')).toHaveLength(1);
    expect(one.names).not.toContain('planRepair');
  });
});
