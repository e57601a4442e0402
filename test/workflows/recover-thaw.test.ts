import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import type { Plan } from '../../src/domain/plan/plan.js';
import type { ObservedThaw } from '../../src/domain/plan/thaw.js';
import { Lab } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { planOf } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const observed: ObservedThaw = {
  objects: 3,
  bytes: 3e9,
  storageClasses: ['DEEP_ARCHIVE'],
  choices: [
    { tier: 'Standard', hours: 12, price: 0.06 },
    { tier: 'Bulk', hours: 48, price: 0.01 },
  ],
  currency: 'EUR',
};

function coldPlan(cluster: string, operationId: string): Plan {
  const plan = planOf({ cluster, operationId, thaw: { tier: 'Standard', days: 7 } });
  return { ...plan, observed: { ...plan.observed, thaw: observed } };
}

describe('F13: a recovery from cold storage', () => {
  it('asks for the thaw after the approval, waits for hours as waiting-thaw, and goes on when every file can be read', async () => {
    let cold = 3;
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => coldPlan(cluster, operationId),
      lookAtThaw: async () => ({ objects: cold, bytes: cold * 1e9 }),
    });
    const plan = await recovery.plan();
    expect(recovery.seen.of('requestThaw')).toEqual([]);
    await recovery.approved();
    const waiting = await recovery.seen.state('waiting-thaw');
    expect(waiting).toMatchObject({ plan, phase: 'thaw', waitingFor: expect.stringContaining('3 files (3.0 GB)') });
    expect((await recovery.seen.workflow.describe()).searchAttributes).toMatchObject({
      RepriseState: ['waiting-thaw'],
    });
    expect(recovery.seen.of('requestThaw')).toMatchObject([{ plan }]);
    // Backups go on meanwhile, and nothing is stopped.
    expect(recovery.seen.of('acquireLock')).toEqual([]);
    expect(recovery.steps).toEqual(expect.not.arrayContaining(['stopServer']));
    await lab.pass('6 hours');
    expect(recovery.seen.of('acquireLock')).toEqual([]);
    cold = 0;
    await lab.pass('1 hour');
    expect(await recovery.result()).toMatchObject({ state: 'completed', plan: { digest: plan } });
    expect(recovery.seen.of('requestThaw')).toHaveLength(1);
    expect(recovery.steps).toContain('restoreFiles');
  });

  it('is given up while it waits by a rejection, before anything was changed', async () => {
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) => coldPlan(cluster, operationId),
      lookAtThaw: async () => ({ objects: 1, bytes: 1 }),
    });
    await recovery.approved();
    await recovery.seen.state('waiting-thaw');
    await recovery.signal(signalNames.reject, person);
    expect(await recovery.result()).toMatchObject({ state: 'rejected' });
    expect(recovery.steps).toEqual(expect.not.arrayContaining(['restoreFiles']));
    expect(recovery.seen.of('acquireLock')).toEqual([]);
  });

  it('hours later goes back to approval where the plan no longer holds, and asks for no second thaw', async () => {
    let plans = 0;
    const recovery = await startRecovery(lab, {
      planRecovery: async ({ cluster, operationId }) =>
        plans++ === 0 ? coldPlan(cluster, operationId) : planOf({ cluster, operationId }),
      recheckPlan: async ({ plan, cluster, operationId }) => ({
        digest: plan === coldPlan(cluster, operationId).digest ? 'another' : plan,
        changed: ['backups'],
      }),
    });
    await recovery.approved();
    const { digest } = planOf({ cluster: recovery.seen.cluster, operationId: 'op' });
    await recovery.seen.called('planRecovery', 2);
    for (;;) if ((await recovery.plan()) === digest) break;
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed', plan: { digest } });
    expect(recovery.seen.of('requestThaw')).toHaveLength(1);
  });
});
