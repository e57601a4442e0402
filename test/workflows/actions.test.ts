import { beforeAll, describe, expect, it } from '@jest/globals';
import { updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { Activities, Case } from './lab.js';
import { HOST, Lab, failure, failureOfWorkflow } from './lab.js';
import { actionPlanOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

const order = { kind: 'kept-drop' as const, id: 'op-1/old' };
async function started(activities: Partial<Activities> = {}, more: object = {}) {
  const one = lab.case(activities);
  const input = { operationId: 'op', requester: 'ops', order, ...more };
  return { one, handle: await one.start(workflowTypes.action, 'kept-drop/CLUSTER/op', input) };
}
async function approve({ one, handle }: Awaited<ReturnType<typeof started>>): Promise<void> {
  await one.state('waiting-approval');
  const approval = { plan: (await one.status()).plan?.slice(0, 12), by: 'dba', reason: 'checked' };
  await handle.executeUpdate(updateNames.approve, { args: [approval] });
}
const notices = (one: Case): number => one.names.filter((name) => name === 'deliveriesOf').length;

describe('G5: an act that cannot be undone', () => {
  it('is planned, approved, planned again and carried out by its plan alone', async () => {
    const work = await started();
    await approve(work);
    expect(await work.handle.result()).toMatchObject({ state: 'completed', outcome: { dropped: [] } });
    expect(work.one.names).toEqual(['planAction', 'recordApproval', 'recheckAction', 'applyAction', 'closeAction']);
    expect(work.one.of('applyAction')).toEqual([expect.not.objectContaining({ order: expect.anything() })]);
    expect(await work.one.status()).toMatchObject({ kind: 'kept-drop', state: 'completed' });
    expect(notices(work.one)).toBe(0);
  });

  it('rejected, or refused by the host, it changes nothing', async () => {
    const rejected = await started();
    await rejected.one.state('waiting-approval');
    await rejected.handle.executeUpdate(updateNames.reject, { args: [{ by: 'dba', reason: 'needed' }] });
    expect(await rejected.handle.result()).toMatchObject({ state: 'rejected', rejectedBecause: 'dba: needed' });
    expect(rejected.one.names).toEqual(['planAction', 'recordRejection', 'closeAction']);
    const refused = await started({
      recordApproval: async () => ({ accepted: false, missing: 0, code: 'confirmation-needed', reason: 'from afar' }),
    });
    await expect(approve(refused)).rejects.toMatchObject({ cause: { type: 'confirmation-needed' } });
    expect((await refused.one.status()).state).toBe('waiting-approval');
    expect(refused.one.names).not.toContain('applyAction');
    await refused.handle.terminate();
  });

  it('what has changed since is planned anew and approved anew; confirmed at a terminal, it fails instead', async () => {
    let plans = 0;
    const changing = (approvers: number): Partial<Activities> => ({
      planAction: async (request) => actionPlanOf(request, { approvers, found: { mark: ++plans } }),
      recheckAction: async ({ plan }) => ({ digest: plans % 2 === 1 ? 'another' : plan }),
    });
    const asked = await started(changing(1));
    await approve(asked);
    await asked.one.called('journal');
    await approve(asked);
    expect(await asked.handle.result()).toMatchObject({ state: 'completed' });
    expect(plans).toBe(2);
    const confirmed = await started(changing(0));
    await approve(confirmed);
    expect(await failureOfWorkflow(confirmed.handle)).toMatchObject({ type: 'plan-stale' });
    expect(confirmed.one.names).not.toContain('applyAction');
  });

  it('a failure closes the plan', async () => {
    const work = await started({
      applyAction: async () => {
        throw failure('conflict', 'a server is running there');
      },
    });
    await approve(work);
    expect(await failureOfWorkflow(work.handle)).toMatchObject({ type: 'conflict' });
    expect(work.one.names.at(-1)).toBe('closeAction');
  });

  it('a host that is none of the cluster is not asked', async () => {
    const work = await started({}, { order: { ...order, host: 'elsewhere' } });
    await approve(work);
    await work.handle.result();
    expect(work.one.calls.find(({ name }) => name === 'applyAction')?.queue).toBe(`reprise-${HOST}`);
  });
});
