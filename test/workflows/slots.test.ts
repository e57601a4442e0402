import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import type { TemporalSession } from '../../src/client/connect.js';
import {
  type StartedOperation,
  startBackup as startBackupOf,
  startRecovery as startRecoveryOf,
} from '../../src/client/start.js';
import { createControlActivities } from '../../src/activities/control/control.js';
import type { ControlDependencies } from '../../src/activities/dependencies.js';
import type { Held } from '../../src/domain/operation/lease.js';
import { queryNames, signalNames, slotsWorkflowId, updateNames } from '../../src/domain/operation/names.js';
import type { SlotClaim, SlotKind } from '../../src/domain/operation/slots.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { onCleanup } from '../helpers/cleanup.js';
import { until } from '../helpers/until.js';
import type { Activities, Case, Name } from './lab.js';
import { HOST, Lab, failure, unlessCancelled, untilCancelled } from './lab.js';

failOnLeakedProcesses();

let lab: Lab;
/** What the host offers, as `hosts.db1` of the configuration says; a test changes it. */
const host = { name: HOST, heavySlots: 1, recoverySlots: 1, mediaSlots: 1 };
const config = { hosts: { [HOST]: host } };
const real = createControlActivities({ config } as unknown as ControlDependencies);
const leases: Partial<Activities> = {
  acquireSlot: real.acquireSlot,
  releaseSlot: real.releaseSlot,
  slotHolders: real.slotHolders,
  acquireLock: real.acquireLock,
  releaseLock: real.releaseLock,
  awaitClosed: real.awaitClosed,
};

beforeAll(async () => {
  const server = await startTemporalServer();
  onCleanup(() => server.stop());
  lab = await Lab.on(server.address);
  // The workflows of the host's slots are no cluster's.
  lab.case(leases, HOST);
});

/** A backup that goes on until the test ends it. */
async function startBackup(cluster: Case): Promise<WorkflowHandle> {
  const operationId = `backup-of-${cluster.cluster}`;
  return cluster.start('backup', 'backup/CLUSTER/nightly', {
    order: { policy: 'nightly', type: 'auto' },
    operationId,
    requester: 'test',
  });
}

function clusterWithBackup(more: Partial<Activities> = {}) {
  let end = (): void => undefined;
  const ended = new Promise<readonly string[]>((done) => (end = () => done(['b1'])));
  const cluster = lab.case({ ...leases, runBackup: () => unlessCancelled(ended), ...more });
  return { cluster, end: () => end() };
}

async function startRecovery(cluster: Case, operationId = `recovery-of-${cluster.cluster}`): Promise<WorkflowHandle> {
  return cluster.start('recover', `recover/CLUSTER/${operationId}`, {
    order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
    operationId,
    requester: 'test',
  });
}

async function approve(cluster: Case, handle: WorkflowHandle): Promise<void> {
  const { plan } = await cluster.state('waiting-approval', handle);
  await handle.executeUpdate(updateNames.approve, { args: [{ by: 'dba', reason: 'test', plan: plan?.slice(0, 12) }] });
}

/** Until it waits for a slot. */
const waits = (cluster: Case, handle: WorkflowHandle) => cluster.waitsFor(`a free slot of host ${HOST}`, handle);

const holders = async (kind: SlotKind): Promise<readonly string[]> => {
  const workflow = lab.client.workflow.getHandle(slotsWorkflowId(HOST, kind));
  const found = await workflow.query<readonly Held<SlotClaim>[]>(queryNames.holders);
  return found.map(({ workflowId }) => workflowId);
};

describe('slots of a host', () => {
  it("L5: B's backup waits for the only slot of the host without B's lock, so that B's approved recovery goes on", async () => {
    const [a, b] = [clusterWithBackup(), clusterWithBackup()];
    const backupOfA = await startBackup(a.cluster);
    await a.cluster.called('runBackup');

    const backupOfB = await startBackup(b.cluster);
    await b.cluster.waitsFor(
      `a free slot of host ${HOST} (\`heavy_slots\` in its configuration); ${backupOfA.workflowId} has one since`,
      backupOfB,
    );
    expect(b.cluster.names).not.toContain('acquireLock');
    const recovery = await startRecovery(b.cluster);
    await approve(b.cluster, recovery);
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(b.cluster.names).not.toContain('runBackup');

    a.end();
    await backupOfA.result();
    await b.cluster.called('runBackup');
    expect(await holders('heavy')).toEqual([backupOfB.workflowId]);
    b.end();
    await backupOfB.result();
    expect(await holders('heavy')).toEqual([]);
  });

  it.each(['terminate', 'cancel'] as const)(
    'L5: %s of an operation frees its slot, for the one that waits',
    async (how) => {
      const [a, b] = [clusterWithBackup(), clusterWithBackup()];
      const backupOfA = await startBackup(a.cluster);
      await a.cluster.called('runBackup');
      const backupOfB = await startBackup(b.cluster);
      await waits(b.cluster, backupOfB);
      await backupOfA[how]();
      await b.cluster.called('runBackup');
      b.end();
      await backupOfB.result();
    },
  );

  it('L5: who waits and is cancelled leaves the queue', async () => {
    const [a, b, c] = [clusterWithBackup(), clusterWithBackup(), clusterWithBackup()];
    const backupOfA = await startBackup(a.cluster);
    await a.cluster.called('runBackup');
    const backupOfB = await startBackup(b.cluster);
    await waits(b.cluster, backupOfB);
    const backupOfC = await startBackup(c.cluster);
    await waits(c.cluster, backupOfC);
    await backupOfB.cancel();
    await expect(backupOfB.result()).rejects.toThrow();
    a.end();
    await backupOfA.result();
    await c.cluster.called('runBackup');
    c.end();
    await backupOfC.result();
    expect(b.cluster.names).not.toContain('runBackup');
  });

  it('L5, L6: as many as the configuration says, also where it was changed while one waits', async () => {
    const [a, b] = [clusterWithBackup(), clusterWithBackup()];
    await startBackup(a.cluster);
    await a.cluster.called('runBackup');
    host.heavySlots = 2;
    const backupOfB = await startBackup(b.cluster);
    await b.cluster.called('runBackup');
    host.heavySlots = 1;
    expect(await holders('heavy')).toHaveLength(2);
    for (const { end } of [a, b]) end();
    await Promise.all([a.cluster.workflow.result(), backupOfB.result()]);
  });

  it('L5, L6: a recovery that waits for a slot holds no cluster, and can be rejected', async () => {
    let end = (): void => undefined;
    const ended = new Promise<void>((done) => (end = done));
    const first = lab.case({ ...leases, stopServer: () => unlessCancelled(ended) });
    const second = lab.case(leases);
    const recoveryOfFirst = await startRecovery(first);
    await approve(first, recoveryOfFirst);
    await first.called('stopServer');

    const recoveryOfSecond = await startRecovery(second);
    await approve(second, recoveryOfSecond);
    await second.waitsFor('recovery_slots', recoveryOfSecond);
    expect(second.names).not.toContain('acquireLock');
    await recoveryOfSecond.signal(signalNames.reject, { by: 'dba', reason: 'enough' });
    expect(await recoveryOfSecond.result()).toMatchObject({ state: 'rejected' });
    end();
    await recoveryOfFirst.result();
  });

  it('R6: a recovery that takes and verifies its fresh backup holds no slot, so that the one of another cluster goes on', async () => {
    let end = (): void => undefined;
    const ended = new Promise<readonly string[]>((done) => (end = () => done(['b2'])));
    const first = lab.case({ ...leases, freshBackup: () => unlessCancelled(ended) });
    const second = lab.case(leases);
    const [recoveryOfFirst, recoveryOfSecond] = [await startRecovery(first), await startRecovery(second)];
    await approve(first, recoveryOfFirst);
    await first.called('freshBackup');
    expect(await holders('recovery')).toEqual([]);
    await approve(second, recoveryOfSecond);
    expect(await recoveryOfSecond.result()).toMatchObject({ state: 'completed' });
    end();
    expect(await recoveryOfFirst.result()).toMatchObject({ state: 'completed' });
  });

  it('L5: an operation that waits for a person has no slot; it goes on at once, although the one that has it waits for its cluster', async () => {
    const heldThen: string[] = [];
    const damaged = lab.case({
      ...leases,
      restoreFiles: async () => {
        if (damaged.of('restoreFiles').length === 1) throw failure('disk-full', 'no room');
        heldThen.push(...(await holders('recovery')));
      },
    });
    const other = lab.case(leases);
    const paused = await startRecovery(damaged);
    await approve(damaged, paused);
    await damaged.state('paused', paused);
    await until(async () => (await holders('recovery')).length === 0, 'the paused recovery has no slot');

    const ofOther = await startRecovery(other);
    await approve(other, ofOther);
    expect(await ofOther.result()).toMatchObject({ state: 'completed' });

    const next = await startRecovery(damaged, 'next');
    await approve(damaged, next);
    await damaged.waitsFor(paused.workflowId, next);
    expect(await holders('recovery')).toEqual([next.workflowId]);
    await paused.signal(signalNames.continue, { by: 'dba', reason: 'there is room' });
    expect(await paused.result()).toMatchObject({ state: 'completed' });
    expect(heldThen).toEqual([next.workflowId, paused.workflowId]);
    expect(await next.result()).toMatchObject({ state: 'completed' });
    expect(await holders('recovery')).toEqual([]);
  });

  it.each(['continue', 'reject'] as const)(
    'L5: a repair whose step failed lets backups have its slot, and takes it again only where people say %s',
    async (decision) => {
      const damaged = lab.case({
        ...leases,
        applyRepair: async () => {
          if (damaged.of('applyRepair').length === 1) throw failure('internal', 'a trigger raised');
          return { insert: 2, update: 1, delete: 0, conflicts: 0 };
        },
      });
      const { cluster, end } = clusterWithBackup();
      const repair = await damaged.start('repairTable', 'table-repair/CLUSTER/op', {
        ...{ requester: 'ops', operationId: 'op' },
        order: {
          ...{ database: 'mairie', table: { schema: 'metier', table: 'demandes_rdv' }, strategy: 'undo' },
          source: { kind: 'transaction', xid: '1234' },
        },
      });
      await approve(damaged, repair);
      await damaged.state('paused', repair);
      const backup = await startBackup(cluster);
      await cluster.called('runBackup');
      const before = damaged.of('acquireSlot').length;
      await repair.signal(signalNames[decision], { by: 'dba', reason: 'seen' });
      expect(await repair.result()).toMatchObject({ state: decision === 'continue' ? 'completed' : 'rejected' });
      expect(damaged.of('acquireSlot')).toHaveLength(decision === 'continue' ? before + 1 : before);
      expect(await holders('heavy')).toEqual([backup.workflowId]);
      end();
      await backup.result();
    },
  );

  it('L5: slots whose workflow was terminated are given out again only when they are free', async () => {
    const [a, b] = [clusterWithBackup(), clusterWithBackup()];
    const backupOfA = await startBackup(a.cluster);
    await a.cluster.called('runBackup');
    await lab.client.workflow.getHandle(slotsWorkflowId(HOST, 'heavy')).terminate();
    const backupOfB = await startBackup(b.cluster);
    await b.cluster.waitsFor(backupOfA.workflowId, backupOfB);
    a.end();
    await backupOfA.result();
    await b.cluster.called('runBackup');
    b.end();
    await backupOfB.result();
  });

  it('L6: the server knows that a recovery goes before a backup', async () => {
    const session = { client: lab.client } as TemporalSession;
    const keyOf = async (cluster: Case, start: Promise<StartedOperation>, activity: Name): Promise<number> => {
      const { handle } = await start;
      onCleanup(() => handle.terminate('the test is over').catch(() => undefined));
      await cluster.called(activity);
      const { workflowExecutionInfo } = (await handle.describe()).raw;
      return workflowExecutionInfo?.priority?.priorityKey ?? Number.NaN;
    };
    const [a, b] = [lab.case({ planRecovery: untilCancelled }), lab.case({ runBackup: untilCancelled })];
    const recovery = startRecoveryOf(session, {
      ...{ cluster: a.cluster, requester: 'test' },
      order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
    });
    const order = { policy: 'nightly', type: 'auto' } as const;
    const backup = startBackupOf(session, { cluster: b.cluster, requester: 'test', order });
    expect(await keyOf(a, recovery, 'planRecovery')).toBeLessThan(await keyOf(b, backup, 'runBackup'));
  });
});
