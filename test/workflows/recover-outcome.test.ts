import { beforeAll, describe, expect, it } from '@jest/globals';
import { updateNames } from '../../src/domain/operation/names.js';
import { HOST, Lab, gate } from './lab.js';
import { person, startRecovery } from './recoveries.js';
import { outcomeOfHost, wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

describe('G7: the outcome of a recovery', () => {
  it('G7: is that of the host: the workflow names the plan and the incident, and gives no check, no target and no figure', async () => {
    const firstFailedAt = '2026-11-21T02:00:00.000Z';
    const recovery = await startRecovery(lab, {}, { target: { kind: 'lsn', lsn: '0/4000000' } }, { firstFailedAt });
    await recovery.approved();
    const { outcome, plan } = await recovery.result();
    expect(outcome).toEqual(outcomeOfHost);
    const [finished] = recovery.seen.of('finishRecovery');
    expect(finished).toMatchObject({ plan: plan?.digest, firstFailedAt });
    for (const told of ['outcome', 'checks', 'target', 'phases']) expect(finished).not.toHaveProperty(told);
  });
});

describe('D7: a host without a worker', () => {
  it('is said, and waited for; then it goes on', async () => {
    const there = gate();
    const recovery = await startRecovery(lab, { hostAnswers: async () => false, confirmWorker: () => there.passed });
    const { waitingFor } = await recovery.seen.state('waiting-worker');
    expect(waitingFor).toContain(`reprise worker --host ${HOST}`);
    expect(recovery.seen.names).not.toContain('planRecovery');
    there.open();
    await recovery.approved();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  const dead = {
    describeCluster: async (input: { cluster: string }) => ({
      ...(await wellBehaved.describeCluster(input)),
      host: 'db-without-worker',
    }),
    hostAnswers: async () => false,
  };

  it('L12: rejected meanwhile, it answers, makes no plan, and the rejection is recorded when the worker runs', async () => {
    const recovery = await startRecovery(lab, dead);
    await recovery.seen.state('waiting-worker');
    const answer = await recovery.seen.workflow.executeUpdate(updateNames.reject, { args: [person] });
    expect(answer).toEqual({ rejected: true });
    await recovery.seen.state('rejected');
    await recovery.seen.pending('recordRejection');
    await lab.pass('61 seconds');
    expect((await recovery.seen.status()).waitingFor).toContain('reprise worker --host db-without-worker');
    expect(recovery.seen.names).not.toContain('planRecovery');
  });

  it('L12: nor does a cancelled one wait for its host', async () => {
    const recovery = await startRecovery(lab, dead);
    await recovery.seen.state('waiting-worker');
    await recovery.seen.workflow.cancel();
    await expect(recovery.result()).rejects.toThrow();
    expect(await recovery.seen.status()).toMatchObject({ state: 'cancelled' });
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
