import { beforeAll, describe, expect, it } from '@jest/globals';
import { signalNames } from '../../src/domain/operation/names.js';
import { HOST, Lab, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { outcomeOfHost } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.start();
});

describe('G7: the outcome of a recovery', () => {
  it('G7: is that of the host: the workflow names the plan and the incident, and gives no check, no target and no figure', async () => {
    const firstFailedAt = '2026-11-21T02:00:00.000Z';
    const recovery = await startRecovery(lab, {}, { target: { kind: 'lsn', lsn: '0/4000000' } }, { firstFailedAt });
    await recovery.approved();
    const { outcome, plan } = await recovery.result();
    expect(outcome).toEqual(outcomeOfHost);
    const [finished] = recovery.seen.of('finishRecovery');
    expect(finished).toMatchObject({ plan: plan.digest, firstFailedAt });
    for (const told of ['outcome', 'checks', 'target', 'phases']) expect(finished).not.toHaveProperty(told);
  });
});

describe('D7: a host without a worker', () => {
  it('is said, and waited for; then it goes on', async () => {
    const there = gate();
    const recovery = await startRecovery(lab, { hostAnswers: async () => false, awaitHost: () => there.passed });
    const { waitingFor } = await recovery.seen.state('waiting-worker');
    expect(waitingFor).toContain(`reprise worker --host ${HOST}`);
    expect(recovery.seen.names).not.toContain('planRecovery');
    there.open();
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('declined meanwhile: the decision is kept for the plan', async () => {
    const there = gate();
    const recovery = await startRecovery(lab, { hostAnswers: async () => false, awaitHost: () => there.passed });
    await recovery.seen.state('waiting-worker');
    await recovery.signal(signalNames.reject, person);
    there.open();
    expect(await recovery.result()).toMatchObject({ state: 'rejected' });
    expect(recovery.steps).toEqual([]);
  });
});

describe('the incident that asked for it', () => {
  it('is confirmed by the approval of the plan', async () => {
    const parent = lab.case();
    const incident = await parent.start('incident', 'incident/CLUSTER/instance-loss/op', {
      scenario: 'instance-loss',
      operationId: 'op',
      requester: 'ops',
    });
    await parent.called('recordIncident', 2);
    const recovery = await startRecovery(lab, {}, {}, { incident: incident.workflowId });
    await recovery.approved();
    await recovery.result();
    await parent.until(
      async () =>
        parent.of('recordIncident').some(({ state, by }) => state === 'confirmed' && by === 'approval') || null,
      async () => JSON.stringify(parent.of('recordIncident')),
    );
  });

  it('one that is closed already keeps nothing from going on', async () => {
    const recovery = await startRecovery(lab, {}, {}, { incident: 'incident/gone/instance-loss/op' });
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });
});
