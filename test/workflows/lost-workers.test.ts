import { beforeAll, describe, expect, it } from '@jest/globals';
import { mediaWorkflowId, signalNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { StepLimits } from '../../src/domain/operation/retries.js';
import type { HostActivities } from '../../src/activities/api.js';
import { HOST, Lab, failure, failureOfWorkflow, fallsSilent } from './lab.js';
import { facts, gone, startBackup, toldOf } from './failing-steps.js';
import { person, startRecovery } from './recoveries.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

/** A worker counts as lost soon, and these limits hold. */
const losing = (limits: StepLimits) => facts(limits, { heartbeatSeconds: { [HOST]: 2 } });

describe('L10: a step that ends nothing by itself', () => {
  it('L10: a step that loses its worker so often in a row pauses, and is told; continue runs it again', async () => {
    let calm = false;
    const recovery = await startRecovery(lab, {
      ...losing({ lostWorkers: 2 }),
      putAside: () => (calm ? Promise.resolve() : fallsSilent()),
    });
    await recovery.approved();
    const { waitingFor } = await recovery.seen.state('paused');
    expect(waitingFor).toMatch(/was lost again and again .*\(worker-lost\)/);
    expect(recovery.seen.of('putAside')).toHaveLength(2);
    expect(await toldOf(recovery.seen)).toContain('2-paused');
    calm = true;
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it.each(['runBackup'] as const)(
    'L10: the same of %s of a backup: it pauses and is told, and ends by itself after the time of its retries',
    async (name) => {
      const one = await startBackup(lab, { ...losing({ lostWorkers: 2, retryForSeconds: 60 }), [name]: fallsSilent });
      const { waitingFor } = await one.state('paused');
      expect(waitingFor).toMatch(/\(worker-lost\).*reprise continue backup\/.*it ends by itself at/);
      expect(one.of(name)).toHaveLength(2);
      expect(await toldOf(one)).toEqual(['1-paused']);
      await lab.pass('61 seconds');
      await failureOfWorkflow(one.workflow);
      expect(one.of('recordFailed')).toMatchObject([{ code: 'worker-lost' }]);
    },
  );

  it('L10: a failure in between shows that the worker lives: then it is counted anew', async () => {
    // So many in all, half of them before the failure; one more is no matter, as where this machine stands still.
    const lostWorkers = 4;
    let isFailed = false;
    const losses = { before: 0, after: 0 };
    const one = await startBackup(lab, {
      ...losing({ lostWorkers }),
      runBackup: async () => {
        if (losses.before < lostWorkers / 2) {
          losses.before++;
          return fallsSilent();
        }
        if (!isFailed) {
          isFailed = true;
          throw gone();
        }
        if (losses.after < lostWorkers / 2) {
          losses.after++;
          return fallsSilent();
        }
        return ['b1'];
      },
    });
    expect(await one.workflow.result()).toMatchObject({ backups: [{ id: 'b1' }] });
    expect(losses).toEqual({ before: 2, after: 2 });
  });

  it('L10: a step that has stalled pauses, and is told', async () => {
    const recovery = await startRecovery(lab, {
      ...facts(),
      promoteServer: async (input) => {
        if (recovery.seen.of('promoteServer').length === 1)
          throw failure('step-stalled', 'the step made no progress for 30 min 00 s');
        return wellBehaved.promoteServer(input);
      },
    });
    await recovery.approved();
    expect((await recovery.seen.state('paused')).waitingFor).toContain('step-stalled');
    await recovery.signal(signalNames.continue, person);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('L10: media go on after the last object that is known to be done, whoever was lost or failed meanwhile', async () => {
    const seen: (string | undefined)[] = [];
    const one = lab.case({
      ...facts(),
      applyMedia: async ({ cursor }: Parameters<HostActivities['applyMedia']>[0]) => {
        seen.push(cursor);
        if (seen.length === 1) {
          const error = gone();
          throw Object.assign(error, { details: [{ hint: 'h', cursor: 'photos/7' }] });
        }
      },
    });
    await one.start(workflowTypes.media, mediaWorkflowId('CLUSTER', 'op'), {
      order: { media: 'files', task: { kind: 'sync' }, into: { kind: 'in-place' } },
      operationId: 'op',
      requester: 'ops',
    });
    const { plan } = await one.state('waiting-approval');
    await one.workflow.executeUpdate('approve', { args: [{ plan: plan?.slice(0, 12), by: 'dba', reason: 'seen' }] });
    await one.workflow.result();
    expect(seen).toEqual([undefined, 'photos/7']);
  });
});
