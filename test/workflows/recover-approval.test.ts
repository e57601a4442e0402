import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Approval } from '../../src/domain/plan/plan.js';
import { signalNames, updateNames } from '../../src/domain/operation/names.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, failure, failureOfWorkflow, gate, unlessCancelled } from './lab.js';
import { acceptedUpdates, person, refused, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

describe('D3: a human decides, on a plan', () => {
  it.each([
    ['an object', (approval: Approval): unknown => approval],
    ['the JSON as text, pasted into the Web UI', (approval: Approval): unknown => JSON.stringify(approval)],
  ])('S2: approved by the signal confirm-restore, %s', async (_name, form) => {
    const recovery = await startRecovery(lab);
    const plan = await recovery.plan();
    expect(recovery.steps).toEqual([]);
    await recovery.signal(signalNames.confirmRestore, form({ plan: plan.slice(0, 12), ...person }));
    expect(await recovery.result()).toMatchObject({ state: 'completed', plan: { digest: plan } });
    expect(recovery.seen.of('recordApproval')).toMatchObject([
      { plan, approval: { plan: plan.slice(0, 12), ...person } },
    ]);
    expect(recovery.steps).toContain('restoreFiles');
  });

  it('approved by the update, which answers', async () => {
    const recovery = await startRecovery(lab);
    expect(await recovery.approve({ plan: await recovery.plan(), ...person })).toEqual({ accepted: true, missing: 0 });
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('D4: while it waits it shows the plan, what to send and what to type', async () => {
    const recovery = await startRecovery(lab);
    const plan = await recovery.plan();
    const { cluster } = recovery.seen;
    expect(await recovery.seen.status()).toMatchObject({
      kind: 'recover',
      cluster,
      phase: 'wait for approval',
      waitingFor: expect.stringContaining(`reprise approve recover/${cluster}/op`),
    });
    expect(await recovery.seen.workflow.query('plan')).toMatchObject({ digest: plan });
    const { searchAttributes } = await recovery.seen.workflow.describe();
    expect(searchAttributes).toMatchObject({
      RepriseState: ['waiting-approval'],
      RepriseCluster: [cluster],
      RepriseKind: ['recover'],
    });
  });

  it('what is decided before there is a plan waits for it: signal and update', async () => {
    const planning = gate();
    const judged: string[] = [];
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => {
        await planning.passed;
        return planOf({ cluster, operationId });
      },
      recordApproval: async ({ approval }) => ({ accepted: true, missing: judged.push(approval.by) === 2 ? 0 : 1 }),
    });
    const plan = planOf({ cluster: recovery.seen.cluster, operationId: 'op' }).digest;
    await recovery.signal(signalNames.confirmRestore, { plan, ...person, by: 'early' });
    const update = recovery.approve({ plan, ...person, by: 'waiting' });
    await recovery.seen.called('planRecovery');
    expect(recovery.seen.of('recordApproval')).toEqual([]);
    planning.open();
    await update;
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(new Set(judged)).toEqual(new Set(['early', 'waiting']));
  });

  it('two approvers: the first is told that one is missing, and nothing is done before the second', async () => {
    const people: string[] = [];
    const recovery = await startRecovery(lab, {
      recordApproval: async ({ approval }) => ({ accepted: true, missing: 2 - people.push(approval.by) }),
    });
    const plan = await recovery.plan();
    expect(await recovery.approve({ plan, ...person })).toEqual({ accepted: true, missing: 1 });
    expect(await recovery.seen.status()).toMatchObject({ state: 'waiting-approval' });
    expect(recovery.seen.names).not.toContain('acquireLock');
    expect(await recovery.approve({ plan, ...person, by: 'ops' })).toEqual({ accepted: true, missing: 0 });
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});

describe('F32: what does not count', () => {
  it.each([
    ['no JSON', 'yes please', 'not JSON'],
    ['no object', ['plan'], 'one JSON object is expected'],
    ['nothing', null, 'one JSON object is expected'],
    ['without a name', { plan: '0'.repeat(12), reason: 'go' }, '"by" is missing'],
    ['a plan that is none', { plan: 'latest', by: 'dba', reason: 'go' }, '"plan" is the first 12'],
  ])('a malformed signal is journalled, and it goes on waiting: %s', async (_name, payload, problem) => {
    const recovery = await startRecovery(lab);
    const plan = await recovery.plan();
    await recovery.signal(signalNames.confirmRestore, payload);
    await recovery.seen.called('journal');
    expect(recovery.seen.journal).toEqual([expect.stringContaining(problem)]);
    expect(recovery.seen.names).not.toContain('recordApproval');
    expect(await recovery.seen.status()).toMatchObject({ state: 'waiting-approval', plan });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('a malformed signal whose line cannot be written does not end the workflow', async () => {
    const recovery = await startRecovery(lab, {
      journal: async ({ step }) => {
        if (step === 'approval') throw failure('storage-full', 'no space left');
      },
    });
    await recovery.plan();
    await recovery.signal(signalNames.confirmRestore, 'yes please');
    await recovery.seen.called('journal');
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('a malformed update is answered by the validator and leaves no event', async () => {
    const recovery = await startRecovery(lab);
    await recovery.plan();
    await expect(recovery.approve({ plan: 'latest', ...person })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: expect.stringContaining('12') },
    });
    await expect(recovery.seen.workflow.executeUpdate(updateNames.reject, { args: ['no'] })).rejects.toMatchObject({
      cause: { type: 'approval-refused' },
    });
    expect(await acceptedUpdates(recovery)).toBe(0);
    expect(recovery.seen.names).toEqual(['planRecovery', 'pin']);
  });

  it('what policy refuses: the update fails with the reason, its code and the hint, and it goes on waiting', async () => {
    const recovery = await startRecovery(lab, {
      recordApproval: async ({ approval }) => (approval.by === 'stranger' ? refused : { accepted: true, missing: 0 }),
    });
    const plan = await recovery.plan();
    await expect(recovery.approve({ plan, ...person, by: 'stranger' })).rejects.toMatchObject({
      cause: {
        name: 'ApplicationFailure',
        type: 'plan-stale',
        message: refused.reason,
        details: [{ hint: 'read the plan' }],
      },
    });
    await recovery.signal(signalNames.confirmRestore, { plan, ...person, by: 'stranger' });
    await recovery.seen.called('recordApproval', 2);
    expect(await recovery.seen.status()).toMatchObject({ state: 'waiting-approval', plan });
    expect(recovery.steps).toEqual([]);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('a judgement that cannot be had is a refusal, and it goes on waiting', async () => {
    const recovery = await startRecovery(lab, {
      recordApproval: async ({ approval }) => {
        if (approval.by === 'first') throw failure('storage-full', 'no space left for the record');
        return { accepted: true, missing: 0 };
      },
    });
    const plan = await recovery.plan();
    await expect(recovery.approve({ plan, ...person, by: 'first' })).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: 'no space left for the record' },
    });
    await recovery.approved('second');
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});

describe('declined', () => {
  it.each([
    ['signal', signalNames.reject],
    ['update', updateNames.reject],
  ])('by %s: recorded, nothing else is called, the pin goes', async (kind, name) => {
    const recovery = await startRecovery(lab);
    const plan = await recovery.plan();
    if (kind === 'signal') await recovery.signal(name, JSON.stringify(person));
    else expect(await recovery.seen.workflow.executeUpdate(name, { args: [person] })).toEqual({ rejected: true });
    expect(await recovery.result()).toMatchObject({ state: 'rejected', outcome: null, rejectedBecause: 'dba: seen' });
    expect(recovery.seen.names).toEqual(['planRecovery', 'pin', 'recordRejection', 'unpin']);
    expect(recovery.seen.of('recordRejection')).toMatchObject([{ plan, ...person }]);
    expect(await recovery.seen.status()).toMatchObject({ state: 'rejected' });
  });

  it('an approval that comes in together with a rejection does not win', async () => {
    const judging = gate();
    const recovery = await startRecovery(lab, {
      recordApproval: async () => {
        await judging.passed;
        return { accepted: true, missing: 0 };
      },
    });
    const plan = await recovery.plan();
    await recovery.signal(signalNames.confirmRestore, { plan, ...person });
    await recovery.seen.called('recordApproval');
    await recovery.signal(signalNames.reject, person);
    judging.open();
    expect(await recovery.result()).toMatchObject({ state: 'rejected' });
    expect(recovery.steps).toEqual([]);
  });
});

describe('cancelled while it waits', () => {
  it('gives the pin back, and says so', async () => {
    const recovery = await startRecovery(lab);
    await recovery.plan();
    await recovery.seen.workflow.cancel();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(recovery.seen.names).toEqual(['planRecovery', 'pin', 'unpin']);
    expect(await recovery.seen.status()).toMatchObject({ state: 'cancelled' });
  });

  it('while an approval is being judged: that is recorded to its end, and the pin is given back all the same', async () => {
    const judging = gate();
    let recorded = false;
    const recovery = await startRecovery(lab, {
      recordApproval: async () => {
        await unlessCancelled(judging.passed);
        recorded = true;
        return { accepted: true, missing: 0 };
      },
    });
    await recovery.signal(signalNames.confirmRestore, { plan: await recovery.plan(), ...person });
    await recovery.seen.called('recordApproval');
    await recovery.seen.workflow.cancel();
    await recovery.seen.called('unpin');
    // A cancellation would come with the answer to a heartbeat.
    await sleep(500);
    judging.open();
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(recorded).toBe(true);
    expect(recovery.steps).toEqual([]);
  });
});
