import { beforeAll, describe, expect, it } from '@jest/globals';
import { queryNames, signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { ExploreOrder } from '../../src/domain/operation/orders.js';
import type { ExploreOutput, ExploreView } from '../../src/workflows/api.js';
import { openedInstanceOf } from './instances.js';
import { type Activities, type Case, failure, failureOfWorkflow, Lab, untilCancelled } from './lab.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

const TARGET = { kind: 'time' as const, time: '2026-11-21T02:15:00Z' };
const HOUR = 3_600_000;

interface Given {
  readonly activities?: Partial<Activities>;
  readonly order?: Partial<ExploreOrder>;
}

async function startExploring({ activities, order }: Given = {}): Promise<Case> {
  const one = lab.case({
    openInstance: async (step) => openedInstanceOf(step, TARGET, new Date((await lab.now()) + HOUR).toISOString()),
    ...activities,
  });
  const input = { requester: 'dba', order: { target: TARGET, ...order }, operationId: 'op' };
  await one.start(workflowTypes.explore, 'explore/CLUSTER/op', input);
  return one;
}

const view = (one: Case): Promise<ExploreView> => one.workflow.query<ExploreView>(queryNames.instance);
const update = <T = ExploreView>(one: Case, name: string, given: object): Promise<T> =>
  one.workflow.executeUpdate<T, [object]>(name, { args: [given] });

/** Until it runs. */
const open = (one: Case): Promise<ExploreView> =>
  one.until(
    async () => {
      const seen = await view(one);
      return seen.instance === null ? null : seen;
    },
    async () => 'the instance does not run',
  );
const outcome = async (one: Case): Promise<ExploreOutput> => (await one.workflow.result()) as ExploreOutput;

describe('M1: a temporary instance for people', () => {
  it('M1: it is restored in a heavy slot, which is free again while people look, says until when it stays, and goes when its time is over', async () => {
    const one = await startExploring();
    const { instance, requested } = await open(one);
    expect([requested, instance?.socketDir]).toEqual(['2026-11-21T02:15:00Z', '/run/copy']);
    const { waitingFor } = await one.status();
    for (const command of ['connect op', 'extend op --ttl 2h', 'drop op'])
      expect(waitingFor).toContain(`reprise explore ${command}`);
    await one.called('releaseSlot');
    await lab.pass('2 hours');
    expect(await outcome(one)).toEqual({ ended: 'expired', by: null });
    expect(one.of('closeInstance')).toMatchObject([{ instance: 'look', ends: true }]);
    expect(one.of('planInstance')).toMatchObject([{ purpose: 'explore', requester: 'dba', order: { target: TARGET } }]);
    expect(await one.status()).toMatchObject({ kind: 'explore', state: 'completed' });
  });

  it('M1: it is kept longer when asked, and never shorter; then it goes with the new end', async () => {
    const one = await startExploring();
    await open(one);
    await expect(update(one, updateNames.extendInstance, { by: 'dba', ttl: '10m' })).rejects.toMatchObject({
      cause: { type: 'conflict' },
    });
    await expect(update(one, updateNames.extendInstance, { by: 'dba', ttl: 'long' })).rejects.toMatchObject({
      cause: { type: 'approval-refused' },
    });
    const { instance } = await update(one, updateNames.extendInstance, { by: 'dba', ttl: '4h' });
    expect(Date.parse(instance?.expiresAt ?? '')).toBeGreaterThan((await lab.now()) + 3 * HOUR);
    await lab.pass('2 hours');
    expect((await one.status()).state).toBe('running');
    expect(one.journal.join('\n')).toContain('dba keeps the temporary instance until');
    await lab.pass('3 hours');
    expect(await outcome(one)).toEqual({ ended: 'expired', by: null });
  });

  it('M1: it is moved forward; a refusal is the answer and it stays as it is; who connects is written down; who drops it is answered when it is gone', async () => {
    const one = await startExploring({
      activities: {
        moveInstance: async ({ target, ...step }) => {
          if (target.kind === 'end-of-backup') throw failure('target-before-backup', 'it goes forward only');
          return openedInstanceOf(step, target, null);
        },
      },
    });
    const before = await open(one);
    await expect(update(one, updateNames.moveInstance, { by: 'dba', to: 'end-of-backup' })).rejects.toMatchObject({
      cause: { type: 'target-before-backup' },
    });
    expect(await view(one)).toEqual(before);
    const moved = await update(one, updateNames.moveInstance, { by: 'dba', to: 'xid:1234' });
    expect(moved.instance?.restore.target).toEqual({ kind: 'xid', xid: '1234' });
    // Its time is not changed by that.
    expect(moved.instance?.expiresAt).toBe(before.instance?.expiresAt);
    await update(one, updateNames.connectInstance, { by: 'ops' });
    expect(one.journal.join('\n')).toContain('ops connects to the temporary instance');
    expect(await update(one, updateNames.dropInstance, { by: 'dba' })).toEqual({ dropped: true });
    expect(one.of('closeInstance')).toHaveLength(1);
    expect(await outcome(one)).toEqual({ ended: 'dropped', by: 'dba' });
  });

  it('M1: dropped, cancelled or failed while it is restored, it is removed too', async () => {
    const hangs = { activities: { openInstance: () => untilCancelled() } };
    const dropped = await startExploring(hangs);
    await dropped.pending('openInstance');
    expect(await update(dropped, updateNames.dropInstance, { by: 'dba' })).toEqual({ dropped: true });
    expect(await outcome(dropped)).toEqual({ ended: 'dropped', by: 'dba' });
    const cancelled = await startExploring(hangs);
    await cancelled.pending('openInstance');
    await cancelled.workflow.cancel();
    await cancelled.state('cancelled');
    const failed = await startExploring({
      activities: { openInstance: async () => Promise.reject(failure('backup-corrupt', 'it is damaged')) },
    });
    expect(await failureOfWorkflow(failed.workflow)).toMatchObject({ type: 'backup-corrupt' });
    for (const one of [dropped, cancelled, failed]) {
      await one.called('closeInstance');
      await one.called('releaseSlot');
    }
  });

  it('M1: a message that arrives before it runs waits for it; one that says nothing is refused; a rejection ends it', async () => {
    let go = (): void => undefined;
    const ready = new Promise<void>((resolve) => (go = resolve));
    const one = await startExploring({
      activities: {
        openInstance: async (step) => {
          await ready;
          return openedInstanceOf(step, TARGET, new Date((await lab.now()) + HOUR).toISOString());
        },
      },
    });
    await expect(update(one, updateNames.dropInstance, {})).rejects.toMatchObject({
      cause: { type: 'approval-refused' },
    });
    const asked = update(one, updateNames.connectInstance, { by: 'ops' });
    go();
    expect((await asked).instance?.databases).toEqual(['mairie']);
    await one.workflow.signal(signalNames.reject, { by: 'dba', reason: 'enough' });
    expect(await outcome(one)).toEqual({ ended: 'dropped', by: 'dba' });
  });
});
