import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, it } from '@jest/globals';
import type { LockGrant, LockKind } from '../../../src/domain/operation/locks.js';
import type { ApprovalPolicy } from '../../../src/domain/config.js';
import type { HostDependencies } from '../../../src/activities/dependencies.js';
import { createHostActivities } from '../../../src/activities/index.js';
import type { ApprovablePlan } from '../../../src/domain/plan/plan.js';
import { openHostState } from '../../../src/records/host-state.js';
import { readGrants } from '../../../src/records/lock-grants.js';
import { openDirectory } from '../../../src/storage/directory/directory-storage.js';
import { tempDir } from '../../helpers/temp.js';
import { mediaPlanOf } from '../../workflows/well-behaved.js';
import { samplePlan } from '../records/samples.js';

const POLICY: ApprovalPolicy = {
  approvers: 1,
  from: ['dba'],
  requesterMayApprove: true,
  approveWithinSeconds: 3600,
  executeWithinSeconds: 3600,
  signatures: 'none',
};
const workflowOf = (operationId: string): string => `recover/mairie/${operationId}`;
/** What its holder claims is what the host knows itself: what the step says is not believed. */
const grant = (kind: LockKind, token: number): LockGrant => ({
  kind,
  policy: 'said',
  engine: 'said',
  repository: 'said',
  operationId: 'said',
  workflowId: 'said',
  runId: `run-${token}`,
  since: SINCE,
  token,
});
const SINCE = '2026-11-21T02:00:00.000Z';

/** A Temporal server that does not say when an attempt began. */
const TIMELESS = {
  workflow: { getHandle: () => ({ describe: async () => ({ raw: {} }) }) },
  withAbortSignal: (_: AbortSignal, call: () => unknown) => call(),
} as unknown as Client;

/** A host whose engine does nothing: what a step returns or throws says whether it was let through. */
async function site() {
  const root = await tempDir('grants');
  const policies = {
    nightly: { name: 'nightly', engine: 'logical', repository: 'local', cluster: 'mairie', retention: {} },
    physical: { name: 'physical', engine: 'pgbackrest', repository: 'offsite', cluster: 'mairie', retention: {} },
  };
  const cluster = {
    name: 'mairie',
    host: 'db1',
    dataDir: join(root, 'main'),
    catalogue: 'local',
    connection: { host: '127.0.0.1', port: 1, user: 'x', maintenanceDatabase: 'postgres' },
    policies,
    recovery: { targets: {} },
    hooks: {},
    checks: {},
    approvals: { recover: POLICY, 'media-recover': POLICY },
  };
  const engine = {
    capabilities: { types: [] },
    backup: async () => [],
    list: async () => [],
    adoption: { survey: async () => ({ candidates: [], refused: [] }), take: async () => null },
  };
  const stateDir = join(root, 'state');
  const deps = {
    config: {
      digest: 'config',
      hosts: { db1: { name: 'db1', stateDir } },
      repositories: {
        local: { name: 'local', type: 'directory', options: {} },
        offsite: { name: 'offsite', type: 'directory', options: {} },
      },
      clusters: { mairie: cluster, other: { ...cluster, name: 'other' } },
    },
    host: 'db1',
    openStorage: () => openDirectory({ path: join(root, 'repository') }),
    jobUser: async () => null,
    postgresBin: async () => '/nowhere',
    uploader: [],
    rowCounter: [],
    engineOf: () => engine,
  } as unknown as HostDependencies;
  const activities = createHostActivities(deps);
  const state = openHostState(stateDir);

  const run = <I, O>(activity: (input: I) => Promise<O>, input: I, workflowId = 'workflow/none'): Promise<O> =>
    new MockActivityEnvironment(
      { workflowExecution: { workflowId, runId: 'run' } },
      { logger: new DefaultLogger('ERROR'), client: TIMELESS },
    ).run(activity, input) as Promise<O>;
  const step = (operationId: string, lock?: LockGrant) => ({
    cluster: 'mairie',
    operationId,
    workflowId: workflowOf(operationId),
    ...(lock ? { lock } : {}),
  });
  const approved = async (plan: ApprovablePlan) => {
    await state.savePlan(plan);
    const approval = { plan: plan.digest.slice(0, 12), by: 'dba', reason: 'seen' };
    const { operationId } = plan.binding;
    expect(await run(activities.recordApproval, { ...step(operationId), plan: plan.digest, approval })).toMatchObject({
      accepted: true,
    });
    return plan;
  };
  const times = { approveBy: new Date(Date.now() + 3_600_000).toISOString(), createdAt: new Date().toISOString() };
  const engineFacts = { configDigest: 'config', dataDir: join(root, 'main'), hooks: ['stop-applications'] };
  return {
    stateDir,
    state,
    backUp: (operationId: string, lock?: LockGrant, policy = 'nightly') =>
      run(activities.runBackup, {
        ...step(operationId, lock),
        order: { policy, type: 'auto' },
        startedAt: '2026-11-21T02:15:00.000Z',
        requester: 'test',
      }),
    rotate: (operationId: string, lock?: LockGrant) =>
      run(activities.rotateBackups, { ...step(operationId, lock), order: { policy: 'nightly' } }),
    adopt: (operationId: string, lock?: LockGrant) =>
      run(activities.adoptBackups, {
        ...step(operationId, lock),
        requester: 'test',
        order: { policy: 'nightly' },
        plan: 'f'.repeat(64),
      }),
    recovery: async (operationId: string) => {
      const plan = await approved(samplePlan({ operationId, ...engineFacts }, times));
      return {
        plan,
        // Ends at once: this host has no such hook. What is refused before is refused with another code.
        run: (lock?: LockGrant) =>
          run(activities.runHook, { ...step(operationId, lock), plan: plan.digest, hook: 'stop-applications' }),
      };
    },
    media: async (operationId: string) => {
      const task = { kind: 'recover', to: '2026-11-21T02:15:00.000Z', later: 'keep' } as const;
      const made = mediaPlanOf({ cluster: 'mairie', operationId, requester: 'x', order: { media: 'photos', task } });
      const { digest } = await approved({ ...made, ...times, binding: { ...made.binding } });
      return (lock?: LockGrant) => run(activities.applyMedia, { ...step(operationId, lock), plan: digest });
    },
    release: (operationId: string, by = workflowOf(operationId)) => run(activities.releaseGrant, step(operationId), by),
    describe: (name = 'mairie') => run(activities.describeLock, { cluster: name }),
  };
}

const LOST = { type: 'lock-lost' };
/** Let through: the step found that the hook is not configured here. */
const PASSED = { type: 'plan-stale', message: expect.stringContaining('hook') };

describe('the record that a host keeps of the cluster lock', () => {
  it('L3, F46: a recovery whose lock was given to a backup meanwhile is refused, and goes on with a new grant', async () => {
    const { backUp, recovery } = await site();
    const recovering = await recovery('op-recovery');
    await expect(recovering.run(grant('recovery', 10))).rejects.toMatchObject(PASSED);
    await expect(backUp('op-backup', grant('backup', 11))).resolves.toEqual([]);
    await expect(recovering.run(grant('recovery', 10))).rejects.toMatchObject({
      ...LOST,
      message: expect.stringContaining('recover/mairie/op-backup holds it for backup'),
    });
    await expect(recovering.run(grant('recovery', 12))).rejects.toMatchObject(PASSED);
    await expect(backUp('op-backup', grant('backup', 11))).rejects.toMatchObject(LOST);
  });

  it('L3, F46: a later grant refuses an earlier one also after it was released: the lock was lost in between', async () => {
    const { backUp, release, recovery } = await site();
    const recovering = await recovery('op-recovery');
    await backUp('op-backup', grant('backup', 11));
    await release('op-backup');
    await expect(recovering.run(grant('recovery', 10))).rejects.toMatchObject(LOST);
  });

  it('L3, F46: every kind of step that changes something is refused: backup, rotation, adoption, recovery, media', async () => {
    const { backUp, rotate, adopt, recovery, media } = await site();
    const [first, second, apply] = [await recovery('op-1'), await recovery('op-2'), await media('op-media')];
    await expect(second.run(grant('recovery', 20))).rejects.toMatchObject(PASSED);
    await expect(backUp('op-a', grant('backup', 11))).rejects.toMatchObject(LOST);
    await expect(rotate('op-b', grant('rotation', 12))).rejects.toMatchObject(LOST);
    await expect(rotate('op-a', grant('backup', 11))).rejects.toMatchObject(LOST);
    await expect(adopt('op-c', grant('backup', 13))).rejects.toMatchObject(LOST);
    await expect(first.run(grant('recovery', 14))).rejects.toMatchObject(LOST);
    await expect(apply(grant('media', 15))).rejects.toMatchObject(LOST);
    // What it claims says the plan, not the step.
    await expect(first.run(grant('drill', 14))).rejects.toMatchObject(LOST);
  });

  it('L3: a grant that does not conflict refuses nothing, and another cluster has its own locks', async () => {
    const { backUp, describe: describeLock } = await site();
    await backUp('op-physical', grant('backup', 20), 'physical');
    await expect(backUp('op-nightly', grant('backup', 10))).resolves.toEqual([]);
    expect((await describeLock()).active.map(({ operationId }) => operationId)).toEqual(['op-physical', 'op-nightly']);
    expect(await describeLock('other')).toEqual({ active: [], lastToken: 0 });
  });

  it('L3, G6: a step that shows no grant gives way to whoever holds the lock, before it closes another plan', async () => {
    const { recovery, backUp, state, release } = await site();
    const [first, second] = [await recovery('op-1'), await recovery('op-2')];
    await expect(first.run(grant('recovery', 10))).rejects.toMatchObject(PASSED);
    await expect(second.run()).rejects.toMatchObject(LOST);
    await expect(backUp('op-backup')).rejects.toMatchObject(LOST);
    expect(await state.isClosed(first.plan.digest)).toBe(false);
    expect(await state.usedBy(second.plan.digest)).toBeNull();
    await release('op-1');
    await expect(backUp('op-backup')).resolves.toEqual([]);
  });

  it('L3, F46: an operation that released the lock and was reset to before that has to acquire it again', async () => {
    const { backUp, release } = await site();
    await backUp('op-backup', grant('backup', 10));
    await release('op-backup');
    await expect(backUp('op-backup', grant('backup', 10))).rejects.toMatchObject({
      ...LOST,
      message: expect.stringContaining('has released the lock'),
    });
    await expect(backUp('op-backup', grant('backup', 11))).resolves.toEqual([]);
  });

  it('L3: a lock workflow that lost its state learns who is under way, and above which token to go on', async () => {
    const { backUp, release, recovery, describe: describeLock } = await site();
    await backUp('op-backup', grant('backup', 10));
    await release('op-backup');
    expect(await describeLock()).toEqual({ active: [], lastToken: 10 });
    await expect((await recovery('op-recovery')).run(grant('recovery', 12))).rejects.toMatchObject(PASSED);
    expect(await describeLock()).toEqual({
      active: [
        {
          kind: 'recovery',
          policy: 'physical',
          engine: 'pgbackrest',
          repository: '*',
          operationId: 'op-recovery',
          workflowId: 'recover/mairie/op-recovery',
          runId: 'run-12',
          since: SINCE,
          token: 12,
          releasedAt: null,
          running: false,
        },
      ],
      lastToken: 12,
    });
  });

  it('L3, G6: only the workflow that showed a grant releases it', async () => {
    const { backUp, release, describe: describeLock } = await site();
    await backUp('op-victim', grant('backup', 10));
    await release('op-victim', 'workflow/by-hand');
    expect((await describeLock()).active).toHaveLength(1);
    await release('op-victim');
    expect((await describeLock()).active).toEqual([]);
  });

  it('L3: of each claim one grant is kept, however many nights pass', async () => {
    const { backUp, release, stateDir } = await site();
    for (let night = 1; night <= 5; night++) {
      await backUp(`op-${night}`, grant('backup', night));
      // One of them was terminated, and released nothing.
      if (night !== 3) await release(`op-${night}`);
    }
    expect(await readGrants(stateDir, 'mairie')).toMatchObject([{ operationId: 'op-5', token: 5 }]);
  });
});
