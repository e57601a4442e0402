import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import type { Notice } from '../../src/domain/notification/notices.js';
import { HOST, Lab, failure, failureOfWorkflow, gate } from './lab.js';
import { acceptedUpdates, person, refused, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

describe('O1: a plan to restart', () => {
  it('O1: approved for a restart, and another method is needed: it is another plan, shown and told; the approval is none', async () => {
    const told: string[] = [];
    let method: 'restart' | 'data-directory' = 'restart';
    const recovery = await startRecovery(lab, {
      describeCluster: async () => ({ host: HOST, configDigest: 'c', policies: {}, tells: ['waiting-approval'] }),
      sendNotice: async ({ notice: { facts } }) => {
        if (facts.kind === 'approval') told.push(facts.plan.binding.method);
        return { told: ['dba'], notTold: [], refused: 0, detail: 'taken' };
      },
      planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId, method }),
      recheckPlan: async ({ plan, cluster, operationId }) => {
        if (recovery.seen.of('recheckPlan').length > 1) return { digest: plan, changed: [] };
        method = 'data-directory';
        const now = planOf({ cluster, operationId, method }).digest;
        return { digest: now, changed: ['it restores a physical backup instead of starting the server'] };
      },
      recordApproval: async ({ plan, approval }) =>
        plan.startsWith(approval.plan) ? { accepted: true, missing: 0 } : refused,
    });
    const first = await recovery.plan();
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    const second = await recovery.plan();
    expect(second).not.toBe(first);
    await expect(recovery.approve({ plan: first, ...person })).rejects.toMatchObject({ cause: { type: 'plan-stale' } });
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.journal.join()).toContain('instead of starting the server');
    await recovery.seen.called('sendNotice', 2);
    expect(told).toEqual(['restart', 'data-directory']);
  });

  it('O1: the server answers again, approved or not: it ends, people are told, and nothing was done', async () => {
    const nothingToDo = 'it answers again: nothing to do';
    const recovery = await startRecovery(lab, {
      describeCluster: async () => ({ host: HOST, configDigest: 'c', policies: {}, tells: ['waiting-approval'] }),
      planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId, method: 'restart' }),
      recheckPlan: async () => ({ digest: null, changed: [], nothingToDo }),
    });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed', outcome: null, nothingToDo });
    expect(recovery.steps).toEqual([]);
    await recovery.seen.called('sendNotice', 2);
    expect(recovery.seen.of('sendNotice').map(({ notice }) => (notice as Notice).facts.kind)).toEqual([
      'approval',
      'ended',
    ]);
  });
});

describe('a plan made again', () => {
  it('continue while it waits makes the plan anew; the old one cannot be approved any more', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        planOf({ cluster, operationId, port: 5000 + recovery.seen.of('planRecovery').length }),
      recordApproval: async ({ plan, approval }) =>
        plan.startsWith(approval.plan) ? { accepted: true, missing: 0 } : refused,
    });
    const first = await recovery.plan();
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('pin', 2);
    const second = await recovery.plan();
    expect(second).not.toBe(first);
    await expect(recovery.approve({ plan: first, ...person })).rejects.toMatchObject({ cause: { type: 'plan-stale' } });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed', plan: { digest: second } });
    expect(recovery.seen.of('restoreFiles')).toMatchObject([{ plan: second }]);
  });

  it('what is decided while a plan is made again is judged on the new one', async () => {
    const planning = gate();
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => {
        const made = recovery.seen.of('planRecovery').length;
        if (made > 1) await planning.passed;
        return planOf({ cluster, operationId, port: 5000 + made });
      },
    });
    const first = await recovery.plan();
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('planRecovery', 2);
    await recovery.signal(signalNames.confirmRestore, {
      plan: planOf({ cluster: recovery.seen.cluster, operationId: 'op', port: 5002 }).digest,
      ...person,
    });
    expect(await recovery.seen.workflow.query('plan')).toBeNull();
    planning.open();
    const { plan } = await recovery.result();
    expect(plan?.digest).not.toBe(first);
    expect(recovery.seen.of('recordApproval')).toMatchObject([{ plan: plan?.digest }]);
  });

  it('an approval judged while the same plan is made again is not lost', async () => {
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
    await recovery.signal(signalNames.continue, person);
    await recovery.seen.called('planRecovery', 2);
    judging.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('stale: the recheck finds another digest, nothing is done, the new plan needs an approval of its own', async () => {
    let port = 5432;
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => planOf({ cluster, operationId, port }),
      recheckPlan: async ({ cluster, operationId }) => {
        if (recovery.seen.of('recheckPlan').length === 1) port = 5433;
        return { digest: planOf({ cluster, operationId, port }).digest, changed: ['port'] };
      },
    });
    const first = await recovery.plan();
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    const second = await recovery.plan();
    expect(second).not.toBe(first);
    expect(recovery.steps).toEqual([]);
    expect(recovery.seen.journal).toEqual([expect.stringMatching(/^recheck: plan [0-9a-f]{12} is stale/)]);
    // The cluster is free while people decide again.
    expect(recovery.seen.names.filter((name) => name === 'releaseLock')).toHaveLength(1);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed', plan: { digest: second } });
  });

  it('stale and then the same again: it is still not done without another approval', async () => {
    const recovery = await startRecovery(lab, {
      recheckPlan: async ({ plan }) => ({
        digest: recovery.seen.of('recheckPlan').length === 1 ? 'f'.repeat(64) : plan,
        changed: [],
      }),
    });
    await recovery.approved();
    await recovery.seen.called('pin', 2);
    await recovery.plan();
    expect(recovery.steps).toEqual([]);
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});

describe('a plan that cannot be made', () => {
  it('F25: fails with its code before anything is changed; whoever waits for an answer gets one', async () => {
    const planning = gate();
    const recovery = await startRecovery(lab, {
      planRecovery: async () => {
        await planning.passed;
        throw failure('target-after-wal', 'the latest instant is 02:14:57');
      },
    });
    await recovery.seen.called('planRecovery');
    const update = recovery.approve({ plan: '0'.repeat(12), ...person });
    const answered = expect(update).rejects.toMatchObject({
      cause: { type: 'approval-refused', message: 'no plan is waiting' },
    });
    // The update has to be there before planning fails.
    await recovery.seen.until(
      async () => (await acceptedUpdates(recovery)) || null,
      async () => 'the update was not accepted',
    );
    planning.open();
    await answered;
    expect(await failureOfWorkflow(recovery.seen.workflow)).toEqual({
      type: 'target-after-wal',
      message: 'the latest instant is 02:14:57',
    });
    expect(await recovery.seen.status()).toMatchObject({ state: 'failed', waitingFor: null });
    expect(recovery.seen.names).toEqual(['planRecovery']);
  });

  it('a second plan that fails gives the pin of the first back', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => {
        if (recovery.seen.of('planRecovery').length > 1) throw failure('wal-gap', 'a segment is missing');
        return planOf({ cluster, operationId });
      },
    });
    await recovery.plan();
    await recovery.signal(signalNames.continue, person);
    expect(await failureOfWorkflow(recovery.seen.workflow)).toMatchObject({ type: 'wal-gap' });
    const steps = recovery.seen.names.filter((name) => name !== 'journal');
    expect(steps).toEqual(['planRecovery', 'pin', 'planRecovery', 'unpin']);
  });
});
