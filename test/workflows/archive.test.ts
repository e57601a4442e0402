import { beforeAll, describe, expect, it } from '@jest/globals';
import { archiveWorkflowId, workflowTypes } from '../../src/domain/operation/names.js';
import {
  type Activities,
  type Case,
  HOST,
  Lab,
  childrenOf,
  failure,
  failureOfWorkflow,
  untilCancelled,
} from './lab.js';

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.skipping();
});

async function receive(activities: Partial<Activities>): Promise<Case> {
  const one = lab.case(activities);
  await one.start(workflowTypes.archive, archiveWorkflowId('CLUSTER', 'base'), { policy: 'base' });
  return one;
}

describe('K8: WAL is received for ever', () => {
  it('the activity returns now and then, and starts again on the queue that takes no slot from others', async () => {
    const one: Case = await receive({
      receiveWal: async () => (one.of('receiveWal').length < 3 ? undefined : untilCancelled()),
    });
    await one.called('receiveWal', 3);
    expect(one.of('receiveWal')).toEqual(Array.from({ length: 3 }, () => ({ cluster: one.cluster, policy: 'base' })));
    expect(one.calls.find(({ name }) => name === 'receiveWal')?.queue).toBe('reprise-db1-watch');
    expect(await one.status()).toMatchObject({ kind: 'archive', state: 'running' });
    // Time stands still while an activity works.
    await one.workflow.cancel();
    await expect(one.workflow.result()).rejects.toThrow();
  });

  it('what no attempt mends is said, and tried again after a minute: somebody may have mended it', async () => {
    const one: Case = await receive({
      receiveWal: async () => {
        if (one.of('receiveWal').length === 1)
          throw failure('privilege-missing', 'the role may not connect for replication');
        return untilCancelled();
      },
    });
    await one.called('receiveWal', 1);
    await lab.pass('61s');
    await one.called('receiveWal', 2);
    expect(await one.status()).toMatchObject({ state: 'running' });
  });

  it('S2: WAL that waits on the host is told once, until it is stored; the receiving goes on at once', async () => {
    const one: Case = await receive({
      describeCluster: async () => ({ host: HOST, configDigest: 'c', policies: {}, tells: ['failure'] }),
      receiveWal: async () => {
        const round = one.of('receiveWal').length;
        if ([1, 4].includes(round)) throw failure('wal-not-archived', 'the bucket takes nothing');
        if (round === 2) return { waits: true };
        if (round === 3) return { waits: false };
        return untilCancelled();
      },
    });
    await one.called('receiveWal', 5);
    expect(one.of('receiveWal').map(({ waits }) => waits ?? false)).toEqual([false, true, true, false, true]);
    await one.called('sendNotice', 2);
    const facts = {
      kind: 'failed',
      what: 'WAL',
      policy: 'base',
      code: 'wal-not-archived',
      reason: 'the bucket takes nothing',
    };
    expect(one.of('sendNotice')).toMatchObject([{ notice: { facts } }, { notice: { facts } }]);
    expect(new Set(await childrenOf(one.workflow)).size).toBe(2);
    await one.workflow.cancel();
    await expect(one.workflow.result()).rejects.toThrow();
  });

  it('a cancellation ends it, and the activity with it', async () => {
    let ended = false;
    const one = await receive({
      receiveWal: () =>
        untilCancelled().finally(() => {
          ended = true;
        }),
    });
    await one.called('receiveWal', 1);
    await one.workflow.cancel();
    expect(await failureOfWorkflow(one.workflow)).toMatchObject({ type: 'CancelledFailure' });
    expect(ended).toBe(true);
  });
});
