import { beforeAll, describe, expect, it } from '@jest/globals';
import { clockAhead } from '../../src/activities/backup/rotate.js';
import type { LockHolder } from '../../src/domain/operation/locks.js';
import type { WorkflowHandle } from '@temporalio/client';
import { CONTROL_QUEUE, signalNames, updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import { type Case, HOST, Lab, failure, failureOfWorkflow, fallsSilent } from './lab.js';
import { wellBehaved } from './well-behaved.js';

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.skipping();
});

describe('rotate', () => {
  const id = 'rotate/CLUSTER/nightly';
  const input = { order: { policy: 'nightly' }, requester: 'ops', operationId: 'op' };

  it('B3: removes what retention lets go, with the cluster held for a rotation', async () => {
    const one = lab.case();
    const handle = await one.start(workflowTypes.rotate, id, input);
    expect(await handle.result()).toMatchObject({ removed: ['b0'], remove: [{ id: 'b0', reason: 'too old' }] });
    expect(one.names).toEqual(['acquireLock', 'rotateBackups', 'releaseLock']);
    expect(one.of('acquireLock')).toMatchObject([
      { request: { kind: 'rotation', policy: 'nightly', engine: 'logical', repository: 'local' } },
    ]);
    expect(await one.status()).toMatchObject({ kind: 'rotate', state: 'completed' });
  });

  it('F29: while another holds the cluster it removes nothing and fails as lock-held', async () => {
    const holder: LockHolder = {
      operationId: 'r',
      kind: 'recovery',
      policy: 'physical',
      engine: 'pgbackrest',
      repository: '*',
      workflowId: 'recover/c/r',
      runId: 'first',
      since: '2026-11-21T01:30:00Z',
      token: 1,
    };
    const one = lab.case({ acquireLock: async () => ({ granted: false, holder }) });
    const handle = await one.start(workflowTypes.rotate, id, input);
    expect(await failureOfWorkflow(handle)).toMatchObject({
      type: 'lock-held',
      message: expect.stringContaining('recovery of policy physical'),
    });
    expect(one.names).not.toContain('rotateBackups');
  });

  it('F30: what is refused is a result with its reason, not a failure', async () => {
    const refused = { reason: 'it would leave 1 proven backup', hint: 'verify more' };
    const one = lab.case({ rotateBackups: async () => ({ keep: [], remove: [], removed: [], refused }) });
    const handle = await one.start(workflowTypes.rotate, id, input);
    expect(await handle.result()).toMatchObject({ refused });
  });

  it('a worker that sends no heartbeat for as long as its host says counts as lost, and the step starts again', async () => {
    const rotated = { keep: [], remove: [], removed: [] };
    let attempts = 0;
    const one = lab.case({
      describeCluster: async () => ({
        ...(await wellBehaved.describeCluster({ cluster: 'c' })),
        heartbeatSeconds: { [HOST]: 2 },
      }),
      rotateBackups: async () => {
        attempts += 1;
        // It never ends by itself: only the time-out brings the second attempt.
        return attempts === 1 ? fallsSilent() : rotated;
      },
    });
    const handle = await one.start(workflowTypes.rotate, id, input);
    expect(await handle.result()).toMatchObject(rotated);
    // Another one may be lost where this machine stands still.
    expect(attempts).toBeGreaterThanOrEqual(2);
  });

  it('F27: the host is told by how much its clock differs from that of Temporal, however long the step waited for its turn', async () => {
    const seen: (number | null)[] = [];
    const one = lab.case({
      rotateBackups: async () => {
        seen.push(await clockAhead());
        if (seen.length === 1) throw failure('storage-unreachable', 'not yet', true);
        return { keep: [], remove: [], removed: [] };
      },
    });
    const before = (await lab.now()) - Date.now();
    const handle = await one.start(workflowTypes.rotate, id, input);
    await handle.result();
    for (const ahead of seen) expect(Math.abs((ahead ?? Number.NaN) + before)).toBeLessThan(20 * 60_000);

    // Temporal's clock goes on without us: this host is behind by an hour.
    await lab.pass('1 hour');
    const later = lab.case({
      rotateBackups: async () => {
        seen.push(await clockAhead());
        return { keep: [], remove: [], removed: [] };
      },
    });
    await (await later.start(workflowTypes.rotate, id, input)).result();
    expect(Math.abs((seen.at(-1) ?? Number.NaN) + before + 3_600_000)).toBeLessThan(20 * 60_000);
  });

  it('a failure gives the cluster back', async () => {
    const one = lab.case({
      rotateBackups: async () => {
        throw failure('rotation-refused', 'the list changed');
      },
    });
    const handle = await one.start(workflowTypes.rotate, id, input);
    expect(await failureOfWorkflow(handle)).toMatchObject({ type: 'rotation-refused' });
    expect(one.names.at(-1)).toBe('releaseLock');
  });

  it('a policy that is not there', async () => {
    const one = lab.case();
    expect(
      await failureOfWorkflow(await one.start(workflowTypes.rotate, id, { ...input, order: { policy: 'weekly' } })),
    ).toMatchObject({ type: 'not-found' });
    expect(one.names).toEqual([]);
  });
});

describe('verifyBackup', () => {
  const id = 'verify/CLUSTER/b1';
  const input = (restore = false) => ({ order: { backupId: 'b1', restore }, requester: 'ops', operationId: 'op' });

  it.each([false, true])('restore: %s is what the host is asked for, and what it found is told', async (restore) => {
    const one = lab.case();
    const handle = await one.start(workflowTypes.verify, id, input(restore));
    expect(await handle.result()).toMatchObject({ backup: { id: 'b1' }, ok: true, detail: 'read whole' });
    expect(one.calls.filter(({ name }) => name === 'proveBackup')).toMatchObject([
      { queue: `reprise-${HOST}-heavy`, input: { order: { backupId: 'b1', restore }, operationId: 'op' } },
    ]);
    expect(one.names).toEqual(['proveBackup', 'readBackups']);
  });

  it('F15: a backup that does not stand it is a result, and the state of the backup comes with it', async () => {
    const one = lab.case({ proveBackup: async () => ({ ok: false, detail: 'truncated' }) });
    const handle = await one.start(workflowTypes.verify, id, input());
    expect(await handle.result()).toMatchObject({ ok: false, detail: 'truncated' });
    expect(await one.status()).toMatchObject({ kind: 'verify', state: 'completed' });
  });

  it('one that is gone fails as not-found', async () => {
    const one = lab.case({ readBackups: async () => [] });
    expect(await failureOfWorkflow(await one.start(workflowTypes.verify, id, input()))).toMatchObject({
      type: 'not-found',
      message: 'b1 no longer exists',
    });
  });
});

describe('adopt', () => {
  const input = { requester: 'ops', operationId: 'op', order: { from: '/var/backups' } };

  /** As the command line does it at a terminal of the host, where no policy asks for an approval. */
  async function confirmed(one: Case): Promise<WorkflowHandle> {
    const handle = await one.start(workflowTypes.adopt, 'adopt/CLUSTER', input);
    await one.state('waiting-approval');
    const approval = { plan: (await one.status()).plan?.slice(0, 12), by: 'dba', reason: 'confirmed' };
    await handle.executeUpdate(updateNames.approve, { args: [approval] });
    return handle;
  }

  it('G5: rejected, nothing is adopted; who rejected it is told', async () => {
    const one = lab.case();
    const handle = await one.start(workflowTypes.adopt, 'adopt/CLUSTER', input);
    await one.state('waiting-approval');
    await handle.executeUpdate(updateNames.reject, { args: [{ by: 'dba', reason: 'foreign' }] });
    expect(await handle.result()).toMatchObject({ adopted: [], rejectedBecause: 'dba: foreign' });
    expect(one.names).toEqual(['surveyAdoption', 'planAction', 'recordRejection', 'closeAction']);
  });

  it('G5: rejected while its host has no worker, it looks at nothing and ends as rejected', async () => {
    const one = lab.case({
      describeCluster: async (wanted: { cluster: string }) => ({
        ...(await wellBehaved.describeCluster(wanted)),
        host: 'db-without-worker',
      }),
      hostAnswers: async () => false,
    });
    const handle = await one.start(workflowTypes.adopt, 'adopt/CLUSTER', input);
    await one.state('waiting-worker');
    await handle.signal(signalNames.reject, { by: 'dba', reason: 'foreign' });
    await one.state('rejected');
    await one.pending('recordRejection');
    expect(one.names).not.toContain('surveyAdoption');
  });

  it('B6: looks first, then adopts with the cluster held as for a backup, on the heavy queue', async () => {
    const one = lab.case();
    const handle = await confirmed(one);
    expect(await handle.result()).toEqual({
      adopted: [{ id: 'b-nightly', from: 'old.dump', proven: true, detail: 'read whole' }],
      refused: [],
      known: 0,
    });
    expect(one.names).toEqual([
      'surveyAdoption',
      'planAction',
      'recordApproval',
      'recheckAction',
      'acquireLock',
      'adoptBackups',
      'releaseLock',
      'closeAction',
    ]);
    expect(one.of('acquireLock')).toMatchObject([
      { request: { kind: 'backup', policy: 'nightly', engine: 'logical', repository: 'local' } },
    ]);
    expect(one.calls.filter(({ name }) => name === 'adoptBackups')).toMatchObject([
      {
        queue: `reprise-${HOST}-heavy`,
        input: { order: { policy: 'nightly', from: '/var/backups' }, operationId: 'op' },
      },
    ]);
    expect(await one.status()).toMatchObject({ kind: 'adopt', state: 'completed' });
  });

  it('with nothing to adopt nothing is held, and what was left out is told', async () => {
    const refused = [{ name: 'notes.md', reason: 'it is no dump of pg_dump' }];
    const one = lab.case({ surveyAdoption: async () => ({ policies: [], adopt: [], refused, known: 3 }) });
    expect(await (await one.start(workflowTypes.adopt, 'adopt/CLUSTER', input)).result()).toEqual({
      adopted: [],
      refused,
      known: 3,
    });
    expect(one.names).toEqual(['surveyAdoption']);
  });

  it('F29: while another holds the cluster it adopts nothing and fails as lock-held', async () => {
    const holder: LockHolder = {
      operationId: 'r',
      kind: 'recovery',
      policy: 'physical',
      engine: 'pgbackrest',
      repository: '*',
      workflowId: 'recover/c/r',
      runId: 'first',
      since: '2026-11-21T01:30:00Z',
      token: 1,
    };
    const one = lab.case({ acquireLock: async () => ({ granted: false, holder }) });
    expect(await failureOfWorkflow(await confirmed(one))).toMatchObject({
      type: 'lock-held',
    });
    expect(one.names).not.toContain('adoptBackups');
  });

  it('a failure gives the cluster back', async () => {
    const one = lab.case({
      adoptBackups: async () => {
        throw failure('disk-full', 'no room');
      },
    });
    expect(await failureOfWorkflow(await confirmed(one))).toMatchObject({
      type: 'disk-full',
    });
    expect(one.names.slice(-2)).toEqual(['releaseLock', 'closeAction']);
  });
});

describe('inspect', () => {
  const question = { kind: 'backups' };

  it('K2: a host that has just died seems to have a worker; the one that its cluster can be recovered onto answers in its place', async () => {
    const one = lab.case({
      hostsOf: async ({ without }) => (without === 'gone' ? [HOST] : ['gone']),
      answer: async () => ({ backups: ['b1'] }),
    });
    const handle = await one.start(workflowTypes.inspect, 'inspect/CLUSTER', {
      question: { kind: 'backups', cluster: 'x' },
    });
    await one.pending('answer');
    await lab.pass('31s');
    expect(await handle.result()).toEqual({ backups: ['b1'] });
    expect(one.of('hostsOf')).toMatchObject([{}, { without: 'gone' }]);
    expect(one.of('answer')).toMatchObject([{ host: HOST }]);
  });

  it('one host: its answer as it is', async () => {
    const one = lab.case({ answer: async () => ({ backups: [{ id: 'b1' }] }) });
    const handle = await one.start(workflowTypes.inspect, 'inspect/CLUSTER', { question });
    expect(await handle.result()).toEqual({ backups: [{ id: 'b1' }] });
    expect(one.calls.filter(({ name }) => name === 'answer')).toMatchObject([
      { queue: `reprise-${HOST}`, input: { question, host: HOST } },
    ]);
    expect(one.calls.find(({ name }) => name === 'hostsOf')?.queue).toBe(CONTROL_QUEUE);
  });

  it('several hosts: lists come as one', async () => {
    const one = lab.case({
      hostsOf: async () => [HOST, HOST],
      answer: async () => ({ backups: [{ id: `b${one.of('answer').length}` }] }),
    });
    const handle = await one.start(workflowTypes.inspect, 'inspect/CLUSTER', { question });
    const { backups } = (await handle.result()) as { backups: unknown[] };
    expect(backups).toHaveLength(2);
  });

  it('what a host refuses is told with its code', async () => {
    const one = lab.case({
      answer: async () => {
        throw failure('not-found', 'there is no backup "x"');
      },
    });
    expect(await failureOfWorkflow(await one.start(workflowTypes.inspect, 'inspect/CLUSTER', { question }))).toEqual({
      type: 'not-found',
      message: 'there is no backup "x"',
    });
  });

  it('D7: a host whose worker does not take it up within 30 s is not waited for', async () => {
    const one = lab.case({ hostsOf: async () => ['gone'] });
    const handle = await one.start(workflowTypes.inspect, 'inspect/CLUSTER', { question });
    const timeout = await one.until(
      async () => {
        const { events } = await handle.fetchHistory();
        const asked = events
          ?.map((event) => event.activityTaskScheduledEventAttributes)
          .find((activity) => activity?.taskQueue?.name === 'reprise-gone');
        return asked?.scheduleToStartTimeout?.seconds ?? null;
      },
      async () => one.names.join(' '),
    );
    expect(Number(timeout)).toBe(30);
  });

  it.each([
    ['media-plan', 7 * 86_400],
    ['plan', 7 * 86_400],
    ['storage-usage', 7 * 86_400],
    ['backups', 600],
  ] as const)('F40: %s may take %s s, and is given up when its host falls silent', async (kind, most) => {
    const one = lab.case({ answer: async () => ({}) });
    const handle = await one.start(workflowTypes.inspect, 'inspect/CLUSTER', { question: { kind } });
    await handle.result();
    const { events } = await handle.fetchHistory();
    const asked = events
      ?.map((event) => event.activityTaskScheduledEventAttributes)
      .find((activity) => activity?.activityType?.name === 'answer');
    expect([Number(asked?.startToCloseTimeout?.seconds), Number(asked?.heartbeatTimeout?.seconds)]).toEqual([most, 10]);
  });
});
