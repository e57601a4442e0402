import type { WorkflowHandle } from '@temporalio/client';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { lockActivities } from '../../src/activities/control/locks.js';
import { listRunningOperations } from '../../src/client/running-operations.js';
import { statusOf } from '../../src/client/status.js';
import type { TemporalSession } from '../../src/client/connect.js';
import { type KnownGrant, refusingGrant, rememberGrant } from '../../src/domain/operation/lock-grants.js';
import { type LockGrant, recoveryClaim } from '../../src/domain/operation/locks.js';
import { lockWorkflowId, recoverWorkflowId, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { BackupOutput } from '../../src/workflows/api.js';
import { onCleanup } from '../helpers/cleanup.js';
import { temporalSession } from '../helpers/temporal-session.js';
import { failOnLeakedProcesses } from '../helpers/leaks.js';
import { startTemporalServer } from '../helpers/temporal-server.js';
import { type Activities, type Case, Lab, failure, gate, unlessCancelled } from './lab.js';
import { planOf } from './well-behaved.js';

failOnLeakedProcesses();

let lab: Lab;
let session: TemporalSession;
beforeAll(async () => {
  const server = await startTemporalServer({ dynamicConfig: { 'frontend.WorkflowPauseEnabled': true } });
  onCleanup(() => server.stop());
  lab = await Lab.on(server.address);
  session = await temporalSession(server.address);
});

/** A cluster with the activities of the lock as they are; everything else is the test's. */
function cluster(activities: Partial<Activities> = {}): Case {
  return lab.case({
    ...lockActivities(),
    planRecovery: async ({ cluster: name, operationId }) => planOf({ cluster: name, operationId }),
    ...activities,
  });
}

const backUp = (one: Case, policy = 'nightly'): Promise<WorkflowHandle> =>
  one.start(workflowTypes.backup, `backup/CLUSTER/${policy}`, { order: { policy, type: 'auto' }, requester: 'ops' });

/** A recovery whose plan is approved: it wants the cluster. */
async function recover(one: Case, operationId = 'op'): Promise<WorkflowHandle> {
  const handle = await one.start(workflowTypes.recover, recoverWorkflowId('CLUSTER', operationId), {
    order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
    operationId,
    requester: 'ops',
  });
  const { plan } = await one.state('waiting-approval', handle);
  await handle.executeUpdate(updateNames.approve, {
    args: [{ plan: plan?.slice(0, 12), by: 'dba', reason: 'seen' }],
  });
  return handle;
}

const pausing = (workflowId: string) => ({ namespace: 'default', workflowId, identity: 'ops', reason: 'to look' });

describe('F46: the execution behind a lock', () => {
  it('L1: a recovery that is paused in Temporal keeps the lock, and is shown as paused', async () => {
    const stopped = gate();
    const one: Case = cluster({
      stopServer: () => unlessCancelled(stopped.passed),
      describeLock: async () => {
        const [shown] = one.of('stopServer').map(({ lock }) => lock as LockGrant);
        return { active: shown ? [{ ...shown, releasedAt: null, running: false }] : [], lastToken: shown?.token ?? 0 };
      },
    });
    const recovery = await recover(one);
    const { workflowId } = recovery;
    await one.called('stopServer');
    await session.connection.workflowService.pauseWorkflowExecution({ ...pausing(workflowId), requestId: 'p' });
    expect((await recovery.describe()).status.name).toBe('PAUSED');

    const night = (await (await backUp(one)).result()) as BackupOutput;
    expect(night.skipped).toMatchObject({ code: 'lock-held', reason: expect.stringContaining(workflowId) });
    expect(one.names).not.toContain('runBackup');
    expect(await statusOf(session, workflowId, { jobs: false })).toMatchObject({
      state: 'paused',
      waitingFor: expect.stringContaining(`temporal workflow unpause --workflow-id ${workflowId}`),
      finishedAt: null,
    });
    const listed = await one.until(
      async () => (await listRunningOperations(session)).find((line) => line.workflowId === workflowId) ?? null,
      async () => 'the list lags',
    );
    expect(listed).toMatchObject({ state: 'paused' });

    // A lock that was lost asks again, and believes the host for one that answers no query.
    await lab.client.workflow.getHandle(lockWorkflowId(one.cluster)).terminate('lost');
    expect(((await (await backUp(one)).result()) as BackupOutput).skipped?.code).toBe('lock-held');
    await session.connection.workflowService.unpauseWorkflowExecution({ ...pausing(workflowId), requestId: 'u' });
    stopped.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(((await (await backUp(one)).result()) as BackupOutput).skipped).toBeUndefined();
  });

  it('L2: after Terminate the next manual run with the same id does not find itself as the holder', async () => {
    const one: Case = cluster({
      runBackup: () =>
        one.of('runBackup').length === 1
          ? unlessCancelled(new Promise<never>(() => undefined))
          : Promise.resolve(['b1']),
    });
    const first = await backUp(one);
    await one.called('runBackup');
    await first.terminate('by hand');
    const second = await backUp(one);
    expect(((await second.result()) as BackupOutput).skipped).toBeUndefined();
    expect(((await (await backUp(one)).result()) as BackupOutput).skipped).toBeUndefined();
  });

  it('L3: the lock is terminated under a recovery: it knows again who holds the cluster, and tells those who wait', async () => {
    const aside = gate();
    const one = cluster({ putAside: () => unlessCancelled(aside.passed) });
    const recovery = await recover(one);
    await one.called('putAside');
    await lab.client.workflow.getHandle(lockWorkflowId(one.cluster)).terminate('lost');
    const night = (await (await backUp(one)).result()) as BackupOutput;
    expect(night.skipped).toMatchObject({ code: 'lock-held', reason: expect.stringContaining(recovery.workflowId) });

    const second = await recover(one, 'second');
    await one.waitsFor(recovery.workflowId, second);
    await lab.client.workflow.getHandle(lockWorkflowId(one.cluster)).terminate('lost, with its queue');
    aside.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(await second.result()).toMatchObject({ state: 'completed' });
  });

  it('L3: terminated, its lock given to another, and reset: its step is refused, it acquires again and repeats it', async () => {
    let known: readonly KnownGrant[] = [];
    const show = (
      claim: KnownGrant | ReturnType<typeof recoveryClaim>,
      step: Parameters<Activities['putAside']>[0],
    ) => {
      const shown = { claim, operationId: step.operationId, workflowId: step.workflowId, grant: step.lock ?? null };
      if (refusingGrant(known, shown)) throw failure('lock-lost', 'another holds it since');
      known = rememberGrant(known, shown);
    };
    const backedUp = gate();
    const one: Case = cluster({
      putAside: async (step) => {
        show(recoveryClaim({ policy: 'nightly', engine: 'logical' }), step);
        if (one.of('putAside').length === 1) await unlessCancelled(new Promise<never>(() => undefined));
      },
      runBackup: async (step) => {
        const nightly = { kind: 'backup', policy: 'nightly', engine: 'logical', repository: 'local' } as const;
        show(nightly, { ...step, plan: '' });
        await unlessCancelled(backedUp.passed);
        return ['b1'];
      },
    });
    const recovery = await recover(one);
    await one.called('putAside');
    await recovery.terminate('by hand');
    const night = await backUp(one);
    await one.called('runBackup');
    await resetToItsLastTask(recovery);
    await one.called('putAside', 2);
    const again = lab.client.workflow.getHandle(recovery.workflowId);
    await one.waitsFor(night.workflowId, again);
    expect(one.names).not.toContain('restoreFiles');
    backedUp.open();
    await night.result();
    expect(await again.result()).toMatchObject({ state: 'completed' });
    const tokens = one.of('putAside').map(({ lock }) => (lock as { token: number }).token);
    expect(tokens).toHaveLength(3);
    expect(tokens[0]).toBe(tokens[1]);
    expect(tokens[2]).toBeGreaterThan(tokens[1] ?? Infinity);
  });

  it('L4: an approved recovery is next: no other backup begins while it waits, and it is told at once', async () => {
    const night = gate();
    const one: Case = cluster({
      describeCluster: async () => ({
        host: 'db1',
        configDigest: 'config',
        policies: {
          nightly: { engine: 'logical', repository: 'local', enabled: true, proof: 'none' },
          physical: { engine: 'pgbackrest', repository: 'offsite', enabled: true, proof: 'none' },
        },
      }),
      runBackup: async () => {
        await unlessCancelled(night.passed);
        return ['b1'];
      },
    });
    const first = await backUp(one);
    await one.called('runBackup');
    const recovery = await recover(one);
    await one.waitsFor(first.workflowId, recovery);
    const other = (await (await backUp(one, 'physical')).result()) as BackupOutput;
    expect(other.skipped).toMatchObject({
      code: 'lock-held',
      reason: expect.stringMatching(/^recovery of policy .* waits for .*recover/),
    });
    night.open();
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
  });

  it('L4: the end of a terminated holder is followed: who waits need not ask again', async () => {
    const one: Case = cluster({ runBackup: () => unlessCancelled(new Promise<never>(() => undefined)) });
    const first = await backUp(one);
    await one.called('runBackup');
    const recovery = await recover(one);
    await one.called('awaitClosed');
    const asked = one.of('acquireLock').length;
    await first.terminate('by hand');
    expect(await recovery.result()).toMatchObject({ state: 'completed' });
    expect(one.of('acquireLock')).toHaveLength(asked + 1);
  });
});

/** As `temporal workflow reset --type LastWorkflowTask` does. */
async function resetToItsLastTask(handle: WorkflowHandle): Promise<void> {
  const { events } = await handle.fetchHistory();
  const tasks = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  await session.connection.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: handle.workflowId },
    workflowTaskFinishEventId: tasks.at(-1)?.eventId,
    requestId: `reset-${handle.workflowId}`,
    reason: 'the test resets it',
  });
}
